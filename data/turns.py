"""Reads the conversation of a request, in the words of OpenAI Chat Completions and Anthropic Messages alike.

One reader serves both dialects, so a body that mixes them is still read whole: whatever carries text is text,
whatever does not is named in `Message.other_parts`. A tool result inside a user message becomes a message of
its own, in its place. Encoded media are not decoded.
"""

from __future__ import annotations

import re
from typing import Any

from stillwatch.data.errors import InputError
from stillwatch.data.fields import read_list, read_object, read_text, refuse
from stillwatch.data.labels import Role
from stillwatch.data.limits import Limits
from stillwatch.data.records import Message, ToolCall
from stillwatch.data.toolbox import read_call, read_calls

_ROLES = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
    "tool": Role.TOOL,
    "function": Role.TOOL,
}
_TEXT_KEYS = {
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "thinking": "thinking",
    "refusal": "refusal",
}
_CALLS = frozenset({"tool_use", "server_tool_use", "mcp_tool_use"})
_RESULTS = frozenset({"tool_result", "mcp_tool_result"})
_PART_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")


class _Draft:
    """The turn that is being read."""

    __slots__ = ("calls", "others", "texts")

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.calls: list[ToolCall] = []
        self.others: list[str] = []

    def __bool__(self) -> bool:
        return bool(self.texts or self.calls or self.others)

    def finish(self, role: Role) -> Message:
        return Message(role, "\n".join(self.texts), tuple(self.calls), tuple(self.others))


def read_turns(value: object, limits: Limits) -> list[Message]:
    """The messages under `messages`, at least one.

    Raises:
        InputError: no list, an empty one, or a message that cannot be read; the field tells which.
    """
    if not value:
        raise refuse("messages", value, "send a list of at least one message")
    turns: list[Message] = []
    for index, item in enumerate(read_list(value, "messages", limits.max_messages)):
        if not isinstance(item, dict):
            raise refuse(f"messages.{index}", item, "send an object with role and content")
        name = item.get("role")
        role = _ROLES.get(name) if isinstance(name, str) else None
        if role is None:
            raise refuse(f"messages.{index}.role", name, f"send one of {', '.join(_ROLES)}")
        content = item.get("content")
        if isinstance(content, str) and len(item) == 2:
            turns.append(Message(role, read_text(content, f"messages.{index}.content")))
        else:
            turns += _read_message(item, role, f"messages.{index}", limits)
    if len(turns) > limits.max_messages:
        raise InputError("messages", f"{len(turns)} turns", f"send at most {limits.max_messages}")
    return turns


def read_system(value: object, limits: Limits) -> list[Message]:
    """The message of a top-level `system`: a string or a list of blocks; none where it is null or empty.

    Raises:
        InputError: neither, or a block that cannot be read.
    """
    if not value:
        return []
    if isinstance(value, str):
        return [Message(Role.SYSTEM, read_text(value, "system"))]
    draft = _Draft()
    _read_parts(value, "system", 1, draft, limits)
    return [draft.finish(Role.SYSTEM)]


def _read_message(item: dict[str, Any], role: Role, field: str, limits: Limits) -> list[Message]:
    content = item.get("content")
    turns: list[Message] = []
    draft = _Draft()
    if isinstance(content, str):
        draft.texts.append(read_text(content, f"{field}.content"))
    elif isinstance(content, list):
        for index, part in enumerate(read_list(content, f"{field}.content", limits.max_messages)):
            place = f"{field}.content.{index}"
            if isinstance(part, dict) and part.get("type") in _RESULTS:
                if draft:
                    turns.append(draft.finish(role))
                    draft = _Draft()
                result = _Draft()
                _read_parts(part.get("content"), f"{place}.content", 2, result, limits)
                turns.append(result.finish(Role.TOOL))
            else:
                _read_part(part, place, 1, draft, limits)
    _read_extras(item, field, draft, limits)
    is_silent = content is None and role is Role.ASSISTANT and draft
    if not isinstance(content, str | list) and not is_silent:
        raise refuse(f"{field}.content", content, "send a string or a list of parts")
    if draft or not turns:
        turns.append(draft.finish(role))
    return turns


def _read_extras(item: dict[str, Any], field: str, draft: _Draft, limits: Limits) -> None:
    """What a message says beside its content; an assistant's, mostly."""
    if item.get("refusal") is not None:
        draft.texts.append(read_text(item["refusal"], f"{field}.refusal"))
    if item.get("audio") is not None:
        draft.others.append("audio")
    draft.calls += read_calls(item, field, limits)
    draft.others += _read_other_parts(item.get("other_parts"), f"{field}.other_parts", limits)


def _read_other_parts(value: object, field: str, limits: Limits) -> list[str]:
    """The names that our own rows keep of parts without text."""
    names = read_list(value, field, limits.max_messages)
    return [_read_part_name(name, f"{field}.{index}") for index, name in enumerate(names)]


def _read_part_name(value: object, field: str) -> str:
    if not isinstance(value, str) or not _PART_NAME.fullmatch(value):
        raise refuse(field, value, "name the part's type in at most 64 letters, digits and _.-")
    return value


def _read_parts(value: object, field: str, depth: int, draft: _Draft, limits: Limits) -> None:
    """Content inside a block: a string, a list of parts, or nothing."""
    if depth > limits.max_depth:
        raise InputError(field, f"content nested deeper than {limits.max_depth} levels", "nest it less")
    if isinstance(value, str):
        draft.texts.append(read_text(value, field))
        return
    if value is not None and not isinstance(value, list):
        raise refuse(field, value, "send a string or a list of parts")
    for index, part in enumerate(read_list(value, field, limits.max_messages)):
        _read_part(part, f"{field}.{index}", depth, draft, limits)


def _read_part(value: object, field: str, depth: int, draft: _Draft, limits: Limits) -> None:
    if not isinstance(value, dict):
        raise refuse(field, value, "send an object with a type")
    kind = _read_part_name(value.get("type"), f"{field}.type")
    key = _TEXT_KEYS.get(kind)
    if key is not None:
        draft.texts.append(read_text(value.get(key), f"{field}.{key}"))
    elif kind in _CALLS:
        draft.calls.append(read_call(value, field, limits))
    elif kind in _RESULTS or kind == "search_result":
        _read_titles(value, field, draft)
        _read_parts(value.get("content"), f"{field}.content", depth + 1, draft, limits)
    elif kind == "document":
        _read_document(value, field, depth, draft, limits)
    elif isinstance(value.get("text"), str):
        draft.texts.append(read_text(value["text"], f"{field}.text"))
    else:
        draft.others.append(kind)


def _read_document(block: dict[str, Any], field: str, depth: int, draft: _Draft, limits: Limits) -> None:
    source = read_object(block.get("source"), f"{field}.source")
    _read_titles(block, field, draft)
    if source.get("type") == "text":
        draft.texts.append(read_text(source.get("data"), f"{field}.source.data"))
    elif source.get("type") == "content":
        _read_parts(source.get("content"), f"{field}.source.content", depth + 1, draft, limits)
    else:
        draft.others.append("document")


def _read_titles(block: dict[str, Any], field: str, draft: _Draft) -> None:
    for key in ("title", "context"):
        if block.get(key) is not None:
            draft.texts.append(read_text(block[key], f"{field}.{key}"))
