"""Reads the tools that a request offers and the calls an assistant made, in every dialect's shape.

Arguments and schemas become JSON text, not understood here; a tool of unknown type is kept by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stillwatch.data.asides import iter_texts
from stillwatch.data.errors import InputError, kind_of
from stillwatch.data.fields import compact_json, read_list, read_name, read_object, read_text
from stillwatch.data.limits import Limits
from stillwatch.data.records import Tool, ToolCall

_TOLD = frozenset({"type", "name", "description", "server_description", "input_examples", "function", "custom"})
_SCHEMAS = ("parameters", "input_schema", "format")
"""Where the dialects put a tool's schema. All are read: which of them the model gets, its gateway decides."""


def read_tools(body: Mapping[str, object], limits: Limits) -> tuple[Tool, ...]:
    """The tools of a request: `tools`, then the legacy `functions`.

    Raises:
        InputError: a tool that is no object, has no name, or too many of them.
    """
    tools = []
    for key in ("tools", "functions"):
        for index, item in enumerate(read_list(body.get(key), key, limits.max_tools)):
            tools.append(_read_tool(item, f"{key}.{index}", limits))
    return tuple(tools)


def _read_tool(item: object, field: str, limits: Limits) -> Tool:
    outer, (tool, field) = read_object(item, field), _unwrap(read_object(item, field), field)
    name = tool.get("name", tool.get("type"))
    told = [read_text(tool.get(key) or "", f"{field}.{key}") for key in ("description", "server_description")]
    schemas = [compact_json(tool.get(key), f"{field}.{key}", limits) for key in _SCHEMAS]
    if examples := tool.get("input_examples"):
        schemas.append(compact_json({"examples": examples}, f"{field}.input_examples", limits))
    schemas += _read_asides(tool, field)
    if outer is not tool:
        schemas += _read_asides(outer, field, "description", *_SCHEMAS)
    return Tool(
        name=read_name(name, f"{field}.name"),
        description="\n".join(filter(None, told)),
        parameters="\n".join(filter(None, schemas)),
    )


def _read_asides(tool: Mapping[str, Any], field: str, *keys: str) -> list[str]:
    """What a tool says under keys that no dialect has, or under `keys` in the wrong place; templates may print it."""
    found = {key: value for key, value in tool.items() if key in keys or key not in (*_TOLD, *_SCHEMAS)}
    return [
        text for key, value in found.items() for text in iter_texts(value, f"{field}.{key}" if key in keys else field)
    ]


def read_calls(message: Mapping[str, Any], field: str, limits: Limits) -> list[ToolCall]:
    """The calls of an assistant's message: `tool_calls`, then the legacy `function_call`.

    Raises:
        InputError: a call that is no object, has no name, or too many of them.
    """
    calls = [
        read_call(item, f"{field}.tool_calls.{index}", limits)
        for index, item in enumerate(read_list(message.get("tool_calls"), f"{field}.tool_calls", limits.max_tools))
    ]
    if message.get("function_call") is not None:
        calls.append(read_call(message["function_call"], f"{field}.function_call", limits))
    return calls


def read_call(item: object, field: str, limits: Limits) -> ToolCall:
    """One call, from an object with `name` and `arguments` (or `input`), wrapped or flat.

    Raises:
        InputError: no object, or no name.
    """
    call, field = _unwrap(read_object(item, field), field)
    given = [compact_json(call.get(key), f"{field}.{key}", limits) for key in ("arguments", "input")]
    return ToolCall(name=read_name(call.get("name"), f"{field}.name"), arguments="\n".join(filter(None, given)))


def _unwrap(item: dict[str, Any], field: str) -> tuple[dict[str, Any], str]:
    """The object under `function` or `custom`, where the dialect wraps it so."""
    for wrapper in ("function", "custom"):
        inner = item.get(wrapper)
        if inner is not None:
            if not isinstance(inner, dict):
                raise InputError(f"{field}.{wrapper}", kind_of(inner), "send an object")
            return inner, f"{field}.{wrapper}"
    return item, field
