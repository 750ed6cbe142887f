"""Reads the conversation of a request, in the words of OpenAI Chat Completions and Anthropic Messages alike.

One reader serves both dialects, so a body that mixes them is still read whole. A tool result inside a user
message becomes a message of its own, in its place.
"""

from __future__ import annotations

from typing import Any

from stillwatch.data.blocks import Draft, find_texts, is_result, read_part, read_part_name, read_parts
from stillwatch.data.errors import InputError
from stillwatch.data.fields import read_list, read_text, refuse
from stillwatch.data.labels import Role
from stillwatch.data.limits import Limits
from stillwatch.data.records import Message
from stillwatch.data.toolbox import read_calls

_ROLES = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
    "tool": Role.TOOL,
    "function": Role.TOOL,
}
_THOUGHTS = ("reasoning_content", "reasoning", "reasoning_details", "thinking_blocks")
"""Where DeepSeek, OpenRouter, vLLM and LiteLLM put an assistant's thoughts."""


def read_turns(value: object, limits: Limits, *, field: str = "messages") -> list[Message]:
    """The messages under `messages`, at least one.

    Args:
        value: the list.
        limits: how long it may be.
        field: what errors call it.

    Raises:
        InputError: no list, an empty one, or a message that cannot be read; the field tells which.
    """
    if not value:
        raise refuse(field, value, "send a list of at least one message")
    turns: list[Message] = []
    for index, item in enumerate(read_list(value, field, limits.max_messages)):
        if not isinstance(item, dict):
            raise refuse(f"{field}.{index}", item, "send an object with role and content")
        name = item.get("role")
        role = _ROLES.get(name) if isinstance(name, str) else None
        if role is None:
            raise refuse(f"{field}.{index}.role", name, f"send one of {', '.join(_ROLES)}")
        content = item.get("content")
        if isinstance(content, str) and len(item) == 2:
            turns.append(Message(role, read_text(content, f"{field}.{index}.content")))
        else:
            turns += _read_message(item, role, f"{field}.{index}", limits)
    if len(turns) > limits.max_messages:
        raise InputError(field, f"{len(turns)} turns", f"send at most {limits.max_messages}")
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
    draft = Draft()
    read_parts(value, "system", 1, draft, limits)
    return [draft.finish(Role.SYSTEM)]


def _read_message(item: dict[str, Any], role: Role, field: str, limits: Limits) -> list[Message]:
    content = item.get("content")
    turns: list[Message] = []
    draft = Draft()
    if isinstance(content, str):
        draft.texts.append(read_text(content, f"{field}.content"))
    elif isinstance(content, list):
        for index, part in enumerate(read_list(content, f"{field}.content", limits.max_messages)):
            place = f"{field}.content.{index}"
            if isinstance(part, dict) and is_result(part):
                if draft:
                    turns.append(draft.finish(role))
                    draft = Draft()
                result = Draft()
                read_parts(part.get("content"), f"{place}.content", 2, result, limits)
                turns.append(result.finish(Role.TOOL))
            else:
                read_part(part, place, 1, draft, limits)
    _read_extras(item, field, draft, limits)
    is_silent = content is None and role is Role.ASSISTANT and draft
    if not isinstance(content, str | list) and not is_silent:
        raise refuse(f"{field}.content", content, "send a string or a list of parts")
    if draft or not turns:
        turns.append(draft.finish(role))
    return turns


def _read_extras(item: dict[str, Any], field: str, draft: Draft, limits: Limits) -> None:
    """What a message says beside its content; an assistant's, mostly."""
    if item.get("refusal") is not None:
        draft.texts.append(read_text(item["refusal"], f"{field}.refusal"))
    thoughts = [text for key in _THOUGHTS for text in find_texts(item.get(key), f"{field}.{key}", 1, limits)]
    draft.texts += dict.fromkeys(thoughts)  # gateways say one thought under two keys
    if item.get("audio") is not None:
        draft.texts += find_texts(item["audio"], f"{field}.audio", 1, limits)
        draft.others.append("audio")
    draft.calls += read_calls(item, field, limits)
    draft.others += _read_other_parts(item.get("other_parts"), f"{field}.other_parts", limits)


def _read_other_parts(value: object, field: str, limits: Limits) -> list[str]:
    """The names that our own rows keep of parts without text."""
    names = read_list(value, field, limits.max_messages)
    return [read_part_name(name, f"{field}.{index}") for index, name in enumerate(names)]
