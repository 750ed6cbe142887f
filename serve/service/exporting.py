"""Where spans go: by OTLP over HTTP, set up by the standard `OTEL_...` variables, and nowhere unless one names a place.

Traces are no reason not to serve: what cannot be had is told once, by the event `tracing_off`, and the service goes
on. Read here: OTEL_EXPORTER_OTLP_(TRACES_)ENDPOINT, which switches it on, OTEL_EXPORTER_OTLP_(TRACES_)PROTOCOL,
OTEL_TRACES_EXPORTER and OTEL_SDK_DISABLED. The SDK reads the others: headers, certificates, time-outs, sampler, sizes
of batches, name and attributes of the service.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from threading import Thread
from typing import TYPE_CHECKING

from stillwatch.serve.service.events import tell

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

    from stillwatch.serve.service.tracing import Tracing

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
CLOSE_S = 5.0
"""Seconds that the last spans have to leave when the service ends."""


@contextmanager
def open_tracing(environment: Mapping[str, str] = os.environ) -> Iterator[Tracing | None]:
    """Spans for as long as the context lasts; the last ones are sent when it ends. None where none are asked for.

    Args:
        environment: what is read here; the SDK reads the process's own.
    """
    if not _is_asked(environment):
        yield None
        return
    try:
        provider = _build_provider()
        from stillwatch.serve.service.tracing import Tracing

        tracing = Tracing(provider)
    except ImportError:
        tell("tracing_off", level=logging.WARNING, reason="not installed", remedy="pip install 'stillwatch[otel]'")
        yield None
        return
    except ValueError:  # of the SDK about a variable, which it may quote
        tell("tracing_off", level=logging.WARNING, reason="an OTEL_... variable is wrong", remedy="mend it")
        yield None
        return
    tell("tracing_on", exporter="otlp", protocol="http/protobuf")
    try:
        yield tracing
    finally:
        _close(provider)


def _is_asked(environment: Mapping[str, str]) -> bool:
    def find(names: tuple[str, ...]) -> str:
        return next((found for name in names if (found := environment.get(name, "").strip())), "")

    if not find(ENDPOINTS) or environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporters = {name.strip() for name in environment.get("OTEL_TRACES_EXPORTER", "").split(",")} - {""}
    if exporters and "otlp" not in exporters:
        return False
    if find(PROTOCOLS) in ("", "http/protobuf"):
        return True
    remedy = f"set {PROTOCOLS[0]}=http/protobuf and an endpoint that speaks it"
    tell("tracing_off", level=logging.WARNING, reason="another protocol than http/protobuf", remedy=remedy)
    return False


def _build_provider() -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    ours = {"service.name": "stillwatch", "service.version": version("stillwatch")}
    resource = Resource.create(ours | dict(OTELResourceDetector().detect().attributes))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def _close(provider: TracerProvider) -> None:
    closing = Thread(target=provider.shutdown, name="tracing-end", daemon=True)  # it waits for a collector that is away
    closing.start()
    closing.join(CLOSE_S)
