"""What cannot be read is refused by its path, with a remedy and without its text."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwatch.data.dialects import dump_labelled, parse_labelled, parse_request
from stillwatch.data.errors import InputError
from stillwatch.data.limits import Limits

MARK = "SECRET"
SMALL = Limits(max_characters=50, max_messages=3, max_depth=4, max_tools=2)


def said(content: object, role: object = "user") -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content}]}


def answered(**fields: object) -> dict[str, Any]:
    return {"messages": [{"role": "assistant", **fields}]}


def offered(tool: object) -> dict[str, Any]:
    return {**said("x"), "tools": [tool]}


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {MARK: value}
    return value


def results(depth: int) -> dict[str, Any]:
    block: dict[str, Any] = {"type": "text", "text": MARK}
    for _ in range(depth):
        block = {"type": "search_result", "content": [block]}
    return said([block])


BAD_REQUESTS: list[tuple[str, Any, str, str]] = [
    # name, body, field of the error, fragment of its message
    ("no object", [MARK], "request", "a list of 1"),
    ("no messages", {"question": MARK}, "messages", "null"),
    ("prompt of token ids", {"prompt": [101, 102]}, "prompt", "a number"),
    ("input of numbers", {"input": [3]}, "input.0", "a number"),
    ("input item of no kind", {"input": [{"text": MARK}]}, "input.0.content.0.type", "null"),
    ("instructions of a list", {"input": "x", "instructions": [MARK]}, "instructions", "a list of 1"),
    ("lone surrogate beside", {**said("x"), "documents": ["\ud800 not well-formed " + MARK]}, "documents", "lone"),
    ("contract too deep", {**said("x"), "guided_json": nested(5)}, "guided_json", "at most 4 levels"),
    ("empty messages", {"messages": []}, "messages", "an empty list"),
    ("messages of text", {"messages": MARK}, "messages", "a string of 6 characters"),
    ("message of text", {"messages": [MARK]}, "messages.0", "a string"),
    ("unknown role", said("x", MARK), "messages.0.role", "send one of system"),
    ("role of a list", said("x", [MARK]), "messages.0.role", "a list of 1"),
    ("no role", {"messages": [{"content": MARK}]}, "messages.0.role", "null"),
    ("content of a number", said(5), "messages.0.content", "a number"),
    ("content of an object", said({"text": MARK}), "messages.0.content", "an object"),
    ("null content of a user", said(None), "messages.0.content", "null"),
    ("null content of an assistant that calls nothing", said(None, "assistant"), "messages.0.content", "null"),
    ("part of text", said([MARK]), "messages.0.content.0", "a string"),
    ("part without type", said([{"text": MARK}]), "messages.0.content.0.type", "null"),
    ("part whose type is a list", said([{"type": [MARK]}]), "messages.0.content.0.type", "a list of 1"),
    ("part named in prose", said([{"type": "a b " + MARK}]), "messages.0.content.0.type", "64 letters"),
    ("text part without text", said([{"type": "text"}]), "messages.0.content.0.text", "null"),
    ("thinking of a list", said([{"type": "thinking", "thinking": []}]), "messages.0.content.0.thinking", "list"),
    ("tool use without name", said([{"type": "tool_use"}]), "messages.0.content.0.name", "null"),
    (
        "tool use with odd input",
        said([{"type": "tool_use", "name": "f", "input": 3}]),
        "messages.0.content.0.input",
        "a number",
    ),
    (
        "tool result of a number",
        said([{"type": "tool_result", "content": 3}]),
        "messages.0.content.0.content",
        "a number",
    ),
    (
        "nested part of text",
        said([{"type": "tool_result", "content": [MARK]}]),
        "messages.0.content.0.content.0",
        "a string",
    ),
    ("document without source", said([{"type": "document"}]), "messages.0.content.0.source", "null"),
    ("lone surrogate", said("ok \ud800" + MARK), "messages.0.content", "lone surrogate at character 3"),
    ("lone surrogate in a schema", offered({"name": "f", "parameters": {"\udc00": 1}}), "tools.0.parameters", "lone"),
    ("second message at fault", {"messages": [*said("x")["messages"], 7]}, "messages.1", "a number"),
    ("system of a number", {**said("x"), "system": 4}, "system", "a number"),
    ("system block of text", {**said("x"), "system": [MARK]}, "system.0", "a string"),
    ("tools of an object", {**said("x"), "tools": {}}, "tools", "an empty object"),
    ("tool of text", offered(MARK), "tools.0", "a string"),
    ("tool without name", offered({}), "tools.0.name", "null"),
    ("tool wrapped around text", offered({"function": MARK}), "tools.0.function", "a string"),
    ("tool named by a number", offered({"function": {"name": 3}}), "tools.0.function.name", "a number"),
    ("description of a list", offered({"name": "f", "description": [1]}), "tools.0.description", "a list"),
    ("schema of a list", offered({"name": "f", "parameters": [1]}), "tools.0.parameters", "a list of 1"),
    ("schema with NaN", offered({"name": "f", "parameters": {"a": float("nan")}}), "tools.0.parameters", "NaN"),
    ("schema of bytes", offered({"name": "f", "parameters": {"a": b"x"}}), "tools.0.parameters", "valid JSON"),
    ("schema with a huge number", offered({"name": "f", "parameters": {"a": 10**5000}}), "tools.0.parameters", "JSON"),
    ("call of text", answered(tool_calls=[MARK]), "messages.0.tool_calls.0", "a string"),
    ("calls of text", answered(tool_calls=MARK), "messages.0.tool_calls", "send a list"),
    ("refusal of a list", answered(refusal=[1]), "messages.0.refusal", "a list of 1"),
    ("odd other parts", answered(other_parts=[3]), "messages.0.other_parts.0", "a number"),
    ("format of text", {**said("x"), "response_format": [MARK]}, "response_format", "a list of 1"),
    ("temperature of text", {**said("x"), "temperature": MARK}, "temperature", "send a number"),
    ("temperature of a boolean", {**said("x"), "temperature": True}, "temperature", "a boolean"),
    ("infinite temperature", {**said("x"), "temperature": float("inf")}, "temperature", "not finite"),
    ("unspeakable temperature", {**said("x"), "temperature": 10**400}, "temperature", "not finite"),
    ("fractional budget", {**said("x"), "max_tokens": 1.5}, "max_tokens", "whole number"),
    ("negative count", {**said("x"), "n": -1}, "n", "whole number"),
    ("account of a number", {**said("x"), "user": 3}, "user", "a number"),
    ("time of text", {**said("x"), "time": MARK}, "time", "a string"),
    ("id of a list", {**said("x"), "id": [1]}, "id", "a list of 1"),
    ("too long", said("x" * 51), "request", "at most 50"),
    ("too many messages", {"messages": said("x")["messages"] * 4}, "messages", "at most 3"),
    ("too many parts", said([{"type": "image"}] * 4), "messages.0.content", "at most 3"),
    ("too many results", {"messages": said([{"type": "tool_result"}] * 3)["messages"] * 2}, "messages", "6 turns"),
    ("too many tools", {**said("x"), "tools": [{"name": "f"}] * 3}, "tools", "at most 2"),
    ("schema too deep", offered({"name": "f", "parameters": nested(5)}), "tools.0.parameters", "at most 4 levels"),
    ("schema beyond reason", offered({"name": "f", "parameters": nested(3000)}), "tools.0.parameters", "4 levels"),
    ("too long in names of parts", said([{"type": "x" * 26}] * 2), "request", "52 characters"),
    ("odd part too deep", said([{"type": "x", "content": [[[[MARK]]]]}]), "messages.0.content.0.content.0.0.0", "4"),
    ("thoughts too many", answered(content="x", reasoning=[MARK] * 4), "messages.0.reasoning", "at most 3"),
    ("content too deep", results(4), "messages.0.content.0" + ".content.0" * 3 + ".content", "deeper than 4"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "body", "field", "fragment"), BAD_REQUESTS, ids=[c[0] for c in BAD_REQUESTS])
def test_a_bad_request_is_refused_by_its_field(name: str, body: Any, field: str, fragment: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_request(body, SMALL)
    assert caught.value.field == field, name
    assert fragment in str(caught.value)
    assert MARK not in str(caught.value)


def test_no_error_beside_or_behind_a_refusal_holds_the_text() -> None:
    with pytest.raises(InputError) as caught:
        parse_request(said(MARK + "\ud800"))
    assert caught.value.__context__ is None


def test_a_refusal_passes_between_processes() -> None:
    error = InputError("messages", "null", "send a list", "rows.jsonl:3")
    again = copy.deepcopy(error)
    assert (type(again), str(again), again.where) == (InputError, str(error), "rows.jsonl:3")


def test_what_stands_at_a_limit_passes() -> None:
    assert parse_request(said("x" * 50), SMALL).num_characters == 50
    assert parse_request(offered({"name": "f", "parameters": nested(2) | {"a": [], "b": [1]}}), SMALL).tools
    assert parse_request(results(3), SMALL).messages[0].content == MARK


ROW: dict[str, Any] = {
    "id": "s/1",
    "source": "s",
    "family": "f",
    "label": "extraction",
    "technique": "coding_analysis",
    "visibility": "request",
    "messages": [{"role": "user", "content": "x"}],
}
BENIGN = {**ROW, "label": "benign", "technique": None, "visibility": None}

BAD_ROWS: list[tuple[str, Any, str, str]] = [
    ("no object", MARK, "row", "a string"),
    ("no id", {**ROW, "id": None}, "id", "null"),
    ("empty family", {**ROW, "family": ""}, "family", "an empty string"),
    ("source of a number", {**ROW, "source": 3}, "source", "a number"),
    ("unknown label", {**ROW, "label": MARK}, "label", "benign, extraction, ambiguous"),
    ("label of a list", {**ROW, "label": []}, "label", "an empty list"),
    ("unknown technique", {**ROW, "technique": MARK}, "technique", "reasoning_elicitation"),
    ("extraction without technique", {**ROW, "technique": None}, "technique", "null"),
    ("unknown visibility", {**ROW, "visibility": MARK}, "visibility", "request, stream"),
    ("extraction without visibility", {**ROW, "visibility": None}, "visibility", "null"),
    ("benign with technique", {**BENIGN, "technique": "coding_analysis"}, "technique", "null for a benign row"),
    ("benign with visibility", {**BENIGN, "visibility": "stream"}, "visibility", "null for a benign row"),
    ("ambiguous with odd technique", {**ROW, "label": "ambiguous", "technique": MARK}, "technique", "one of"),
    ("attributes of text", {**ROW, "attributes": MARK}, "attributes", "a string"),
    ("attribute of a number", {**ROW, "attributes": [1]}, "attributes.0", "a number"),
    ("session of a number", {**ROW, "session": 4}, "session", "a number"),
    ("messages of broken text", {**ROW, "messages": "[" + MARK}, "messages", "not JSON"),
    ("tools of deep text", {**ROW, "tools": "[" * 100_000}, "tools", "not JSON"),
    ("system turn last", {**ROW, "messages": [{"role": "system", "content": MARK}]}, "messages", "user or tool"),
    ("answers only", {**ROW, "messages": [{"role": "assistant", "content": MARK}]}, "messages", "user or tool"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "row", "field", "fragment"), BAD_ROWS, ids=[case[0] for case in BAD_ROWS])
def test_a_bad_row_is_refused_by_its_field(name: str, row: Any, field: str, fragment: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_labelled(row)
    assert caught.value.field == field, name
    assert fragment in str(caught.value)
    assert MARK not in str(caught.value)


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=8)
KEY_NAMES = """
messages role content type text thinking refusal source data title input name arguments function custom tool_calls
function_call tools functions parameters input_schema format description system metadata user_id user account time id
temperature max_tokens n response_format output_config other_parts audio label technique visibility family session
lang attributes
"""
WORD_NAMES = """
system user assistant tool function text thinking tool_use tool_result document search_result content image extraction
benign ambiguous coding_analysis request [] {}
"""
KEYS = st.sampled_from(KEY_NAMES.split())
WORDS = st.sampled_from(WORD_NAMES.split())
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT | WORDS
JSON = st.recursive(
    LEAVES,
    lambda child: st.lists(child, max_size=4) | st.dictionaries(KEYS | ANY_TEXT, child, max_size=5),
    max_leaves=20,
)
PARTS = st.fixed_dictionaries(
    {"type": WORDS | JSON}, optional=dict.fromkeys(("text", "content", "source", "input"), JSON)
)
CONTENTS = ANY_TEXT | st.lists(PARTS, max_size=3) | JSON
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": WORDS | JSON, "content": CONTENTS}, optional={"tool_calls": JSON, "refusal": JSON}),
    min_size=1,
    max_size=3,
)
BODIES = st.fixed_dictionaries(
    {"messages": MESSAGES | JSON},
    optional=dict.fromkeys(("tools", "system", "response_format", "user", "time", "n", "metadata"), JSON),
)
TEXT = st.text(max_size=8)
SOUND_PARTS = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": TEXT}),
    st.fixed_dictionaries({"type": st.just("image")}, optional={"source": JSON}),
    st.fixed_dictionaries({"type": st.just("tool_result")}, optional={"content": TEXT}),
    st.fixed_dictionaries({"type": st.just("tool_use"), "name": st.just("f"), "input": st.dictionaries(TEXT, TEXT)}),
)
SOUND_MESSAGES = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["system", "user", "assistant", "tool"]),
        "content": TEXT | st.lists(SOUND_PARTS, max_size=3),
    }
)
SOUND_TOOLS = st.fixed_dictionaries(
    {"name": st.just("f"), "parameters": TEXT | st.dictionaries(TEXT, st.booleans() | st.lists(TEXT, max_size=2))}
)
SOUND_BODIES = st.fixed_dictionaries(
    {"messages": st.lists(SOUND_MESSAGES, min_size=1, max_size=4)},
    optional={
        "tools": st.lists(SOUND_TOOLS, max_size=2),
        "system": TEXT,
        "response_format": TEXT | st.dictionaries(TEXT, TEXT),
        "time": st.floats(allow_nan=False, allow_infinity=False),
        "account": TEXT,
    },
)
PURPOSES = st.sampled_from(
    [("benign", None, None), ("extraction", "coding_analysis", "stream"), ("ambiguous", None, None)]
)


@given(JSON | BODIES | SOUND_BODIES)
def test_no_json_makes_the_door_fail_otherwise_than_by_refusing(body: Any) -> None:
    try:
        request = parse_request(body)
    except InputError:
        return
    assert request.messages
    assert len("".join(message.content for message in request.messages).encode()) <= 4 * request.num_characters


@given(SOUND_BODIES, PURPOSES)
def test_whatever_row_is_read_reads_back_the_same(
    body: dict[str, Any], purpose: tuple[str, str | None, str | None]
) -> None:
    label, technique, visibility = purpose
    row = {**ROW, **body, "label": label, "technique": technique, "visibility": visibility}
    try:
        record = parse_labelled(row)
    except InputError:
        return
    assert parse_labelled(dump_labelled(record)) == record
