"""A request as text: an ordered list of segments, each with the marker of who speaks in it.

Nothing is cut here and nothing is left out: tool definitions, tool calls and the output contract are text like
any other. Every text is normalised first (`model/normalise.py`); what was decoded stands behind the segment that it
was found in, as a segment of its own. Whoever packs the segments into windows repeats a segment's marker in every
window it spills into.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stillwatch.data.records import Message, Request, Tool
from stillwatch.model.normalise import Traces, normalise

RENDERING_VERSION = 2
"""Raised whenever rendering, windows or pooling change: a bundle is refused that was trained in another way."""


DECODED = "decoded text:"
"""The marker of what was found in an encoding."""
DISGUISED = " (disguised):"
"""How a marker ends whose segment hides more than honest text does."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a request something stands.

    Attributes:
        turn: index of the message, from 0; None beside the messages.
        role: of the message, or `tools` or `response_format` beside them.
    """

    turn: int | None
    role: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of text by one speaker. `marker` is a word or two, such as `user:`."""

    marker: str
    text: str
    place: Place


@dataclass(frozen=True, slots=True)
class Rendering:
    """A request as text.

    Attributes:
        segments: in reading order.
        traces: what normalising undid.
    """

    segments: tuple[Segment, ...]
    traces: Traces


def render(request: Request) -> Rendering:
    """Render `request` in reading order: messages, then tools, then the output contract."""
    segments: list[Segment] = []
    traces = Traces()
    for segment in iter_segments(request):
        found = normalise(segment.text)
        segments.append(Segment(mark(segment.marker, found.traces), found.text, segment.place))
        segments += [Segment(DECODED, text, segment.place) for text in found.decoded]
        traces += found.traces
    return Rendering(tuple(segments), traces)


def render_text(request: Request) -> str:
    """The same as one string, a segment a line: what baselines and near-duplicate search read."""
    return "\n".join(f"{segment.marker} {segment.text}" for segment in render(request).segments)


def mark(marker: str, traces: Traces) -> str:
    """The marker of a segment whose text hid so much."""
    return marker.removesuffix(":") + DISGUISED if traces.is_disguised else marker


def iter_segments(request: Request) -> Iterator[Segment]:
    """The segments of a request in reading order as they came, before normalising."""
    for turn, message in enumerate(request.messages):
        yield from _render_message(message, Place(turn, message.role.value))
    for tool in request.tools:
        yield _render_tool(tool)
    if request.response_format:
        yield Segment("answer format:", request.response_format, Place(None, "response_format"))


def _render_message(message: Message, place: Place) -> list[Segment]:
    parts = [message.content] if message.content else []
    parts += [f"({part})" for part in message.other_parts]
    segments = [Segment(f"{message.role.value}:", "\n".join(parts), place)] if parts else []
    segments += [Segment("tool call:", f"{call.name} {call.arguments}".strip(), place) for call in message.tool_calls]
    return segments or [Segment(f"{message.role.value}:", "", place)]


def _render_tool(tool: Tool) -> Segment:
    text = " ".join(part for part in (tool.name, tool.description, tool.parameters) if part)
    return Segment("tool:", text, Place(None, "tools"))
