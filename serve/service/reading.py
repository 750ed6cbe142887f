"""From an HTTP body to requests: bounded in bytes, time, depth and characters; refused by field and kind, never quoted.

Refused is only what is no request: a field or a header that cannot be read is left out and told (`ReadRequest`), so
that no client can choose to be unreadable, and no honest one is turned away for a detail.

A call of `/v1/score` is an OpenAI or Anthropic body as it is, or a wrapper around one:

    {"request": BODY, "account": "who sent it", "time_s": 1764000000.0}

The headers `X-Stillwatch-Account` and `X-Stillwatch-Time` (Unix seconds) go before the wrapper's: beside an account
header nothing of a wrapper counts but its request. Of a header that stands twice the last counts, which the gateway
added. What tells no time, or one later than a day from now, was sent now. `/v1/score/batch` takes {"requests": [...]}
of either form.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.requests import Request as Call

from stillwatch.data.errors import InputError, kind_of
from stillwatch.data.fields import iter_strings
from stillwatch.data.limits import DEFAULT_LIMITS
from stillwatch.data.records import Request
from stillwatch.serve.service.calls import Held
from stillwatch.serve.service.refusals import Code, RefusedError
from stillwatch.serve.service.salvage import salvage_request
from stillwatch.serve.service.settings import QueueConfig, RequestLimitsConfig

ACCOUNT_HEADER = "X-Stillwatch-Account"
TIME_HEADER = "X-Stillwatch-Time"
DEADLINE_HEADER = "X-Stillwatch-Deadline-Ms"

MAX_ACCOUNT_CHARACTERS = 1000
_MOST_AHEAD_S = 86_400.0  # a later time is one in milliseconds, or somebody's who plays with the counts by the day
_MOST_DIGITS = 4000  # of a number; Python reads no longer ones


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sent a call and when, as its headers tell; None where they do not.

    Attributes:
        account: as it was told.
        time_s: Unix time in seconds.
        dropped: names of headers that are there and cannot be read.
    """

    account: str | None = None
    time_s: float | None = None
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadRequest(Request):
    """A request and the fields and headers that were left out because they could not be read, by the door's names."""

    dropped: tuple[str, ...] = ()


async def read_body(call: Call, limits: RequestLimitsConfig, held: Held) -> bytes:
    """The whole body of a call that says it is JSON.

    Raises:
        RefusedError: another type, or as `collect_body`.
    """
    if call.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise RefusedError(Code.MEDIA_TYPE)
    return await collect_body(call, limits, held)


async def collect_body(call: Call, limits: RequestLimitsConfig, held: Held) -> bytes:
    """The whole body, whatever it says it is.

    Args:
        call: the call.
        limits: how large and slow it may be.
        held: its place in the budget of all bodies.

    Raises:
        RefusedError: encoded, too large, too slow, cut, or no room for it.
    """
    if call.headers.get("content-encoding", "identity").lower() != "identity":
        raise RefusedError(Code.MEDIA_TYPE)
    told = call.headers.get("content-length", "")
    if told.isdecimal() and int(told[:19]) > limits.max_body_bytes:
        raise RefusedError(Code.TOO_LARGE)
    chunks: list[bytes] = []
    num_bytes = 0
    try:
        async with asyncio.timeout(limits.body_timeout_s) as clock:
            async for chunk in call.stream():
                num_bytes += len(chunk)
                if num_bytes > limits.max_body_bytes:
                    raise RefusedError(Code.TOO_LARGE)
                held.take(len(chunk), clock)
                chunks.append(chunk)
    except TimeoutError:
        raise RefusedError(Code.BODY_SLOW) from None
    except ClientDisconnect:
        raise RefusedError(Code.CUT) from None
    held.complete()
    return b"".join(chunks)


def read_sender(headers: Headers) -> Sender:
    """Account and time from the headers, without those that cannot be read."""
    dropped: list[str] = []
    account = _get_last(headers, ACCOUNT_HEADER)
    if account is not None:  # read as Latin-1 by the server, but the same account may come in a wrapper's UTF-8
        account = _read_account(account.encode("latin-1").decode("utf-8", "surrogateescape"), ACCOUNT_HEADER, dropped)
    return Sender(
        account, _read_time(_read_float(_get_last(headers, TIME_HEADER)), TIME_HEADER, dropped), tuple(dropped)
    )


def read_deadline_s(headers: Headers, queue: QueueConfig) -> float:
    """Seconds that a call may take: the header's within the configured ones; the longest where it is no number."""
    asked_ms = _read_float(_get_last(headers, DEADLINE_HEADER))
    if asked_ms is None or math.isnan(asked_ms):
        return queue.deadline_ms / 1000
    return min(max(asked_ms, queue.least_deadline_ms), queue.deadline_ms) / 1000


def decode_object(body: bytes, max_depth: int) -> dict[str, object]:
    """The JSON object of a body, read as the parsers of most servers would: UTF-16 and a mark at its start, too.

    NaN and numbers of thousands of digits are null; what is nested deeper than `max_depth` levels is the text in it.

    Raises:
        InputError: no JSON, nested far too deep, or no object.
    """
    problem = "no JSON in UTF-8"
    text = body.decode(json.detect_encoding(body), "replace")
    try:
        value = _decode(text)
    except RecursionError:
        problem = f"JSON nested far deeper than {max_depth} levels"
    except ValueError:
        pass
    else:
        if not isinstance(value, dict):
            raise InputError("body", kind_of(value), "send an object")
        _flatten(value, max_depth)
        return value
    raise InputError("body", problem, "send one JSON object")  # out here: the parser's error holds the text


def read_request(value: object, sender: Sender, limits: RequestLimitsConfig, *, account_from_body: bool) -> ReadRequest:
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
    wrapped = _unwrap(value)
    if wrapped is None:
        return read_bare_request(value, sender, limits, account_from_body=account_from_body)
    if value.keys() - {"request", "account", "time_s"}:
        raise InputError("request", "a wrapper with other keys", "send request, account and time_s alone")
    return read_bare_request(wrapped, complete_sender(value, sender), limits, account_from_body=account_from_body)


def complete_sender(value: object, sender: Sender) -> Sender:
    """The sender with what a wrapper tells beside the headers; as it is, where the value is none."""
    if not isinstance(value, dict) or _unwrap(value) is None:
        return sender
    dropped = list(sender.dropped)
    if sender.account is not None:  # the gateway speaks by headers, so the wrapper may be the client's own
        return sender
    account = _read_account(value.get("account"), "account", dropped)
    time_s = _read_time(value.get("time_s"), "time_s", dropped)
    return Sender(account, time_s if sender.time_s is None else sender.time_s, tuple(dropped))


def read_bare_request(
    body: Mapping[str, object], sender: Sender, limits: RequestLimitsConfig, *, account_from_body: bool
) -> ReadRequest:
    """A request as it is, without a wrapper, with its account and time.

    Args:
        body: an OpenAI or Anthropic body.
        sender: who sent it and when; now, where it tells no time.
        limits: how long a request may be.
        account_from_body: whether a body's own account counts.

    Raises:
        InputError: it is no request; which field, what is wrong, what to do.
    """
    salvaged = salvage_request(body, replace(DEFAULT_LIMITS, max_characters=limits.max_characters))
    request = salvaged.request
    parts = {field.name: getattr(request, field.name) for field in fields(Request)}
    return replace(
        ReadRequest(**parts, dropped=(*sender.dropped, *salvaged.dropped)),
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


def _unwrap(value: Mapping[str, object]) -> dict[str, object] | None:
    """The body in a wrapper; None where the value is a body itself."""
    wrapped = value.get("request")
    return wrapped if isinstance(wrapped, dict) and not value.keys() & {"messages", "input", "prompt"} else None


def _get_last(headers: Headers, name: str) -> str | None:
    """A header's value; where a client sent one, too, and the gateway added its own, that of the gateway."""
    values = headers.getlist(name)
    return values[-1] if values else None


def _read_account(value: object, field: str, dropped: list[str]) -> str | None:
    if value is None or (isinstance(value, str) and value.strip() and len(value) <= MAX_ACCOUNT_CHARACTERS):
        return value
    dropped.append(field)
    return None


def _read_time(value: object, field: str, dropped: list[str]) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= time.time() + _MOST_AHEAD_S:
        dropped.append(field)
        return None
    return float(value)


def _read_float(text: str | None) -> float | None:
    """The number; NaN where the text is none, None where there is no text."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return math.nan


def _decode(text: str) -> object:
    try:
        return json.loads(text, parse_constant=_ignore_constant, strict=False)
    except json.JSONDecodeError:
        raise
    except ValueError:  # a number of thousands of digits
        return json.loads(text, parse_constant=_ignore_constant, parse_int=_read_int, strict=False)


def _read_int(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MOST_DIGITS else None


def _ignore_constant(_name: str) -> None:
    return None


def _flatten(value: dict[str, Any], max_depth: int) -> None:
    """Put the text of what is nested deeper in its place, so that nothing behind here meets a deeper nesting."""
    level: list[Any] = [value]
    for _ in range(max_depth - 2):
        level = [child for each in level for child in _list_children(each).values() if isinstance(child, dict | list)]
    for each in level:
        for key, child in _list_children(each).items():
            if isinstance(child, dict | list):
                each[key] = "\n".join(iter_strings(child))


def _list_children(value: dict[str, Any] | list[Any]) -> dict[Any, Any]:
    return value if isinstance(value, dict) else dict(enumerate(value))
