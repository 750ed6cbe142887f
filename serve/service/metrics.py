"""What Prometheus reads at `/metrics`. Labels come from fixed lists: no path, id or account of a caller is ever one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from stillwatch.model.cache import CacheStats
from stillwatch.serve.service.drift import Drift

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of latency buckets: 1 ms to 30 s, with Envoy's 200 ms among them."""


class _CacheCollector(Collector):
    """Look-ups and size of both caches, read once for all of their metrics."""

    def __init__(self, read: Callable[[], CacheStats]) -> None:
        """Keep where to read."""
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        stats = self._read()
        lookups = CounterMetricFamily(
            "stillwatch_cache_lookups", "Look-ups of what was computed lately.", labels=("cache", "result")
        )
        size = GaugeMetricFamily("stillwatch_cache_bytes", "Taken by what was computed lately.", labels=("cache",))
        for name, use in (("windows", stats.windows), ("texts", stats.texts)):
            lookups.add_metric((name, "hit"), use.hits)
            lookups.add_metric((name, "miss"), use.misses)
            size.add_metric((name,), use.num_bytes)
        yield lookups
        yield size
        yield GaugeMetricFamily(
            "stillwatch_cache_hit_ratio", "Windows found there, since the bundle was loaded.", stats.windows.hit_rate
        )


class _DriftCollector(Collector):
    """Drift of scores and techniques, measured once for all of its metrics."""

    def __init__(self, measure: Callable[[], Drift]) -> None:
        """Keep what to ask."""
        self._measure = measure

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        drift = self._measure()
        told = (
            ("score", _ABOUT_DRIFT, drift.score),
            ("techniques", "The same of the mix of techniques.", drift.techniques),
            ("requests", "Requests behind both, since the bundle was loaded.", float(drift.num_requests)),
        )
        for name, about, value in told:
            metric = GaugeMetricFamily(f"stillwatch_drift_{name}", about, labels=("reference",))
            metric.add_metric((drift.reference,), value)
            yield metric


_ABOUT_DRIFT = (
    "Stability index of late scores against a reference: calibrated, the honest logs of stillwatch calibrate in the "
    "bundle, or sliding, the last twenty thousand requests."
)


class Metrics:
    """All metrics of one service, in a registry of its own."""

    def __init__(self) -> None:
        """Count nothing yet."""
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.http_requests = Counter(
            "stillwatch_http_requests", "Calls answered.", ("route", "status"), registry=registry
        )
        self.http_seconds = Histogram(
            "stillwatch_http_request_duration_seconds",
            "Time from a call's head to its reply's head.",
            ("route",),
            buckets=SECONDS,
            registry=registry,
        )
        self.in_flight = Gauge("stillwatch_http_requests_in_flight", "Calls being answered.", registry=registry)
        self.decisions = Counter(
            "stillwatch_decisions",
            "Verdicts by what is done (allow, review, block) or in shadow mode would be (would_review, would_flag).",
            ("result",),
            registry=registry,
        )
        self.refusals = Counter(
            "stillwatch_refusals",
            "Requests without a verdict, by why and by what is done with them.",
            ("code", "result"),
            registry=registry,
        )
        self.dropped_parts = Counter(
            "stillwatch_dropped_parts",
            "Parts of requests that could not be read and were left out, by field of the body or header.",
            ("part",),
            registry=registry,
        )
        self.queue_seconds = Histogram(
            "stillwatch_queue_duration_seconds", "Waiting of a request.", buckets=SECONDS, registry=registry
        )
        self.scoring_seconds = Histogram(
            "stillwatch_scoring_duration_seconds", "Scoring of a batch.", buckets=SECONDS, registry=registry
        )
        self.batch_requests = Histogram(
            "stillwatch_batch_requests", "Requests of a batch.", buckets=(1, 2, 4, 8, 16, 32, 64), registry=registry
        )
        self.late = Counter("stillwatch_late_verdicts", "Verdicts after their deadline.", registry=registry)
        self.degraded = Counter(
            "stillwatch_degraded_verdicts", "Verdicts that lack their stream, by why.", ("reason",), registry=registry
        )
        self.audit_records = Counter("stillwatch_audit_records", "Records written.", registry=registry)
        self.audit_errors = Counter("stillwatch_audit_errors", "Records that could not be written.", registry=registry)
        self.ready = Gauge("stillwatch_ready", "1 while the service takes requests.", registry=registry)
        self.reloads = Counter(
            "stillwatch_reloads",
            "Files that changed, by whether they could be used.",
            ("what", "result"),
            registry=registry,
        )
        self.account_resets = Counter(
            "stillwatch_account_resets", "Swaps of the bundle after which accounts began afresh.", registry=registry
        )
        self._build = Gauge(
            "stillwatch_build_info", "Always 1.", ("version", "model_version", "runtime"), registry=registry
        )

    def watch(self, name: str, about: str, read: Callable[[], float]) -> None:
        """Add a gauge that is read when it is asked for.

        Args:
            name: after `stillwatch_`.
            about: what it tells.
            read: gives the value; called in the thread that renders.
        """
        Gauge(f"stillwatch_{name}", about, registry=self._registry).set_function(read)

    def watch_cache(self, read: Callable[[], CacheStats]) -> None:
        """Add what the scorer's caches tell; their counts begin anew with another bundle.

        Args:
            read: as `watch`.
        """
        self._registry.register(_CacheCollector(read))

    def watch_drift(self, measure: Callable[[], Drift]) -> None:
        """Add what tells whether traffic has changed.

        Args:
            measure: as `read` of `watch`.
        """
        self._registry.register(_DriftCollector(measure))

    def tell_build(self, version: str, model_version: str, runtime: str) -> None:
        """Tell what is running now."""
        self._build.clear()
        self._build.labels(version, model_version, runtime).set(1)

    def render(self) -> bytes:
        """The text exposition format."""
        return generate_latest(self._registry)
