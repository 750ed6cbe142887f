"""Reads the body of one call to an LLM API into a `Request`, whichever dialect it is written in.

Follows OpenAI Chat Completions (with the legacy functions), Responses and text completions, Anthropic Messages, and our
own rows. What servers may put before the model from other fields is read, too (`asides.py`); keys that say nothing
about content, cost or sender are ignored. It refuses what it cannot read and never guesses.
"""

from __future__ import annotations

from collections.abc import Mapping

from stillwatch.data.asides import read_contracts, read_spoken
from stillwatch.data.endpoints import has_turns_elsewhere, read_conversation
from stillwatch.data.errors import InputError
from stillwatch.data.fields import (
    compact_json,
    read_count,
    read_number,
    read_optional_text,
    refuse,
)
from stillwatch.data.labels import Role
from stillwatch.data.limits import DEFAULT_LIMITS, Limits
from stillwatch.data.records import Message, Request, Sampling
from stillwatch.data.toolbox import read_tools
from stillwatch.data.turns import read_system

_ACCOUNT_KEYS = ("account", "user", "safety_identifier")


def parse_request(body: Mapping[str, object], limits: Limits = DEFAULT_LIMITS) -> Request:
    """Read a request.

    Args:
        body: the parsed JSON body.
        limits: how large it may be.

    Raises:
        InputError: the body cannot be read, or is over a limit; its field tells where.
    """
    if not isinstance(body, Mapping):
        raise refuse("request", body, "send an object with messages")
    spoken = "" if has_turns_elsewhere(body) else read_spoken(body)
    beside = [Message(Role.SYSTEM, spoken)] if spoken else []
    request = Request(
        messages=(*read_system(body.get("system"), limits), *beside, *read_conversation(body, limits)),
        tools=read_tools(body, limits),
        sampling=_read_sampling(body),
        response_format=_read_format(body, limits),
        id=read_optional_text(body.get("id"), "id"),
        account=_read_account(body),
        time_s=_read_time(body),
    )
    if request.num_characters > limits.max_characters:
        raise InputError("request", f"{request.num_characters} characters", f"send at most {limits.max_characters}")
    return request


def _read_sampling(body: Mapping[str, object]) -> Sampling:
    budgets = ("max_completion_tokens", "max_output_tokens")
    budget = next((key for key in budgets if body.get(key) is not None), "max_tokens")
    return Sampling(
        temperature=read_number(body.get("temperature"), "temperature"),
        top_p=read_number(body.get("top_p"), "top_p"),
        max_tokens=read_count(body.get(budget), budget),
        n=read_count(body.get("n"), "n"),
    )


def _read_format(body: Mapping[str, object], limits: Limits) -> str:
    """The output contracts as JSON text: OpenAI's `response_format`, Anthropic's `output_config.format`, others'."""
    config = body.get("output_config")
    given = {
        "response_format": body.get("response_format"),
        "output_format": body.get("output_format"),
        "output_config.format": config.get("format") if isinstance(config, Mapping) else None,
    }
    texts = [compact_json(value, key, limits) for key, value in given.items() if value != {"type": "text"}]
    return "\n".join(filter(None, texts + read_contracts(body, limits)))


def _read_account(body: Mapping[str, object]) -> str | None:
    """The first account named: ours, OpenAI's, then Anthropic's `metadata.user_id`."""
    for key in _ACCOUNT_KEYS:
        account = read_optional_text(body.get(key), key)
        if account is not None:
            return account
    metadata = body.get("metadata")
    user = metadata.get("user_id") if isinstance(metadata, Mapping) else None
    return read_optional_text(user, "metadata.user_id") if isinstance(user, str) else None


def _read_time(body: Mapping[str, object]) -> float | None:
    key = "time_s" if body.get("time_s") is not None else "time"
    return read_number(body.get(key), key)
