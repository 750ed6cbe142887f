"""Metrics of the guardrails inside a process, in the registry that the process itself shows.

A service keeps its metrics in a registry of its own; LiteLLM's `/metrics` shows the default one of `prometheus_client`.
There they appear under the same names, each with the label `guardrail`.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import REGISTRY, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from stillwatch.serve.service.metrics import Metrics

_PREFIX = "stillwatch_"  # the rest tells of the process, which does so itself


class GuardrailMetrics(Collector):
    """The metrics of several guardrails, read when they are asked for."""

    def __init__(self) -> None:
        """Know none yet."""
        self._metrics: dict[str, Metrics] = {}

    def show(self, guardrail: str, metrics: Metrics) -> None:
        """Show those of a guardrail from now on, instead of those shown under its name before."""
        if not self._metrics:
            REGISTRY.register(self)
        self._metrics[guardrail] = metrics

    def collect(self) -> Iterable[Metric]:
        """The metrics as they are now."""
        found: dict[str, Metric] = {}
        for guardrail, metrics in list(self._metrics.items()):
            for family in text_string_to_metric_families(metrics.render().decode()):
                if family.name.startswith(_PREFIX):
                    whole = found.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                    for sample in family.samples:
                        whole.add_sample(sample.name, sample.labels | {"guardrail": guardrail}, sample.value)
        return found.values()


SHOWN = GuardrailMetrics()
"""Those of this process."""
