"""ASGI middleware for home-grown gateways: what is posted to the watched paths is scored before the app sees it.

Needs the extra `serve`, and no framework:

    service = build_service(parse_config(ServeConfig, {"policy": {"mode": "shadow"}}, "settings", []))
    app = ScoringMiddleware(app, service, find_account=account_from_header("X-Org-Key"))

The app gets the very messages that the server sent, and the server those of the app: bodies are not parsed anew, and
streamed answers pass as they come. In shadow mode the app does not even wait for the verdict, unless the caller is to
be told of it. What cannot be scored (a time-out, a full queue) is decided by `policy.on_failure`, what cannot be read
(a body that is too large or no request) by `policy.on_unreadable`, and nothing that goes wrong here raises into the
app. Not watched: websockets, other methods and
other paths; a client's own `X-Stillwatch-...` headers, which could name another account or a short deadline.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future
from contextlib import nullcontext

from starlette.datastructures import MutableHeaders
from starlette.requests import Request as Call
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stillwatch.data.errors import InputError
from stillwatch.data.records import Request
from stillwatch.serve.service.calls import CallLimit, run_by_size, wait_for_reply
from stillwatch.serve.service.events import describe_error, tell
from stillwatch.serve.service.reading import Sender, collect_body, decode_object, read_bare_request
from stillwatch.serve.service.refusals import REFUSALS, Code, RefusedError
from stillwatch.serve.service.replies import RefusalReply, ScoreReply, explain_block
from stillwatch.serve.service.scoring import Service

WATCHED_PATHS = frozenset({"/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"})
"""Where the OpenAI and the Anthropic bodies come in, below the root path of the app if it has one."""

SCOPE_KEY = "stillwatch"
"""Where in the scope the app finds the `ScoreReply` or `RefusalReply`, if it was waited for: to mark for review."""

ACTION_HEADER, ID_HEADER = "x-stillwatch-action", "x-stillwatch-id"

_LONGEST_BODY_S = 3600.0

Reply = ScoreReply | RefusalReply
FindAccount = Callable[[Scope], str | None]
"""Says who sent a call, from its ASGI scope; None where that is not known."""


def account_from_header(name: str) -> FindAccount:
    """Takes the account from a header: one that the gateway sets or checks itself, such as the key of a customer.

    Where it stands twice, the last counts: the one that was added on the way, not the client's.
    """
    wanted = name.lower().encode("latin-1")

    def find(scope: Scope) -> str | None:
        values = [value for key, value in scope["headers"] if key.lower() == wanted]
        return values[-1].decode("utf-8", "surrogateescape") if values else None

    return find


class ScoringMiddleware:
    """Stands around an ASGI app. For one event loop; several processes have a service each."""

    def __init__(
        self,
        app: ASGIApp,
        service: Service,
        *,
        paths: Collection[str] = WATCHED_PATHS,
        find_account: FindAccount | None = None,
        tells_caller: bool = False,
    ) -> None:
        """Take a service over: it is warmed up when the app starts, and closed when the app ends.

        Args:
            app: the gateway.
            service: as `build_service` makes it; its policy, queue, limits, accounts and audit count.
            paths: exact paths to watch; a slash at the end makes no difference.
            find_account: who sent a call; accounts are hashed before anything keeps them. Where it is left out, only
                `accounts.from_body` can tell.
            tells_caller: add `x-stillwatch-action` and `x-stillwatch-id` to the answers of watched calls.
        """
        self._app, self._service, self._find_account = app, service, find_account
        self._paths = frozenset(path.rstrip("/") for path in paths)
        self._tells_caller = tells_caller
        self._waits = tells_caller or service.config.policy.mode != "shadow"
        self._calls = CallLimit(service.config.limits)
        # The app waits for a body as long as its server does, so a body that is slow enough would pass unread.
        self._limits = service.config.limits.model_copy(update={"body_timeout_s": _LONGEST_BODY_S})
        self._is_closed = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call on, once it is judged, or answer that it is blocked."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif scope["type"] == "http" and scope["method"] == "POST" and self._paths & _list_paths(scope):
            await self._guard(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _guard(self, scope: Scope, receive: Receive, send: Send) -> None:
        replay = _Replay(receive)
        reply = await self._judge(Call(_without_encoding(scope), replay.record))
        if reply is None:
            await self._app(scope, replay, send)
        elif reply.block:
            await _send_block(reply, send, tells_caller=self._tells_caller)
        else:
            told = _tell_in_headers(reply, send) if self._tells_caller else send
            await self._app({**scope, SCOPE_KEY: reply}, replay, told)

    async def _judge(self, call: Call) -> Reply | None:
        """What is decided on a call; None where nobody waits for that."""
        tracing = self._service.tracing
        with nullcontext() if tracing is None else tracing.follow_guard():
            return await self._decide(call)

    async def _decide(self, call: Call) -> Reply | None:
        account = None
        try:
            account = None if self._find_account is None else self._find_account(call.scope) or None
            # Before a place is taken: whoever sends slowly, or never ends, must not keep the others from being scored.
            with self._calls.bodies.hold() as held:
                body = await collect_body(call, self._limits, held)
                async with self._calls.enter():
                    return await self._score(body, account)
        except RefusedError as error:
            refused = error
        except InputError as error:
            refused = RefusedError(Code.BAD_INPUT, found=error)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the guard, the gateway goes on by its policy
            tell("middleware_failed", level=logging.ERROR, **describe_error(error))
            refused = RefusedError(Code.SCORER_FAILED)
        refused.account = account
        return self._service.refuse(refused)

    async def _score(self, body: bytes, account: str | None) -> ScoreReply | None:
        config = self._service.config
        deadline_s = time.monotonic() + config.queue.deadline_ms / 1000  # from here: who sends slowly is scored, too

        def read() -> Request:
            value = decode_object(body, config.limits.max_json_depth)
            from_body = config.accounts.from_body
            return read_bare_request(value, Sender(account), config.limits, account_from_body=from_body)

        (future,) = self._service.submit([await run_by_size(len(body), read)], deadline_s)
        if self._waits:
            return await wait_for_reply(future, deadline_s)
        future.add_done_callback(self._count)
        return None

    def _count(self, future: Future[ScoreReply]) -> None:
        error = future.exception()
        if isinstance(error, RefusedError):
            self._service.refuse(error)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The app's lifespan with the service's around it; the service's alone where the app knows none."""
        seen: set[str] = set()

        async def receive_on() -> Message:
            message = await receive()
            seen.add(message["type"])
            return message

        async def send_on(message: Message) -> None:
            if message["type"].startswith("lifespan.shutdown."):
                await self._close()  # the server may end the process as soon as it hears of it
            seen.add(message["type"])
            await send(message)

        await self._warm_up()
        try:
            await self._app(scope, receive_on, send_on)
        except Exception:
            if {"lifespan.startup.complete", "lifespan.startup.failed"} & seen:
                await self._close()
                raise
        if not {"lifespan.startup.complete", "lifespan.startup.failed"} & seen:
            if "lifespan.startup" not in seen:
                await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send_on({"type": "lifespan.shutdown.complete"})
        await self._close()

    async def _close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            await asyncio.to_thread(self._service.close)

    async def _warm_up(self) -> None:
        try:
            await asyncio.to_thread(self._service.warm_up)
        except Exception as error:  # noqa: BLE001 - calls are refused as not ready, and decided by the policy
            tell("warm_up_failed", level=logging.ERROR, **describe_error(error))


def _list_paths(scope: Scope) -> set[str]:
    """The path of a call as it stands, and below the root path that a server or a mount put before it."""
    path, root = scope["path"].rstrip("/"), scope.get("root_path", "").rstrip("/")
    return {path, path.removeprefix(root)} if path.startswith(f"{root}/") else {path}


def _without_encoding(scope: Scope) -> Scope:
    """The call without its word on compression: apps that do not know it read the body as it is, and so do we."""
    return {**scope, "headers": [each for each in scope["headers"] if each[0].lower() != b"content-encoding"]}


class _Replay:
    """Keeps the messages that were read from a server, and gives them once more before the ones that follow."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._kept: list[Message] = []

    async def record(self) -> Message:
        message = await self._receive()
        self._kept.append(message)
        return message

    async def __call__(self) -> Message:
        return self._kept.pop(0) if self._kept else await self._receive()


def _list_headers(reply: Reply) -> dict[str, str]:
    return {ACTION_HEADER: reply.action} | ({ID_HEADER: reply.id} if isinstance(reply, ScoreReply) else {})


def _tell_in_headers(reply: Reply, send: Send) -> Send:
    async def send_on(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(_list_headers(reply))
        await send(message)

    return send_on


async def _send_block(reply: Reply, send: Send, *, tells_caller: bool) -> None:
    """Answer in a form that clients of OpenAI and of Anthropic both read as an error."""
    code = "blocked" if isinstance(reply, ScoreReply) else reply.error.code
    status = 403 if isinstance(reply, ScoreReply) else REFUSALS[Code(code)][0]
    told = {"type": "request_blocked", "code": code, "message": explain_block(reply)}
    body = json.dumps({"type": "error", "error": told}).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), "cache-control": "no-store"}
    headers |= {"retry-after": "1"} if status in (429, 503) else {}
    headers |= _list_headers(reply) if tells_caller else {}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
