"""Spans of OpenTelemetry: where the time of a call went, and what came of it. Needs the extra `otel`.

    POST /v1/score             the call; goes on with the caller's W3C `traceparent`
      stillwatch.queue         a request of it waiting
      stillwatch.score         scoring of the batch that the request was in, with codes and counts of its verdict
        stillwatch.stream      its account: counts over accounts, reading the state, stepping, writing it back

Around the middleware the call's span is the app's, and `stillwatch.guard` stands between. A request that was refused
leaves its code on the call alone. Attributes are codes, counts and versions from fixed lists, never what a caller
sent: FastAPI's own spans hold paths, queries, hosts and any method's name, those of OpenTelemetry's packages for ASGI
user agents and addresses, too, so neither is used; `tracestate` and baggage are not read.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Span, SpanKind, StatusCode, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from stillwatch.model.verdict import Verdict
from stillwatch.serve.service.batching import Timing
from stillwatch.serve.service.policy import Decision
from stillwatch.serve.service.refusals import Code
from stillwatch.serve.service.visits import Visit

GUARD, QUEUE, SCORE, STREAM = "stillwatch.guard", "stillwatch.queue", "stillwatch.score", "stillwatch.stream"
REFUSALS, REQUESTS = "stillwatch.refusals", "stillwatch.requests"

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"})


@dataclass(slots=True, eq=False)
class RequestTrace:
    """What a queued request remembers of its call.

    Attributes:
        parent: the span that was current when it was let in.
        visit: when its account was followed, once it was.
    """

    parent: Context
    visit: Visit | None = field(default=None)

    @property
    def trace_id(self) -> int:
        """Of the parent."""
        return trace.get_current_span(self.parent).get_span_context().trace_id


class Tracing:
    """Makes the spans; thread-safe."""

    def __init__(self, provider: TracerProvider) -> None:
        """Begin no span yet.

        Args:
            provider: where spans go; an app around the middleware hands its own over.
        """
        self._tracer = provider.get_tracer("stillwatch", version("stillwatch"))
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def follow_call(self, method: str, route: str, traceparent: str | None) -> Iterator[Span]:
        """The span of a call, current within the context.

        Args:
            method: of HTTP.
            route: one of the service's own.
            traceparent: the header, None without one; what is no such header begins a new trace.
        """
        known = method if method in _METHODS else "_OTHER"
        span = self._tracer.start_span(
            f"{'HTTP' if known == '_OTHER' else known} {route}",
            self._propagator.extract({} if traceparent is None else {"traceparent": traceparent}),
            SpanKind.SERVER,
            {"http.request.method": known, "http.route": route},
        )
        with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            yield span

    @contextmanager
    def follow_guard(self) -> Iterator[None]:
        """The middleware's span within that of its app, if that has one; current within the context."""
        with self._tracer.start_as_current_span(GUARD, record_exception=False, set_status_on_exception=False):
            yield

    def tell_status(self, span: Span, status: int) -> None:
        """Note how a call was answered."""
        span.set_attribute("http.response.status_code", status)
        if status >= 500:
            span.set_status(StatusCode.ERROR)
            span.set_attribute("error.type", str(status))

    def tell_refusal(self, code: Code) -> None:
        """Note on the current span that a request got no verdict, and why."""
        span = trace.get_current_span()
        if isinstance(span, ReadableSpan) and span.is_recording():
            before = (span.attributes or {}).get(REFUSALS)
            codes = [str(each) for each in before] if isinstance(before, tuple) else []
            span.set_attribute(REFUSALS, [*codes, code.value])

    def begin_requests(self, num_requests: int) -> list[RequestTrace]:
        """What so many requests of the current call take along through the queue."""
        trace.get_current_span().set_attribute(REQUESTS, num_requests)
        parent = contexts.get_current()
        return [RequestTrace(parent) for _ in range(num_requests)]

    @contextmanager
    def resume(self, traces: Sequence[RequestTrace | None]) -> Iterator[None]:
        """Be within the call of requests, in whatever thread; within none where they are of several."""
        calls = {None if each is None else each.trace_id for each in traces}
        if len(calls) != 1 or traces[0] is None:
            yield
            return
        token = contexts.attach(traces[0].parent)
        try:
            yield
        finally:
            contexts.detach(token)

    def record(self, request: RequestTrace, verdict: Verdict, decision: Decision, timing: Timing) -> None:
        """Leave the spans of a scored request, which lie in the past by now."""
        offset_ns = time.time_ns() - time.monotonic_ns()

        def leave(name: str, parent: Context, start_s: float, end_s: float, facts: dict[str, AttributeValue]) -> Span:
            span = self._tracer.start_span(name, parent, start_time=round(start_s * 1e9) + offset_ns, attributes=facts)
            span.end(round(end_s * 1e9) + offset_ns)
            return span

        started_s = timing.started_s
        leave(QUEUE, request.parent, started_s - timing.queue_s, started_s, {})
        facts = _describe_verdict(verdict, decision) | {"stillwatch.batch_requests": timing.batch_requests}
        facts["stillwatch.late"] = timing.is_late
        score = leave(SCORE, request.parent, started_s, started_s + timing.scoring_s, facts)
        if request.visit is not None:
            within = trace.set_span_in_context(score, request.parent)
            visit = request.visit
            leave(STREAM, within, visit.started_s, visit.ended_s, _describe_stream(verdict))


def _describe_verdict(verdict: Verdict, decision: Decision) -> dict[str, AttributeValue]:
    coverage = verdict.coverage
    facts: dict[str, AttributeValue] = {
        "stillwatch.action": verdict.action.value,
        "stillwatch.reasons": [str(reason) for reason in verdict.reasons],
        "stillwatch.decision": decision.result,
        "stillwatch.model_version": verdict.model_version,
        "stillwatch.characters": coverage.characters,
        "stillwatch.tokens": coverage.tokens,
        "stillwatch.windows": coverage.windows,
        "stillwatch.windows_encoded": coverage.windows_encoded,
    }
    return facts if verdict.degraded is None else facts | {"stillwatch.degraded": str(verdict.degraded)}


def _describe_stream(verdict: Verdict) -> dict[str, AttributeValue]:
    stream = verdict.stream
    if stream is None:
        return {} if verdict.degraded is None else {"stillwatch.degraded": str(verdict.degraded)}
    return {
        "stillwatch.action": stream.action.value,
        "stillwatch.reasons": [reason.value for reason in stream.reasons],
        "stillwatch.account_requests": stream.num_requests,
    }
