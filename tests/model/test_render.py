from __future__ import annotations

from stillwatch.data.labels import Role
from stillwatch.data.records import Message, Request, Tool, ToolCall
from stillwatch.model.render import Place, render, render_text

WHOLE = Request(
    messages=(
        Message(Role.SYSTEM, "be brief"),
        Message(Role.USER, "look at this", other_parts=("image_url", "input_audio")),
        Message(Role.ASSISTANT, "one moment", (ToolCall("find", '{"id":1}'), ToolCall("list"))),
        Message(Role.TOOL, "found"),
    ),
    tools=(Tool("find", "finds an order", '{"type":"object"}'), Tool("list")),
    response_format='{"type":"json_object"}',
)


def read(request: Request) -> list[tuple[str, str]]:
    return [(segment.marker, segment.text) for segment in render(request).segments]


def test_every_part_of_a_request_is_rendered_in_reading_order() -> None:
    assert read(WHOLE) == [
        ("system:", "be brief"),
        ("user:", "look at this\n(image_url)\n(input_audio)"),
        ("assistant:", "one moment"),
        ("tool call:", 'find {"id":1}'),
        ("tool call:", "list"),
        ("tool:", "found"),
        ("tool:", 'find finds an order {"type":"object"}'),
        ("tool:", "list"),
        ("answer format:", '{"type":"json_object"}'),
    ]


def test_every_segment_knows_where_in_the_request_it_stands() -> None:
    beside = [Place(None, "tools"), Place(None, "tools"), Place(None, "response_format")]
    turns = [(0, "system"), (1, "user"), (2, "assistant"), (2, "assistant"), (2, "assistant"), (3, "tool")]
    assert [segment.place for segment in render(WHOLE).segments] == [*(Place(*turn) for turn in turns), *beside]


def test_a_turn_of_tool_calls_alone_has_no_empty_segment() -> None:
    request = Request((Message(Role.ASSISTANT, "", (ToolCall("find"),)),))
    assert read(request) == [("tool call:", "find")]


def test_an_empty_turn_still_says_who_was_silent() -> None:
    assert read(Request((Message(Role.USER, ""),))) == [("user:", "")]


def test_rendered_text_holds_every_segment_on_a_line_of_its_own() -> None:
    text = render_text(WHOLE)
    assert all(f"{segment.marker} {segment.text}" in text for segment in render(WHOLE).segments)
    assert text.startswith("system: be brief\nuser: look at this\n")
