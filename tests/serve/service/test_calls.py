"""Bodies of many calls at once: the memory they take is bounded, and whoever sends slowly keeps nobody else out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest
from starlette.requests import Request as Call
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope

from stillwatch.data.configuration import parse_config
from stillwatch.model.bundle import Bundle
from stillwatch.serve.service.app import build_app
from stillwatch.serve.service.calls import CallLimit
from stillwatch.serve.service.reading import collect_body
from stillwatch.serve.service.refusals import Code, RefusedError
from stillwatch.serve.service.scoring import build_service
from stillwatch.serve.service.settings import RequestLimitsConfig, ServeConfig

LIMITS = RequestLimitsConfig(max_body_bytes=200_000, max_bytes_in_flight=300_000)
SCOPE: Scope = {"type": "http", "method": "POST", "path": "/v1/score", "headers": []}


def send_part(num_bytes: int, *, more: bool) -> Receive:
    """Sends so much, and then nothing any more."""
    parts: list[Message] = [{"type": "http.request", "body": b" " * num_bytes, "more_body": more}]

    async def receive() -> Message:
        return parts.pop() if parts else await asyncio.Future()

    return receive


async def collect(calls: CallLimit, receive: Receive, answered: asyncio.Event | None = None) -> Code | int:
    """How long a body is, held until it is answered; or why it is refused."""
    with calls.bodies.hold() as held:
        try:
            body = await collect_body(Call(SCOPE, receive), LIMITS, held)
        except RefusedError as refused:
            return refused.code
        if answered is not None:
            await answered.wait()
        return len(body)


def test_where_large_bodies_have_no_room_the_slowest_gives_way_and_no_small_one_is_kept_out() -> None:
    async def crowd() -> None:
        calls = CallLimit(LIMITS)
        slow = [asyncio.create_task(collect(calls, send_part(150_000, more=True))) for _ in range(2)]
        await asyncio.sleep(0)
        assert await collect(calls, send_part(150_000, more=False)) == 150_000
        assert await slow[0] is Code.BODY_SLOW
        assert not slow[1].done()
        assert await collect(calls, send_part(60_000, more=False)) == 60_000
        slow[1].cancel()

    asyncio.run(crowd())


def test_large_bodies_that_wait_for_their_answer_are_bounded_and_then_make_room() -> None:
    async def crowd() -> None:
        calls, answered = CallLimit(LIMITS), asyncio.Event()
        waiting = [asyncio.create_task(collect(calls, send_part(150_000, more=False), answered)) for _ in range(2)]
        await asyncio.sleep(0.01)
        assert await collect(calls, send_part(150_000, more=False)) is Code.TOO_MANY
        answered.set()
        assert await asyncio.gather(*waiting) == [150_000, 150_000]
        assert await collect(calls, send_part(150_000, more=False)) == 150_000

    asyncio.run(crowd())


@pytest.fixture
def client(tiny_bundle: Bundle) -> Iterator[TestClient]:
    overrides = ["limits.max_in_flight=2"]
    service = build_service(parse_config(ServeConfig, {"bundle": tiny_bundle.folder}, "settings", overrides))
    service.warm_up()
    with TestClient(build_app(service)) as client:
        yield client
    service.close()


def test_a_body_that_trickles_in_holds_no_place(client: TestClient) -> None:
    head = {"headers": [(b"content-type", b"application/json")], "query_string": b"", "root_path": ""}
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def ask(receive: Receive) -> None:
        await client.app({**SCOPE, **head}, receive, send)

    async def crowd() -> int:
        slow = [asyncio.create_task(ask(send_part(1, more=True))) for _ in range(4)]
        await asyncio.sleep(0.1)
        body = json.dumps({"messages": [{"role": "user", "content": "hello"}]}).encode()
        whole = iter([{"type": "http.request", "body": body}])

        async def receive() -> Message:
            return next(whole)

        await ask(receive)
        for task in slow:
            task.cancel()
        return int(sent[0]["status"])

    assert client.portal is not None
    assert client.portal.call(crowd) == 200
