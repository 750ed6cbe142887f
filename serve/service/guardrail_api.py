"""LiteLLM's Generic Guardrail API: its questions read into requests, decisions put into its words.

Follows `POST /beta/litellm_basic_guardrail_api` as LiteLLM 1.106 calls it. Only what would block a request of ours
is `BLOCKED`; review, shadow mode and all else are `NONE`, and nothing is ever rewritten. Answers of a model come here
too where an operator asks for it; they are not what is watched, and pass unscored. A call that could not be scored
is answered 200 by `policy.on_failure` or `policy.on_unreadable`; only where this service itself is out of reach does
LiteLLM's own `unreachable_fallback` decide.

LiteLLM sends no sampling parameters, and does not tell a prompt from a text to embed: which models are guarded is for
its configuration to say.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from fastapi import FastAPI
from fastapi import Request as Call
from fastapi.params import Depends
from pydantic import BaseModel, ConfigDict

from stillwatch.data.errors import InputError, kind_of
from stillwatch.data.records import Request
from stillwatch.serve.service.calls import CallLimit, run_by_size, wait_for_reply
from stillwatch.serve.service.describing import UNAUTHORISED
from stillwatch.serve.service.reading import Sender, decode_object, read_bare_request, read_body, read_deadline_s
from stillwatch.serve.service.refusals import Code, RefusedError
from stillwatch.serve.service.replies import RefusalReply, ScoreReply, explain_block
from stillwatch.serve.service.scoring import Service
from stillwatch.serve.service.settings import LiteLLMAccount, RequestLimitsConfig

GUARDRAIL = "/beta/litellm_basic_guardrail_api"

ACCOUNT_FIELDS: Mapping[LiteLLMAccount, str] = MappingProxyType(
    {
        "key": "user_api_key_hash",
        "user": "user_api_key_user_id",
        "team": "user_api_key_team_id",
        "org": "user_api_key_org_id",
        "end_user": "user_api_key_end_user_id",
    }
)
"""LiteLLM's field of `request_data` for each setting of `accounts.litellm`."""


class GuardrailReply(BaseModel):
    """What LiteLLM reads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: Literal["NONE", "BLOCKED"]
    blocked_reason: str | None = None
    """What the caller is told; no text of the request."""


PASS = GuardrailReply(action="NONE")


def read_guardrail_call(
    value: Mapping[str, object],
    limits: RequestLimitsConfig,
    account: LiteLLMAccount,
    *,
    options: Mapping[str, object] = MappingProxyType({}),
) -> Request | None:
    """The request that LiteLLM asks about; None where there is nothing to score: a model's answer, images alone.

    Args:
        value: `input_type`, `structured_messages` or `texts`, `tools`, `litellm_call_id` and `request_data`.
        limits: how long a request may be.
        account: which of LiteLLM's names is the account.
        options: sampling parameters and output format, from who has them.

    Raises:
        InputError: it is no such question, or the request in it cannot be read.
    """
    input_type = value.get("input_type")
    if input_type == "response":
        return None
    if input_type != "request":
        raise InputError("input_type", kind_of(input_type), "send request or response")
    rows = value.get("structured_messages")
    if not rows:
        texts = value.get("texts") or []
        if not isinstance(texts, list):
            raise InputError("texts", kind_of(texts), "send a list of strings")
        rows = [{"role": "user", "content": text} for text in texts]
    if not rows:
        return None
    body = {**options, "messages": rows, "tools": value.get("tools"), "id": value.get("litellm_call_id")}
    sender = Sender(name_account(value.get("request_data"), account))
    return read_bare_request(body, sender, limits, account_from_body=False)


def read_named_call(
    value: Mapping[str, object],
    limits: RequestLimitsConfig,
    account: LiteLLMAccount,
    *,
    options: Mapping[str, object] = MappingProxyType({}),
) -> Request | None:
    """As `read_guardrail_call`, but what cannot be read is refused with the account that sent it.

    Raises:
        RefusedError: as `InputError` there.
    """
    try:
        return read_guardrail_call(value, limits, account, options=options)
    except InputError as error:
        found = error
    raise RefusedError(Code.BAD_INPUT, found=found, account=name_account(value.get("request_data"), account))


def name_account(request_data: object, account: LiteLLMAccount) -> str | None:
    """The account that a call belongs to, as LiteLLM tells; None where it does not.

    Clients choose the end user's name, so it counts within its key alone: no key can write into another's stream, and
    without a key it names nobody.
    """
    told = request_data if isinstance(request_data, Mapping) else {}
    key, name = (_as_name(told.get(ACCOUNT_FIELDS[each])) for each in ("key", account))
    if account != "end_user":
        return name
    return key if key is None or name is None else f"{key}/{name}"


def _as_name(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def build_guardrail_reply(reply: ScoreReply | RefusalReply) -> GuardrailReply:
    """LiteLLM's words for a decision."""
    return GuardrailReply(action="BLOCKED", blocked_reason=explain_block(reply)) if reply.block else PASS


def add_guardrail(app: FastAPI, service: Service, calls: CallLimit, authorise: Depends) -> None:
    """Add the route.

    Args:
        app: where.
        service: what scores.
        calls: how many may be in at once, with those of the other routes.
        authorise: who may ask.
    """
    limits, account = service.config.limits, service.config.accounts.litellm

    async def score(call: Call) -> GuardrailReply:
        with calls.bodies.hold() as held:
            body = await read_body(call, limits, held)
            deadline_s = time.monotonic() + read_deadline_s(call.headers, service.config.queue)

            def read() -> Request | None:
                return read_named_call(decode_object(body, limits.max_json_depth), limits, account)

            async with calls.enter():
                request = await run_by_size(len(body), read)
                if request is None:
                    return PASS
                (future,) = service.submit([request], deadline_s, call.state.key_name)
                return build_guardrail_reply(await wait_for_reply(future, deadline_s))

    @app.post(
        GUARDRAIL,
        tags=["scoring"],
        summary="LiteLLM's Generic Guardrail API",
        description="`BLOCKED` in mode block alone. What is not scored: policy.on_failure, policy.on_unreadable.",
        dependencies=[authorise],
        responses=UNAUTHORISED,
        openapi_extra=_BODY,
        response_model_exclude_none=True,
    )
    async def guard(call: Call) -> GuardrailReply:
        try:
            return await score(call)
        except InputError as error:
            refused = RefusedError(Code.BAD_INPUT, found=error)
        except RefusedError as error:
            refused = error
        return build_guardrail_reply(service.refuse(refused))


_EXAMPLE: dict[str, Any] = {
    "input_type": "request",
    "texts": ["Name a river."],
    "structured_messages": [{"role": "user", "content": "Name a river."}],
    "request_data": {"user_api_key_hash": "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b"},
    "litellm_call_id": "0d3c9a52-2f57-4a6b-9d0a-0b1f6a1f6c35",
}
_CONTENT = {"application/json": {"schema": {"type": "object"}, "examples": {"LiteLLM": {"value": _EXAMPLE}}}}
_BODY: dict[str, Any] = {"requestBody": {"required": True, "content": _CONTENT}}
