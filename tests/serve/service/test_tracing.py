"""Spans tell where the time of a call went and what came of it, under the gateway's trace, and nothing else."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.testclient import TestClient

from stillwatch.data.configuration import parse_config
from stillwatch.data.errors import StoreError
from stillwatch.model.bundle import Bundle
from stillwatch.model.streams.store import Degraded
from stillwatch.serve.middleware import ScoringMiddleware
from stillwatch.serve.service import exporting
from stillwatch.serve.service.app import build_app
from stillwatch.serve.service.exporting import open_tracing
from stillwatch.serve.service.guardrail_api import GUARDRAIL
from stillwatch.serve.service.scoring import Service, build_service
from stillwatch.serve.service.secrecy import make_api_key
from stillwatch.serve.service.settings import ServeConfig
from stillwatch.serve.service.tracing import GUARD, QUEUE, REFUSALS, REQUESTS, SCORE, STREAM, Tracing

CANARY = "zanzibar"
TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"}
HARVEST: dict[str, Any] = {"messages": [{"role": "user", "content": "reasoning " * 40}]}
HONEST: dict[str, Any] = {"messages": [{"role": "user", "content": "hello hello"}]}


class Watched:
    """A service behind its app, and the spans that it left."""

    def __init__(self, service: Service, client: TestClient, exporter: InMemorySpanExporter) -> None:
        self.service, self.client, self._exporter = service, client, exporter

    def take(self) -> list[ReadableSpan]:
        """The spans since the last look, in the order of their beginnings."""
        spans = sorted(
            self._exporter.get_finished_spans(), key=lambda span: (span.start_time or 0, -(span.end_time or 0))
        )
        self._exporter.clear()
        return sorted(spans, key=lambda span: (span.start_time or 0, -(span.end_time or 0)))


Start = Callable[..., Watched]


@pytest.fixture
def start(stream_bundle: Bundle, tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def make(*overrides: str) -> Watched:
            exporter = InMemorySpanExporter()
            provider = TracerProvider(shutdown_on_exit=False)
            provider.add_span_processor(SimpleSpanProcessor(exporter))
            settings = parse_config(ServeConfig, {"bundle": stream_bundle.folder}, "settings", list(overrides))
            service = build_service(settings, Tracing(provider))
            stack.callback(service.close)
            service.warm_up()
            client = TestClient(build_app(service), raise_server_exceptions=False)
            return Watched(service, stack.enter_context(client), exporter)

        yield make


def name_all(spans: list[ReadableSpan]) -> list[str]:
    return [span.name for span in spans]


def test_a_call_has_children_for_queue_scoring_and_stream_one_within_the_other(start: Start) -> None:
    watched = start()
    body = {"request": HARVEST, "account": "a", "time_s": 1e9}
    reply = watched.client.post("/v1/score", json=body).json()
    call, queue, score, stream = spans = watched.take()
    assert name_all(spans) == ["POST /v1/score", QUEUE, SCORE, STREAM]
    parents = [None if span.parent is None else span.parent.span_id for span in spans]
    assert call.context is not None
    assert score.context is not None
    assert parents == [None, call.context.span_id, call.context.span_id, score.context.span_id]
    assert len({span.context.trace_id for span in spans if span.context is not None}) == 1
    times = [(span.start_time or 0, span.end_time or 0) for span in spans]
    assert all(begun <= ended for begun, ended in times)
    slack_ns = 2_000_000  # two clocks are read
    assert all(times[0][0] - slack_ns <= begun and ended <= times[0][1] + slack_ns for begun, ended in times[1:])
    assert abs(times[1][1] - times[2][0]) <= slack_ns
    assert times[2][0] - slack_ns <= times[3][0] <= times[3][1] <= times[2][1] + slack_ns
    assert dict(call.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": "/v1/score",
        "http.response.status_code": 200,
        REQUESTS: 1,
    }
    assert dict(score.attributes or {}) == {
        "stillwatch.action": "flag",
        "stillwatch.reasons": tuple(reply["request"]["reasons"]),
        "stillwatch.decision": "would_flag",
        "stillwatch.model_version": reply["model_version"],
        "stillwatch.characters": reply["request"]["coverage"]["characters"],
        "stillwatch.tokens": reply["request"]["coverage"]["tokens"],
        "stillwatch.windows": 1,
        "stillwatch.windows_encoded": 1,
        "stillwatch.batch_requests": 1,
        "stillwatch.late": False,
    }
    assert dict(stream.attributes or {}) == {
        "stillwatch.action": "allow",
        "stillwatch.reasons": (),
        "stillwatch.account_requests": 1,
    }
    assert not queue.attributes


def test_the_trace_of_the_gateway_goes_on_and_a_header_that_is_none_begins_another(start: Start) -> None:
    watched = start()
    watched.client.post("/v1/score", json=HONEST, headers=TRACEPARENT | {"tracestate": f"{CANARY}=1"})
    spans = watched.take()
    assert {f"{span.context.trace_id:032x}" for span in spans if span.context is not None} == {TRACE_ID}
    assert spans[0].parent is not None
    assert (f"{spans[0].parent.span_id:016x}", spans[0].parent.is_remote) == (PARENT_ID, True)
    assert not [span for span in spans if span.context is not None and span.context.trace_state]
    for value in (CANARY, f"00-{'0' * 32}-{PARENT_ID}-01", ""):
        watched.client.post("/v1/score", json=HONEST, headers={"traceparent": value})
        assert watched.take()[0].parent is None


def test_a_trace_that_the_gateway_does_not_sample_leaves_no_span(start: Start) -> None:
    watched = start()
    headers = {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-00"}
    assert watched.client.post("/v1/score", json=HONEST, headers=headers).status_code == 200
    assert watched.take() == []


def test_a_batch_is_one_call_with_children_for_each_request(start: Start) -> None:
    watched = start()
    items = [{"request": HONEST, "account": account, "time_s": 1e9} for account in ("a", "b", "a")]
    watched.client.post("/v1/score/batch", json={"requests": [*items, HARVEST, {"messages": CANARY}]})
    spans = watched.take()
    assert sorted(name_all(spans)) == ["POST /v1/score/batch"] + [QUEUE] * 4 + [SCORE] * 4 + [STREAM] * 3
    assert (spans[0].attributes or {})[REQUESTS] == 4
    assert (spans[0].attributes or {})[REFUSALS] == ("bad_input",)
    followed = [(span.attributes or {})["stillwatch.account_requests"] for span in spans if span.name == STREAM]
    assert sorted(map(str, followed)) == ["1", "1", "2"]


def test_a_refusal_is_on_the_call_by_its_code_and_a_failure_of_ours_is_an_error(start: Start) -> None:
    watched = start("queue.least_deadline_ms=1")
    client = watched.client
    client.post("/v1/score", json={"messages": CANARY})
    long = {"messages": [{"role": "user", "content": "hello " * 20_000}]}
    client.post("/v1/score", json=long, headers={"X-Stillwatch-Deadline-Ms": "0.0001"})
    client.post(GUARDRAIL, json={"input_type": CANARY})
    client.request(CANARY.upper(), "/v1/score")
    calls = [span for span in watched.take() if span.name not in (QUEUE, SCORE, STREAM)]
    assert [(span.attributes or {})[REFUSALS] for span in calls] == [
        ("bad_input",),
        ("deadline_exceeded",),
        ("bad_input",),
        ("method_not_allowed",),
    ]
    assert [span.status.is_ok for span in calls] == [True, False, True, True]
    assert name_all(calls)[2:] == [f"POST {GUARDRAIL}", "HTTP /v1/score"]


def test_probes_and_unknown_paths_have_no_span(start: Start) -> None:
    watched = start()
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", f"/{CANARY}"):
        watched.client.get(path)
    assert watched.take() == []


def test_a_store_that_is_away_is_told_on_the_span(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = start()

    def fail(*_arguments: object) -> None:
        raise StoreError(Degraded.AWAY, "wait")

    monkeypatch.setattr(watched.service._stores.counter, "add", fail)
    body = {"request": HONEST, "account": "a", "time_s": 1e9}
    assert watched.client.post("/v1/score", json=body).json()["degraded"] == "state_store_away"
    *_, score, stream = watched.take()
    for span in (score, stream):
        assert (span.attributes or {})["stillwatch.degraded"] == "state_store_away"


def test_nothing_that_a_caller_sent_is_in_a_span(start: Start, tmp_path: Path) -> None:
    key, line = make_api_key(f"{CANARY}-key")
    (tmp_path / "keys").write_text(line)
    watched = start(f"auth.keys_file={tmp_path / 'keys'}")
    names = ("X-Stillwatch-Account", "User-Agent", "X-Request-Id", "Cookie", "tracestate", "baggage", CANARY)
    headers = dict.fromkeys(names, CANARY) | {"Authorization": f"Bearer {key}"} | TRACEPARENT
    harvest = {"messages": [{"role": "user", "content": CANARY + " reasoning" * 40}], "id": CANARY, "user": CANARY}
    strange = {"messages": [{"role": CANARY, CANARY: CANARY}]}
    wrapped = {"request": harvest, "account": CANARY}
    for body in (harvest, wrapped, strange, {"requests": [wrapped, strange]}):
        for path in ("/v1/score", "/v1/score/batch", GUARDRAIL):
            watched.client.post(f"{path}?{CANARY}={CANARY}", json=body, headers=headers)
    watched.client.post("/v1/score", json=harvest, headers={"Authorization": f"Bearer {CANARY}"})
    watched.client.request(CANARY.upper(), "/v1/score", headers=headers)
    spans = watched.take()
    assert {QUEUE, SCORE, STREAM, "POST /v1/score"} <= set(name_all(spans))
    written = "".join(span.to_json() for span in spans).lower()
    assert CANARY not in written
    assert key.lower() not in written


def test_events_tell_the_trace_in_the_call_and_in_the_workers(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    watched = start()

    def fail(*_arguments: object, **_options: object) -> None:
        raise RuntimeError(CANARY)

    monkeypatch.setattr(watched.service.model.scorer, "score_many", fail)
    caplog.clear()
    caplog.set_level(logging.INFO)
    watched.client.post("/v1/score", json=HONEST, headers=TRACEPARENT)
    monkeypatch.setattr(watched.service, "submit", fail)
    watched.client.post("/v1/score", json=HONEST, headers=TRACEPARENT)
    watched.client.get("/healthz")
    told = {record.msg: vars(record)["facts"].get("trace_id") for record in caplog.records if "facts" in vars(record)}
    told.pop("ready", None)  # of the app, which warms up beside it
    assert told == {"scorer_failed": TRACE_ID, "call_failed": TRACE_ID}


def test_the_middleware_stands_within_the_span_of_its_app(stream_bundle: Bundle) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    settings = parse_config(ServeConfig, {"bundle": stream_bundle.folder}, "settings", ["policy.mode=review"])
    service = build_service(settings, Tracing(provider))

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    guarded = ScoringMiddleware(app, service)

    async def host(scope: Any, receive: Any, send: Any) -> None:
        with provider.get_tracer("host").start_as_current_span("host"):
            await guarded(scope, receive, send)

    service.warm_up()
    client = TestClient(host)
    client.post("/v1/chat/completions", json=HONEST)
    client.post("/v1/chat/completions", json={"messages": CANARY})
    service.close()
    spans = {span.context.span_id: span for span in exporter.get_finished_spans() if span.context is not None}
    pairs = sorted((spans[span.parent.span_id].name, span.name) for span in spans.values() if span.parent is not None)
    assert pairs == [("host", GUARD)] * 2 + [(GUARD, QUEUE), (GUARD, SCORE)]
    told = [dict(span.attributes or {}) for span in spans.values() if span.name in ("host", GUARD)]
    assert sorted(map(len, told)) == [0, 0, 1, 1]
    assert {"stillwatch.refusals": ("bad_input",)} in told


ASKED = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": " "},
        {"OTEL_SERVICE_NAME": "gateway", "OTEL_TRACES_EXPORTER": "otlp"},
        ASKED | {"OTEL_SDK_DISABLED": "true"},
        ASKED | {"OTEL_TRACES_EXPORTER": "none"},
        ASKED | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    ],
)
def test_no_span_is_made_unless_a_place_for_them_is_named(environment: dict[str, str]) -> None:
    with open_tracing(environment) as tracing:
        assert tracing is None


def test_the_service_s_name_is_ours_unless_the_environment_gives_another(monkeypatch: pytest.MonkeyPatch) -> None:
    names = []
    for environment in ({}, {"OTEL_SERVICE_NAME": "eu-gateway"}, {"OTEL_RESOURCE_ATTRIBUTES": "service.name=us"}):
        for name in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
            monkeypatch.setenv(name, environment.get(name, ""))
        provider = exporting._build_provider()
        names.append(provider.resource.attributes["service.name"])
        provider.shutdown()
    assert names == ["stillwatch", "eu-gateway", "us"]


def test_a_protocol_that_is_not_spoken_is_told(caplog: pytest.LogCaptureFixture) -> None:
    for environment, count in ((ASKED | {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"}, 1), ({}, 1)):
        with open_tracing(environment):
            assert [record.msg for record in caplog.records].count("tracing_off") == count


def test_without_the_packages_the_service_goes_on_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with open_tracing(ASKED) as tracing:
        assert tracing is None
    assert vars(caplog.records[-1])["facts"]["remedy"] == "pip install 'stillwatch[otel]'"


def test_where_nobody_asked_the_sdk_is_not_loaded(tiny_bundle: Bundle) -> None:
    program = (
        "import sys\n"
        "from stillwatch.data.configuration import parse_config\n"
        "from stillwatch.serve.service.exporting import open_tracing\n"
        "from stillwatch.serve.service import running\n"
        "from stillwatch.serve.service.settings import ServeConfig\n"
        "settings = parse_config(ServeConfig, {'bundle': sys.argv[1]}, 'settings', [])\n"
        "with open_tracing({}) as tracing:\n"
        "    running.build_service(settings, tracing).close()\n"
        "print(any(name.startswith('opentelemetry.sdk') for name in sys.modules))\n"
    )
    command = [sys.executable, "-c", program, str(tiny_bundle.folder)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"


class Collector(HTTPServer):
    """Takes traces by OTLP over HTTP, on a free port of this machine."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Inbox)
        self.bodies: list[bytes] = []
        self.paths: set[str] = set()
        self.thread = Thread(target=self.serve_forever)
        self.thread.start()

    def stop(self) -> None:
        self.shutdown()
        self.thread.join()
        self.server_close()


class Inbox(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Collector)
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.paths.add(self.path)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


def start_service(bundle: Path, **environment: str) -> tuple[subprocess.Popen[str], str]:
    program = "from stillwatch.serve.cli import main; main()"
    settings = (f"bundle={bundle}", "listen.port=0", "listen.drain_delay_s=0")
    options = [part for setting in settings for part in ("--set", setting)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    process = subprocess.Popen(
        [sys.executable, "-c", program, "serve", *options], stderr=subprocess.PIPE, text=True, env=clean | environment
    )
    assert process.stderr is not None
    url = ""
    for line in process.stderr:
        event = json.loads(line)
        if event["event"] == "listening":
            url = f"http://127.0.0.1:{event['port']}"
        if event["event"] == "ready":
            return process, url
    raise AssertionError("it never was ready")


@pytest.mark.slow
def test_a_collector_gets_the_spans_of_a_running_service_and_nothing_that_callers_sent(stream_bundle: Bundle) -> None:
    collector = Collector()
    place = f"http://127.0.0.1:{collector.server_port}"
    own = {"FASTAPI_OTEL_AUTO_CONFIGURE": "true"}  # FastAPI's spans and logs would quote the query and exceptions
    process, url = start_service(stream_bundle.folder, OTEL_EXPORTER_OTLP_ENDPOINT=place, NO_PROXY="127.0.0.1", **own)
    headers = TRACEPARENT | {"X-Stillwatch-Account": CANARY, "User-Agent": CANARY}
    harvest = {"messages": [{"role": "user", "content": CANARY + " reasoning" * 40}]}
    assert httpx2.post(f"{url}/v1/score?{CANARY}", json=harvest, headers=headers, timeout=60).status_code == 200
    process.terminate()
    assert process.wait(60) == 0
    collector.stop()
    assert collector.paths == {"/v1/traces"}
    (resource,) = [
        one for body in collector.bodies for one in ExportTraceServiceRequest.FromString(body).resource_spans
    ]
    told = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert told["service.name"] == "stillwatch"
    spans = [span for scope in resource.scope_spans for span in scope.spans]
    assert {span.name for span in spans} == {"POST /v1/score", QUEUE, SCORE, STREAM}
    assert {span.trace_id.hex() for span in spans} == {TRACE_ID}
    assert CANARY.encode() not in b"".join(collector.bodies)


@pytest.mark.slow
def test_a_collector_that_is_away_holds_nothing_up(tiny_bundle: Bundle) -> None:
    process, url = start_service(tiny_bundle.folder, NO_PROXY="127.0.0.1", OTEL_SERVICE_NAME="gateway", **ASKED)
    for _ in range(3):
        assert httpx2.post(f"{url}/v1/score", json=HONEST, timeout=60).status_code == 200
    began_s = time.monotonic()
    process.terminate()
    _, log = process.communicate(timeout=60)
    assert process.returncode == 0
    assert time.monotonic() - began_s < 20
    assert CANARY not in log
    assert "Traceback" not in log
