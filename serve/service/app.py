"""The HTTP surface: routes, what stands around every reply, and errors by one table.

No cross-origin access, no page that runs scripts, no exception text. Every refusal of a scoring call says what to do
with the request all the same, by `policy.on_failure` and `policy.on_unreadable`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Response
from fastapi import Request as Call
from fastapi.params import Depends
from fastapi.security import HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stillwatch.data.errors import InputError
from stillwatch.data.records import Request
from stillwatch.serve.service.calls import CallLimit, run_by_size, wait_for_reply
from stillwatch.serve.service.describing import METRICS, READINESS, describe_call, describe_replies
from stillwatch.serve.service.events import describe_error, tell
from stillwatch.serve.service.guardrail_api import GUARDRAIL, add_guardrail
from stillwatch.serve.service.reading import (
    Sender,
    complete_sender,
    decode_object,
    read_batch,
    read_body,
    read_deadline_s,
    read_request,
    read_sender,
)
from stillwatch.serve.service.refusals import Code, RefusedError
from stillwatch.serve.service.replies import BatchReply, RefusalReply, ScoreReply, StateReply
from stillwatch.serve.service.scoring import Service

SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
SCORE, SCORE_BATCH = "/v1/score", "/v1/score/batch"
TRACED = frozenset({SCORE, SCORE_BATCH, GUARDRAIL})
"""Calls that have a span; probes would drown them."""
ROUTES = frozenset({SCORE, SCORE_BATCH, GUARDRAIL, "/healthz", "/readyz", "/metrics", "/openapi.json"})

_bearer = HTTPBearer(auto_error=False, description="A key of auth.keys_file, where the service has one.")


class Shell:
    """Around every reply: security headers, time, status and span, connections closed while draining.

    What nobody else handled ends here: the log tells its type and place, and the caller gets a refusal like any other.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        """Stand around an app."""
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        tracing = self._service.tracing
        if tracing is None or scope["path"] not in TRACED:
            await self._answer(scope, receive, send, lambda _status: None)
            return
        traceparent = Headers(scope=scope).get("traceparent")
        with tracing.follow_call(scope["method"], scope["path"], traceparent) as span:
            await self._answer(scope, receive, send, lambda status: tracing.tell_status(span, status))

    async def _answer(self, scope: Scope, receive: Receive, send: Send, note: Callable[[int], None]) -> None:
        metrics = self._service.metrics
        route = scope["path"] if scope["path"] in ROUTES else "other"
        started_s = time.monotonic()
        has_begun = False

        async def send_on(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                headers = MutableHeaders(scope=message)
                headers.update(SECURITY_HEADERS)
                if self._service.is_draining:
                    headers["Connection"] = "close"
                metrics.http_requests.labels(route, str(message["status"])).inc()
                metrics.http_seconds.labels(route).observe(time.monotonic() - started_s)
                note(message["status"])
            await send(message)

        with metrics.in_flight.track_inprogress():
            try:
                await self._app(scope, receive, send_on)
            except Exception as error:  # whatever it is, its words stay here
                if has_begun:  # the server cuts the connection
                    raise
                tell("call_failed", level=logging.ERROR, **describe_error(error))
                await _refuse(self._service, RefusedError(Code.SERVICE_FAILED))(scope, receive, send_on)


def build_app(service: Service) -> FastAPI:
    """The app around a service, which it warms up when it starts; who made the service closes it."""

    @asynccontextmanager
    async def live(_app: FastAPI) -> AsyncIterator[None]:
        warming = asyncio.create_task(run_in_threadpool(service.warm_up))
        warming.add_done_callback(_tell_failure)
        yield

    app = FastAPI(
        title="Stillwatch",
        version=version("stillwatch"),
        description="Scores requests to an LLM API. Shadow mode unless the operator says otherwise.",
        docs_url=None,
        redoc_url=None,
        lifespan=live,
        # FastAPI's own, which an environment variable can switch on, sends queries and exceptions' words.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.add_middleware(Shell, service=service)
    _add_handlers(app, service)
    _add_probes(app, service)
    _add_scoring(app, service)
    return app


def _add_handlers(app: FastAPI, service: Service) -> None:
    async def refuse(call: Call, error: Exception) -> Response:
        if isinstance(error, InputError):
            error = RefusedError(Code.BAD_INPUT, found=error)
        if isinstance(error, HTTPException):
            error = RefusedError(Code.METHOD if error.status_code == 405 else Code.NOT_FOUND)
        if not isinstance(error, RefusedError):
            raise error
        if error.account is None:
            error.account = read_sender(call.headers).account
        return _refuse(service, error)

    for kind in (RefusedError, InputError, HTTPException):
        app.add_exception_handler(kind, refuse)


def _add_probes(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", tags=["probes"], summary="Whether the process lives")
    async def healthz() -> StateReply:
        return StateReply(status="ok", degraded=service.degraded)

    @app.get("/readyz", tags=["probes"], summary="Whether requests should be sent here", responses=READINESS)
    async def readyz() -> Response:
        status = "ready" if service.is_ready else "draining" if service.is_draining else "warming_up"
        headers = {} if service.is_ready else {"Retry-After": "1"}
        reply = StateReply(status=status, degraded=service.degraded)
        return _answer(reply, 200 if service.is_ready else 503, headers)

    @app.get(
        "/metrics",
        tags=["probes"],
        summary="For Prometheus",
        dependencies=[_authorise(service)],
        response_class=Response,
        responses=METRICS,
    )
    async def metrics() -> Response:
        return Response(service.metrics.render(), media_type=CONTENT_TYPE_LATEST)


@dataclass(frozen=True, slots=True)
class _Read:
    """A call whose body was read: its JSON object, its size, who sent it, and when its answer is due."""

    value: dict[str, Any]
    num_bytes: int
    sender: Sender
    deadline_s: float


def _add_scoring(app: FastAPI, service: Service) -> None:
    limits = service.config.limits
    from_body = service.config.accounts.from_body
    calls = CallLimit(limits)

    @asynccontextmanager
    async def admit(call: Call) -> AsyncIterator[_Read]:
        sender = read_sender(call.headers)
        with calls.bodies.hold() as held:
            body = await read_body(call, limits, held)  # before a place is taken, so that who is slow keeps none
            deadline_s = time.monotonic() + read_deadline_s(call.headers, service.config.queue)
            async with calls.enter():
                value = await run_by_size(len(body), lambda: decode_object(body, limits.max_json_depth))
                yield _Read(value, len(body), sender, deadline_s)

    def parse(value: object, sender: Sender) -> Request | RefusedError:
        try:
            return read_request(value, sender, limits, account_from_body=from_body)
        except InputError as error:
            return RefusedError(Code.BAD_INPUT, found=error, account=complete_sender(value, sender).account)

    @app.post(
        SCORE,
        tags=["scoring"],
        summary="Score one request",
        dependencies=[_authorise(service)],
        responses=describe_replies(ScoreReply),
        openapi_extra=describe_call(ScoreReply),
    )
    async def score(call: Call) -> Response:
        async with admit(call) as read:
            request = await run_by_size(read.num_bytes, lambda: parse(read.value, read.sender))
            if isinstance(request, RefusedError):
                raise request
            (future,) = service.submit([request], read.deadline_s, call.state.key_name)
            return _answer(await wait_for_reply(future, read.deadline_s))

    @app.post(
        SCORE_BATCH,
        tags=["scoring"],
        summary="Score many requests",
        description="All are let in or none; one that cannot be read or is too late is told in its place.",
        dependencies=[_authorise(service)],
        responses=describe_replies(BatchReply),
        openapi_extra=describe_call(BatchReply),
    )
    async def score_batch(call: Call) -> Response:
        async with admit(call) as read:
            items = read_batch(read.value, limits)
            parsed = await run_by_size(read.num_bytes, lambda: [parse(item, read.sender) for item in items])
            requests = [each for each in parsed if isinstance(each, Request)]
            futures = iter(service.submit(requests, read.deadline_s, call.state.key_name))

            async def settle(each: Future[ScoreReply] | RefusedError) -> ScoreReply | RefusalReply:
                try:
                    if isinstance(each, RefusedError):
                        raise each
                    return await wait_for_reply(each, read.deadline_s)
                except RefusedError as refused:
                    return service.refuse(refused)

            waiting = [settle(next(futures) if isinstance(each, Request) else each) for each in parsed]
            return _answer(BatchReply(results=await asyncio.gather(*waiting)))

    add_guardrail(app, service, calls, _authorise(service))


def _authorise(service: Service) -> Depends:
    async def check(call: Call) -> None:
        call.state.key_name = None
        if service.keys is None:
            return
        credentials = await _bearer(call)
        key = call.headers.get("X-Api-Key") if credentials is None else credentials.credentials  # the former: LiteLLM
        name = None if key is None else service.keys.find(key)
        if name is None:
            raise RefusedError(Code.UNAUTHORISED)
        call.state.key_name = name

    return Depends(check)


def _tell_failure(warming: asyncio.Task[None]) -> None:
    error = None if warming.cancelled() else warming.exception()
    if error is not None:  # /readyz goes on saying no
        tell("warm_up_failed", level=logging.ERROR, **describe_error(error))


def _refuse(service: Service, refused: RefusedError) -> Response:
    headers = {"Retry-After": str(refused.retry_after_s)} if refused.is_temporary else {}
    if refused.code is Code.UNAUTHORISED:
        headers["WWW-Authenticate"] = "Bearer"
    return _answer(service.refuse(refused), refused.status, headers)


def _answer(reply: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(reply.model_dump_json(), status, headers, media_type="application/json")
