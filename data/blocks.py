"""Reads one part of a message's content, in the words of either dialect.

Whatever carries text is text, under whatever type; what carries none is named. Text files in base64 are decoded;
pictures, sound, PDF and the like are not.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

from stillwatch.data.errors import InputError
from stillwatch.data.fields import read_list, read_object, read_text, refuse
from stillwatch.data.labels import Role
from stillwatch.data.limits import Limits
from stillwatch.data.records import Message, ToolCall
from stillwatch.data.toolbox import read_call

_RESULTS = ("tool_result", "mcp_tool_result")
_TEXT_KEYS = {
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "thinking": "thinking",
    "refusal": "refusal",
}
_WORD_KEYS = (
    *("title", "context", "text", "thinking", "reasoning", "refusal", "summary", "transcript"),
    *("content", "source", "data", "stdout", "stderr", "output", "error_message"),
)
_CALLS = frozenset({"tool_use", "server_tool_use", "mcp_tool_use"})
_TEXT_FILES = ("text/", "application/json", "application/x-ndjson", "application/xml", "application/yaml")
_PART_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")


class Draft:
    """The turn that is being read: its texts, calls and names of other parts."""

    __slots__ = ("calls", "others", "texts")

    def __init__(self) -> None:
        """Begin with nothing said."""
        self.texts: list[str] = []
        self.calls: list[ToolCall] = []
        self.others: list[str] = []

    def __bool__(self) -> bool:
        """Whether anything was said."""
        return bool(self.texts or self.calls or self.others)

    def finish(self, role: Role) -> Message:
        """The turn as a message, its texts joined by line ends."""
        return Message(role, "\n".join(self.texts), tuple(self.calls), tuple(self.others))


def is_result(part: dict[str, Any]) -> bool:
    """Whether a part is the result of a tool: a turn of its own."""
    return part.get("type") in _RESULTS


def read_part_name(value: object, field: str) -> str:
    """The type of a part.

    Raises:
        InputError: no short name.
    """
    if not isinstance(value, str) or not _PART_NAME.fullmatch(value):
        raise refuse(field, value, "name the part's type in at most 64 letters, digits and _.-")
    return value


def read_parts(value: object, field: str, depth: int, draft: Draft, limits: Limits) -> None:
    """Read content inside a block: a string, a list of parts, or nothing.

    Raises:
        InputError: another kind, a part that cannot be read, or too deep a nesting.
    """
    if depth > limits.max_depth:
        raise InputError(field, f"content nested deeper than {limits.max_depth} levels", "nest it less")
    if isinstance(value, str):
        draft.texts.append(read_text(value, field))
        return
    if value is not None and not isinstance(value, list):
        raise refuse(field, value, "send a string or a list of parts")
    for index, part in enumerate(read_list(value, field, limits.max_messages)):
        read_part(part, f"{field}.{index}", depth, draft, limits)


def read_part(value: object, field: str, depth: int, draft: Draft, limits: Limits) -> None:
    """Read one part into the draft: what carries text as text, a call as a call, all else by its type.

    Raises:
        InputError: no object with a type, or one without what its type promises.
    """
    if not isinstance(value, dict):
        raise refuse(field, value, "send an object with a type")
    kind = read_part_name(value.get("type"), f"{field}.type")
    key = _TEXT_KEYS.get(kind)
    if key is not None:
        draft.texts.append(read_text(value.get(key), f"{field}.{key}"))
    elif kind in _CALLS:
        draft.calls.append(read_call(value, field, limits))
    elif kind in _RESULTS or kind == "search_result":
        _read_titles(value, field, draft)
        read_parts(value.get("content"), f"{field}.content", depth + 1, draft, limits)
    elif kind == "document":
        _read_document(value, field, depth, draft, limits)
    elif (text := _decode_file(value)) is not None:
        draft.texts.append(read_text(text, field))
    elif said := list(find_texts(value, field, depth, limits)):
        draft.texts += said
    else:
        draft.others.append(kind)


def find_texts(value: object, field: str, depth: int, limits: Limits) -> Iterator[str]:
    """Every text under the keys that carry words, in a shape that is not known: results of hosted tools, say.

    Raises:
        InputError: a text that cannot be encoded, too long a list, or too deep a nesting.
    """
    if depth > limits.max_depth:
        raise InputError(field, f"content nested deeper than {limits.max_depth} levels", "nest it less")
    if isinstance(value, str):
        yield read_text(value, field)
    elif isinstance(value, list):
        for index, item in enumerate(read_list(value, field, limits.max_messages)):
            yield from find_texts(item, f"{field}.{index}", depth + 1, limits)
    elif isinstance(value, dict):
        for key in _WORD_KEYS:
            if key in value and (key != "data" or value.get("type") == "text"):  # else it is encoded media
                yield from find_texts(value[key], f"{field}.{key}", depth + 1, limits)


def _read_document(block: dict[str, Any], field: str, depth: int, draft: Draft, limits: Limits) -> None:
    source = read_object(block.get("source"), f"{field}.source")
    _read_titles(block, field, draft)
    if source.get("type") == "text":
        draft.texts.append(read_text(source.get("data"), f"{field}.source.data"))
    elif source.get("type") == "content":
        read_parts(source.get("content"), f"{field}.source.content", depth + 1, draft, limits)
    elif (text := _decode_base64(source.get("media_type"), source.get("data"))) is not None:
        draft.texts.append(text)
    else:
        draft.others.append("document")


def _decode_file(part: dict[str, Any]) -> str | None:
    """The text of OpenAI's `file` or `input_file`, where it is a text file that came along; else None."""
    file = part.get("file") if isinstance(part.get("file"), dict) else part
    data = file.get("file_data") if isinstance(file, dict) else None
    if not isinstance(data, str) or not data.startswith("data:"):
        return None
    head, _, encoded = data.partition(",")
    return _decode_base64(head.removeprefix("data:").removesuffix(";base64"), encoded)


def _decode_base64(media_type: object, data: object) -> str | None:
    """The text of a text file, None where it is of another kind or no text."""
    if not isinstance(media_type, str) or not media_type.lower().startswith(_TEXT_FILES) or not isinstance(data, str):
        return None
    try:
        return b64decode(data).decode()
    except ValueError:  # of base64 and of UTF-8
        return None


def _read_titles(block: dict[str, Any], field: str, draft: Draft) -> None:
    for key in ("title", "context"):
        if block.get(key) is not None:
            draft.texts.append(read_text(block[key], f"{field}.{key}"))
