"""From an HTTP body to requests: bounded in bytes, time, depth and characters; refused by field and kind, never quoted.

A call of `/v1/score` is an OpenAI or Anthropic body as it is, or a wrapper around one:

    {"request": BODY, "account": "who sent it", "time_s": 1764000000.0}

The headers `X-Stillwatch-Account` and `X-Stillwatch-Time` (Unix seconds) go before the wrapper's. What tells no time
was sent now. `/v1/score/batch` takes {"requests": [...]} of either form.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from starlette.requests import ClientDisconnect
from starlette.requests import Request as Call

from stillwatch.data.dialects import parse_request
from stillwatch.data.errors import InputError, kind_of
from stillwatch.data.limits import DEFAULT_LIMITS
from stillwatch.data.records import Request
from stillwatch.serve.service.refusals import Code, RefusedError
from stillwatch.serve.service.settings import RequestLimitsConfig

ACCOUNT_HEADER = "X-Stillwatch-Account"
TIME_HEADER = "X-Stillwatch-Time"
DEADLINE_HEADER = "X-Stillwatch-Deadline-Ms"

MAX_ACCOUNT_CHARACTERS = 1000
_LATEST_S = 4e9  # in the year 2096; a later time is one in milliseconds


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sent a call and when, as its headers tell; None where they do not."""

    account: str | None = None
    time_s: float | None = None


async def read_body(call: Call, limits: RequestLimitsConfig) -> bytes:
    """The whole body of a call that says it is JSON.

    Raises:
        RefusedError: another type, or as `collect_body`.
    """
    if call.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise RefusedError(Code.MEDIA_TYPE)
    return await collect_body(call, limits)


async def collect_body(call: Call, limits: RequestLimitsConfig) -> bytes:
    """The whole body, whatever it says it is.

    Raises:
        RefusedError: encoded, too large, too slow, or cut.
    """
    if call.headers.get("content-encoding", "identity") != "identity":
        raise RefusedError(Code.MEDIA_TYPE)
    told = call.headers.get("content-length", "")
    if told.isdecimal() and int(told[:19]) > limits.max_body_bytes:
        raise RefusedError(Code.TOO_LARGE)
    chunks: list[bytes] = []
    num_bytes = 0
    try:
        async with asyncio.timeout(limits.body_timeout_s):
            async for chunk in call.stream():
                num_bytes += len(chunk)
                if num_bytes > limits.max_body_bytes:
                    raise RefusedError(Code.TOO_LARGE)
                chunks.append(chunk)
    except TimeoutError:
        raise RefusedError(Code.BODY_SLOW) from None
    except ClientDisconnect:
        raise RefusedError(Code.CUT) from None
    return b"".join(chunks)


def read_sender(headers: Mapping[str, str]) -> Sender:
    """Account and time from the headers.

    Raises:
        InputError: a header that is there and is neither.
    """
    account, time_text = headers.get(ACCOUNT_HEADER), headers.get(TIME_HEADER)
    if account is not None:  # read as Latin-1 by the server, but the same account may come in a wrapper's UTF-8
        account = account.encode("latin-1").decode("utf-8", "surrogateescape")
    return Sender(
        None if account is None else _read_account(account, ACCOUNT_HEADER),
        None if time_text is None else _read_time(_read_float(time_text, TIME_HEADER), TIME_HEADER),
    )


def read_deadline_s(headers: Mapping[str, str], longest_ms: int) -> float:
    """Seconds that a call may take: the header's, at most the configured ones.

    Raises:
        InputError: the header is no positive number.
    """
    text = headers.get(DEADLINE_HEADER)
    if text is None:
        return longest_ms / 1000
    asked_ms = _read_float(text, DEADLINE_HEADER)
    if not asked_ms > 0:
        raise InputError(DEADLINE_HEADER, "no positive number", "send milliseconds, such as 150")
    return min(asked_ms, longest_ms) / 1000


def decode_object(body: bytes, max_depth: int) -> dict[str, object]:
    """The JSON object of a body.

    Raises:
        InputError: no JSON in UTF-8, nested too deep, or no object.
    """
    problem = "no JSON in UTF-8"
    try:
        value = json.loads(body.decode(), parse_constant=_refuse_constant)
    except RecursionError:
        problem = f"JSON nested deeper than {max_depth} levels"
    except ValueError:  # of Unicode, of JSON, of a number with thousands of digits
        pass
    else:
        if not isinstance(value, dict):
            raise InputError("body", kind_of(value), "send an object")
        _check_depth(value, max_depth)
        return value
    raise InputError("body", problem, "send one JSON object")  # out here: the parser's error holds the text


def read_request(value: object, sender: Sender, limits: RequestLimitsConfig, *, account_from_body: bool) -> Request:
    """A request of either form, with its account and time.

    Args:
        value: a body or a wrapper.
        sender: what the headers tell.
        limits: how long a request may be.
        account_from_body: whether a body's own account counts.

    Raises:
        InputError: it is no request; which field, what is wrong, what to do.
    """
    if not isinstance(value, dict):
        raise InputError("request", kind_of(value), "send an object")
    wrapped = value.get("request")
    if not isinstance(wrapped, dict) or "messages" in value:
        return read_bare_request(value, sender, limits, account_from_body=account_from_body)
    if value.keys() - {"request", "account", "time_s"}:
        raise InputError("request", "a wrapper with other keys", "send request, account and time_s alone")
    account = None if value.get("account") is None else _read_account(value["account"], "account")
    time_s = None if value.get("time_s") is None else _read_time(value["time_s"], "time_s")
    whole = Sender(sender.account or account, time_s if sender.time_s is None else sender.time_s)
    return read_bare_request(wrapped, whole, limits, account_from_body=account_from_body)


def read_bare_request(
    body: Mapping[str, object], sender: Sender, limits: RequestLimitsConfig, *, account_from_body: bool
) -> Request:
    """A request as it is, without a wrapper, with its account and time.

    Args:
        body: an OpenAI or Anthropic body.
        sender: who sent it and when; now, where it tells no time.
        limits: how long a request may be.
        account_from_body: whether a body's own account counts.

    Raises:
        InputError: it is no request; which field, what is wrong, what to do.
    """
    request = parse_request(body, limits=replace(DEFAULT_LIMITS, max_characters=limits.max_characters))
    return replace(
        request,
        account=sender.account or (request.account if account_from_body else None),
        time_s=time.time() if sender.time_s is None else sender.time_s,
    )


def read_batch(value: Mapping[str, object], limits: RequestLimitsConfig) -> list[object]:
    """The items of a batch, not yet read.

    Raises:
        InputError: no list, an empty one, or one that is too long.
    """
    items = value.get("requests")
    if not isinstance(items, list) or not items:
        raise InputError("requests", kind_of(items), "send a list of bodies or wrappers")
    if len(items) > limits.max_batch_requests:
        raise InputError("requests", kind_of(items), f"send at most {limits.max_batch_requests}")
    return items


def _read_account(value: object, field: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InputError(field, kind_of(value), "send a string that is not empty")
    if len(value) > MAX_ACCOUNT_CHARACTERS:
        raise InputError(field, kind_of(value), f"send at most {MAX_ACCOUNT_CHARACTERS} characters")
    return value


def _read_time(value: object, field: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST_S:
        raise InputError(field, kind_of(value), "send Unix time in seconds")
    return float(value)


def _read_float(text: str, field: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(field, "no number", "send a finite number")
    return number


def _check_depth(value: object, max_depth: int) -> None:
    level = [value]
    for _ in range(max_depth):
        level = [
            child
            for each in level
            for child in (each.values() if isinstance(each, dict) else each if isinstance(each, list) else ())
        ]
        if not level:
            return
    raise InputError("body", f"JSON nested deeper than {max_depth} levels", "nest it less")


def _refuse_constant(_name: str) -> None:
    raise ValueError
