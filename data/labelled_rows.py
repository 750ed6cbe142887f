"""Reads and writes a labelled request as one JSON object: a line of JSONL or a row of Parquet.

`parse_labelled(dump_labelled(record))` is the record again. Rows in which `messages` or `tools` are JSON
text, as Parquet shards hold them, are read too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from stillwatch.data.asides import CONTRACTS, SPOKEN
from stillwatch.data.bodies import parse_request
from stillwatch.data.errors import InputError
from stillwatch.data.fields import (
    compact_json,
    read_choice,
    read_list,
    read_name,
    read_optional_text,
    read_text,
    refuse,
)
from stillwatch.data.labels import Label, Role, Technique, Visibility
from stillwatch.data.limits import DEFAULT_LIMITS, Limits
from stillwatch.data.records import LabelledRequest, Message, Request, Tool


def parse_labelled(row: Mapping[str, object], limits: Limits = DEFAULT_LIMITS) -> LabelledRequest:
    """Read a labelled row. Final turns of the assistant are left out: the request is what led to them.

    Args:
        row: the parsed JSON object.
        limits: how large its request may be.

    Raises:
        InputError: the request cannot be read, has a system turn last or no turn of user or tool, or its
            label, technique and visibility do not go together.
    """
    if not isinstance(row, Mapping):
        raise refuse("row", row, "send an object with messages and label")
    given = {key: value for key, value in row.items() if key not in (*SPOKEN, *CONTRACTS)}  # columns of other datasets
    for key in ("messages", "tools"):
        if isinstance(given.get(key), str):
            given[key] = _decode(str(given[key]), key)
    request = _drop_answer(parse_request(given, limits))
    read_name(given.get("id"), "id")
    label = read_choice(given.get("label"), "label", Label)
    technique, visibility = _read_purpose(given, label)
    attributes = read_list(given.get("attributes"), "attributes", limits.max_tools)
    return LabelledRequest(
        request=request,
        label=label,
        family=read_name(given.get("family"), "family"),
        source=read_name(given.get("source"), "source"),
        technique=technique,
        visibility=visibility,
        session=read_optional_text(given.get("session"), "session"),
        lang=read_optional_text(given.get("lang"), "lang") or "en",
        kind=read_optional_text(given.get("kind"), "kind"),
        license=read_optional_text(given.get("license"), "license") or "",
        attributes=tuple(read_text(item, f"attributes.{index}") for index, item in enumerate(attributes)),
    )


def _drop_answer(request: Request) -> Request:
    end = len(request.messages)
    while end and request.messages[end - 1].role is Role.ASSISTANT:
        end -= 1
    if not end or request.messages[end - 1].role is Role.SYSTEM:
        raise InputError(
            "messages", "a conversation without a last turn of user or tool", "end it on a user or tool turn"
        )
    return request if end == len(request.messages) else replace(request, messages=request.messages[:end])


def _read_purpose(row: Mapping[str, object], label: Label) -> tuple[Technique | None, Visibility | None]:
    technique, visibility = row.get("technique"), row.get("visibility")
    if label is Label.BENIGN:
        for field, value in (("technique", technique), ("visibility", visibility)):
            if value is not None:
                raise refuse(field, value, "send null for a benign row")
        return None, None
    required = label is Label.EXTRACTION
    return (
        read_choice(technique, "technique", Technique) if required or technique is not None else None,
        read_choice(visibility, "visibility", Visibility) if required or visibility is not None else None,
    )


def dump_labelled(record: LabelledRequest) -> dict[str, object]:
    """The JSON object of a labelled request; what is empty or unknown is null or left out."""
    request = record.request
    row: dict[str, object] = {
        "id": record.id,
        "source": record.source,
        "family": record.family,
        "label": record.label.value,
        "technique": None if record.technique is None else record.technique.value,
        "visibility": None if record.visibility is None else record.visibility.value,
        "messages": [_dump_message(message) for message in request.messages],
        "session": record.session,
        "lang": record.lang,
        "kind": record.kind,
        "license": record.license,
    }
    optional: dict[str, object] = {
        "tools": [_dump_tool(tool) for tool in request.tools] or None,
        "attributes": list(record.attributes) or None,
        "response_format": request.response_format or None,
    }
    optional |= _dump_call(request)
    return row | {key: value for key, value in optional.items() if value is not None}


def _dump_call(request: Request) -> dict[str, object]:
    sampling = request.sampling
    return {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "n": sampling.n,
        "account": request.account,
        "time_s": request.time_s,
    }


def _dump_message(message: Message) -> dict[str, object]:
    row: dict[str, object] = {"role": message.role.value, "content": message.content}
    if message.tool_calls:
        row["tool_calls"] = [
            {"type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.other_parts:
        row["other_parts"] = list(message.other_parts)
    return row


def _dump_tool(tool: Tool) -> dict[str, object]:
    return {
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description,
            "parameters": _expand(tool.parameters),
        },
    }


def _expand(text: str) -> object:
    """The object that a JSON text says, where reading it again gives the same text; else the text."""
    if not text.startswith("{"):
        return text
    try:
        value = json.loads(text)
        same = compact_json(value, "text", DEFAULT_LIMITS) == text
    except (ValueError, RecursionError, InputError):
        return text
    return value if same else text


def _decode(text: str, field: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(field, "text that is not JSON", "send a list, or the JSON text of one") from None
