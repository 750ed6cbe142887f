"""The middleware around real apps: it judges what it should, touches no byte, and never brings its gateway down."""

from __future__ import annotations

import asyncio
import gzip
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stillwatch.data.configuration import parse_config
from stillwatch.model.bundle import Bundle
from stillwatch.serve.middleware import SCOPE_KEY, FindAccount, ScoringMiddleware, account_from_header
from stillwatch.serve.service.scoring import build_service
from stillwatch.serve.service.settings import ServeConfig

CHAT = "/v1/chat/completions"
HARVEST: dict[str, Any] = {"messages": [{"role": "user", "content": "reasoning " * 40}]}
HONEST: dict[str, Any] = {"messages": [{"role": "user", "content": "hello hello"}], "stream": True}
BLOCK_OPEN = ("policy.mode=block", "policy.on_failure=open")
ALL_OPEN = (*BLOCK_OPEN, "policy.on_unreadable=open")
BLOCK_CLOSED = ("policy.mode=block", "policy.on_failure=closed")
JSON = {"Content-Type": "application/json"}


class Gateway:
    """A raw ASGI app without a lifespan: answers with the body that it got, piece by piece as it came."""

    def __init__(self) -> None:
        self.calls = 0
        self.marks: list[Any] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError("this app has no lifespan")
        self.calls += 1
        self.marks.append(scope.get(SCOPE_KEY))
        pieces: list[Message] = []
        while not pieces or pieces[-1].get("more_body"):
            pieces.append(await receive())
            if pieces[-1]["type"] == "http.disconnect":
                return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-pieces", b"%d" % len(pieces))]})
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece["body"], "more_body": True})
        await send({"type": "http.response.body", "body": b""})


class Guarded:
    """A gateway behind the middleware, with what counts about its service."""

    def __init__(self, app: ASGIApp, bundle: Path, overrides: tuple[str, ...], **options: Any) -> None:
        settings = parse_config(ServeConfig, {"bundle": bundle}, "settings", list(overrides))
        self.service = build_service(settings)
        self.app = ScoringMiddleware(app, self.service, **options)

    @property
    def metrics(self) -> str:
        return self.service.metrics.render().decode()


Start = Callable[..., tuple[TestClient, Gateway, Guarded]]


@pytest.fixture
def start(tiny_bundle: Bundle) -> Iterator[Start]:
    """Starts a gateway by overrides of the settings and options of the middleware."""
    opened: list[TestClient] = []

    def make(*overrides: str, **options: Any) -> tuple[TestClient, Gateway, Guarded]:
        gateway = Gateway()
        guarded = Guarded(gateway, tiny_bundle.folder, overrides, **options)
        client = TestClient(guarded.app)
        client.__enter__()
        opened.append(client)
        return client, gateway, guarded

    yield make
    for client in opened:
        client.__exit__()


def wait_for(told: Callable[[], bool]) -> None:
    ends_s = time.monotonic() + 10
    while not told():
        assert time.monotonic() < ends_s
        time.sleep(0.005)


def test_shadow_counts_what_would_be_done_and_the_app_gets_every_byte(start: Start) -> None:
    client, gateway, guarded = start()
    for body in (HARVEST, HONEST):
        raw = json.dumps(body, indent=3).encode()
        reply = client.post(CHAT, content=raw, headers=JSON)
        assert (reply.status_code, reply.content) == (200, raw)
        assert not [name for name in reply.headers if name.startswith("x-stillwatch")]
    wait_for(lambda: 'decisions_total{result="allow"} 1.0' in guarded.metrics)
    assert 'decisions_total{result="would_flag"} 1.0' in guarded.metrics
    assert gateway.marks == [None, None]


def test_block_mode_keeps_a_flagged_request_from_the_app(start: Start) -> None:
    client, gateway, _ = start(*BLOCK_OPEN)
    reply = client.post(CHAT, json=HARVEST)
    assert (reply.status_code, reply.json()["error"]["code"], gateway.calls) == (403, "blocked", 0)
    assert "reasoning" not in reply.text
    assert client.post(CHAT, json=HONEST).status_code == 200
    assert gateway.calls == 1


def test_review_mode_marks_the_call_for_the_app(start: Start) -> None:
    client, gateway, _ = start("policy.mode=review")
    assert client.post(CHAT, json=HARVEST).status_code == 200
    assert (gateway.marks[0].action, gateway.marks[0].enforced) == ("review", True)


def test_the_caller_is_told_only_where_asked(start: Start) -> None:
    client, _, _ = start("policy.mode=review", tells_caller=True)
    told = client.post(CHAT, json=HARVEST).headers
    assert (told["x-stillwatch-action"], len(told["x-stillwatch-id"]), told["x-pieces"]) == ("review", 32, "1")
    client, _, _ = start(*BLOCK_CLOSED)
    assert "x-stillwatch-action" not in client.post(CHAT, json=HARVEST).headers


def test_only_posts_to_the_watched_paths_are_scored(start: Start) -> None:
    client, gateway, guarded = start(*BLOCK_OPEN, paths=["/ask"])
    assert client.post(CHAT, json=HARVEST).status_code == 200
    assert client.put("/ask", json=HARVEST).status_code == 200
    assert "stillwatch_decisions_total{" not in guarded.metrics
    assert [client.post(path, json=HARVEST).status_code for path in ("/ask", "/ask/")] == [403, 403]
    assert gateway.calls == 2


BAD = {
    "no JSON": (b"reasoning", {}, 400),
    "no request": (b"{}", {}, 400),
    "compressed": (gzip.compress(json.dumps(HARVEST).encode()), {"Content-Encoding": "gzip"}, 400),
    "too large": (b" " * 20_000, {}, 413),
}


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_what_cannot_be_read_is_decided_by_the_policy_and_passes_untouched(start: Start, closed: bool) -> None:
    client, gateway, guarded = start("limits.max_body_bytes=15000", *(BLOCK_OPEN if closed else ALL_OPEN))
    for name, (body, headers, status) in BAD.items():
        reply = client.post(CHAT, content=body, headers=JSON | headers)
        assert reply.status_code == (status if closed else 200), name
        assert closed or reply.content == body, name
    assert gateway.calls == (0 if closed else len(BAD))
    assert f'result="{"block" if closed else "review"}"' in guarded.metrics


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (json.dumps(HARVEST).encode("utf-16"), {}),
        (json.dumps(HARVEST).encode("utf-32-le"), {}),
        (json.dumps(HARVEST).encode("utf-8-sig"), {}),
        (json.dumps(HARVEST).encode(), {"Content-Encoding": "gzip"}),
        (json.dumps(HARVEST).encode(), {"Content-Encoding": "Identity"}),
    ],
    ids=["UTF-16", "UTF-32", "mark", "said to be compressed", "identity"],
)
def test_what_an_app_would_read_all_the_same_does_not_pass_as_unreadable(
    start: Start, body: bytes, headers: dict[str, str]
) -> None:
    client, gateway, _ = start(*BLOCK_OPEN)
    assert client.post(CHAT, content=body, headers=JSON | headers).status_code == 403
    assert gateway.calls == 0


def test_other_endpoints_are_watched_and_a_root_path_hides_none(start: Start) -> None:
    client, gateway, guarded = start(*BLOCK_OPEN)
    text = HARVEST["messages"][0]["content"]
    assert client.post("/v1/responses", json={"input": text}).status_code == 403
    assert client.post("/v1/completions", json={"prompt": text}).status_code == 403
    for root_path, path in (("/api", f"/api{CHAT}"), ("/api/", f"/api{CHAT}/"), ("/api", CHAT)):
        assert TestClient(guarded.app, root_path=root_path).post(path, json=HARVEST).status_code == 403
    assert gateway.calls == 0


def test_bodies_that_never_end_keep_nobody_else_from_being_scored(start: Start) -> None:
    client, _, guarded = start(*BLOCK_OPEN, "limits.max_in_flight=2", "limits.body_timeout_s=0.05")
    scope = {"type": "http", "method": "POST", "path": CHAT, "headers": []}
    parts: list[Message] = [{"type": "http.request", "body": b"{", "more_body": True}] * 4
    sent: list[Message] = []

    async def receive() -> Message:
        return parts.pop() if parts else await asyncio.Future()

    async def send(message: Message) -> None:
        sent.append(message)

    async def crowd() -> int:
        slow = [asyncio.create_task(guarded.app(scope, receive, send)) for _ in range(4)]
        await asyncio.sleep(0.2)
        assert not any(task.done() for task in slow)
        raw = json.dumps(HARVEST).encode()
        whole = iter([{"type": "http.request", "body": raw}])

        async def receive_whole() -> Message:
            return next(whole)

        await guarded.app(scope, receive_whole, send)
        for task in slow:
            task.cancel()
        return int(sent[0]["status"])

    assert client.portal is not None
    assert client.portal.call(crowd) == 403


@pytest.mark.parametrize(("overrides", "status"), [(BLOCK_OPEN, 200), (BLOCK_CLOSED, 503)], ids=["open", "closed"])
def test_a_passed_deadline_and_an_ended_service_are_decided_by_the_policy(
    start: Start, overrides: tuple[str, ...], status: int
) -> None:
    client, _, guarded = start(*overrides, "queue.deadline_ms=1", "queue.cache_bytes=0")
    long = {"messages": [{"role": "user", "content": "hello reasoning " * 30_000}]}
    assert client.post(CHAT, json=long).status_code == status
    assert 'code="deadline_exceeded"' in guarded.metrics
    guarded.service._batcher.close()
    reply = client.post(CHAT, json=HONEST)
    assert reply.status_code == status
    assert 'code="draining"' in guarded.metrics


def test_of_an_account_header_that_stands_twice_the_last_counts() -> None:
    scope = {"headers": [(b"x-org", b"client"), (b"x-org", b"gateway")]}
    assert account_from_header("X-Org")(scope) == "gateway"


def test_an_account_finder_that_fails_does_not_fail_the_gateway(start: Start) -> None:
    def fail(_scope: Scope) -> str | None:
        raise KeyError("zanzibar")

    client, _, guarded = start(find_account=fail)
    assert client.post(CHAT, json=HONEST).status_code == 200
    assert 'code="scorer_failed"' in guarded.metrics


def test_accounts_are_hashed_and_a_client_cannot_name_its_own(start: Start, tmp_path: Path) -> None:
    def hash_by(find: FindAccount | None, name: str) -> object:
        path = tmp_path / f"{name}.jsonl"
        secret = tmp_path / "key"
        secret.write_text("0123456789abcdef")
        client, _, _ = start(f"audit.file={path}", f"accounts.key_file={secret}", find_account=find, tells_caller=True)
        posing = {"X-Org": "zanzibar", "X-Stillwatch-Account": "other", "X-Stillwatch-Deadline-Ms": "0.001"}
        assert client.post(CHAT, json=HARVEST | {"user": "other"}, headers=posing).status_code == 200
        assert "zanzibar" not in path.read_text()
        return json.loads(path.read_text())["account_hash"]

    by_header = hash_by(account_from_header("x-org"), "header")
    assert isinstance(by_header, str)
    assert by_header == hash_by(lambda _scope: "zanzibar", "callable")
    assert hash_by(None, "none") is None


def test_an_app_with_a_lifespan_keeps_it(tiny_bundle: Bundle) -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "lifespan"
        for _ in range(2):
            message = await receive()
            seen.append(message["type"])
            await send({"type": f"{message['type']}.complete"})

    guarded = Guarded(app, tiny_bundle.folder, ())
    with TestClient(guarded.app):
        assert guarded.service.is_ready
    assert seen == ["lifespan.startup", "lifespan.shutdown"]
    assert guarded.service.is_draining
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("scorer-")]


@pytest.mark.slow
def test_behind_a_real_server_answers_stream_and_slow_bodies_arrive_whole(tiny_bundle: Bundle) -> None:
    release = threading.Event()

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        """Sends a first piece, then waits until the client has seen it."""
        if scope["type"] != "http":
            raise RuntimeError("this app has no lifespan")
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message.get("more_body"):
                break
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": b"data: first\n\n", "more_body": True})
        assert await asyncio.to_thread(release.wait, 20)
        await send({"type": "http.response.body", "body": b"data: %d\n\n" % len(body)})

    guarded = Guarded(stream, tiny_bundle.folder, BLOCK_CLOSED, tells_caller=True)
    server = uvicorn.Server(uvicorn.Config(guarded.app, port=0, log_level="error", lifespan="on"))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_for(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}{CHAT}"
    raw = json.dumps(HONEST | {"pad": "x" * 200_000}).encode()

    def send_slowly() -> Iterator[bytes]:
        for place in range(0, len(raw), 70_000):
            yield raw[place : place + 70_000]
            time.sleep(0.05)

    with httpx2.Client(timeout=30) as client:
        with client.stream("POST", url, content=send_slowly(), headers=JSON) as reply:
            assert (reply.status_code, reply.headers["x-stillwatch-action"]) == (200, "allow")
            lines = reply.iter_lines()
            assert next(lines) == "data: first"
            release.set()
            assert f"data: {len(raw)}" in list(lines)
        assert client.post(url, json=HARVEST).status_code == 403
    server.should_exit = True
    thread.join(30)
    assert not thread.is_alive()
    assert guarded.service.is_draining


def test_the_middleware_needs_no_framework() -> None:
    program = "import sys; import stillwatch.serve.middleware\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"fastapi", "uvicorn", "torch", "mlflow"} & set(loaded)
