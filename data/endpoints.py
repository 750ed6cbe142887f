"""Reads the turns of bodies without `messages`: OpenAI's Responses API, and text completions.

| body | turns |
|---|---|
| `input`: text, or items (messages, calls, their outputs, reasoning) | one for each item, after `instructions` |
| `prompt`: text, or a list of texts | one of the user for each |

What the server keeps for the caller (`previous_response_id`, `conversation`, a stored prompt) is not in the body and is
not read; a prompt of token ids is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stillwatch.data.fields import read_list, read_text
from stillwatch.data.labels import Role
from stillwatch.data.limits import Limits
from stillwatch.data.records import Message
from stillwatch.data.turns import read_turns

_CALLS = ("function_call", "custom_tool_call", "mcp_call")


def read_conversation(body: Mapping[str, object], limits: Limits) -> list[Message]:
    """The turns of a body: of `messages`, or where there are none of `input` or `prompt`; at least one.

    Raises:
        InputError: there are none, or one cannot be read; the field tells which.
    """
    if not has_turns_elsewhere(body):
        return read_turns(body.get("messages"), limits)
    return _read_input(body, limits) if body.get("input") else _read_prompt(body["prompt"], limits)


def has_turns_elsewhere(body: Mapping[str, object]) -> bool:
    """Whether `input` or `prompt` is the conversation itself, and nothing beside it."""
    prompt = body.get("prompt")
    return body.get("messages") is None and bool(body.get("input") or (prompt and isinstance(prompt, str | list)))


def _read_input(body: Mapping[str, object], limits: Limits) -> list[Message]:
    value, told = body.get("input"), body.get("instructions")
    first = [Message(Role.SYSTEM, read_text(told, "instructions"))] if told is not None else []
    if isinstance(value, str):
        return [*first, Message(Role.USER, read_text(value, "input"))]
    items = [_as_message(item) for item in read_list(value, "input", limits.max_messages)]
    return first + read_turns(items, limits, field="input")


def _read_prompt(value: object, limits: Limits) -> list[Message]:
    texts = [value] if isinstance(value, str) else read_list(value, "prompt", limits.max_messages)
    return [Message(Role.USER, read_text(text, "prompt")) for text in texts]


def _as_message(item: object) -> object:
    """An item of the Responses API as a message of a chat; what is none stays and is refused as a message."""
    if not isinstance(item, dict) or "role" in item:
        return item
    kind = item.get("type")
    if kind in _CALLS:
        told: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": [item]}
        return told if item.get("output") is None else told | {"reasoning": item["output"]}
    if isinstance(kind, str) and kind.endswith("_output"):
        return {"role": "tool", "content": item.get("output") or ""}
    if kind == "reasoning":
        return {"role": "assistant", "content": [], "reasoning": [item.get("summary"), item.get("content")]}
    return {"role": "assistant", "content": [item]}
