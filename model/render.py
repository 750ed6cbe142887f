"""A request as text: an ordered list of segments, each with the marker of who speaks in it.

Nothing is cut here and nothing is left out: tool definitions, tool calls and the output contract are text like
any other. Whoever packs the segments into windows repeats a segment's marker in every window it spills into.
"""

from __future__ import annotations

from dataclasses import dataclass

from stillwatch.data.records import Message, Request, Tool

RENDERING_VERSION = 1
"""Raised whenever rendering, windows or pooling change: a bundle is refused that was trained in another way."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of text by one speaker. `marker` is a word or two, such as `user:`."""

    marker: str
    text: str


def render(request: Request) -> tuple[Segment, ...]:
    """The segments of `request` in reading order: messages, then tools, then the output contract."""
    segments = [segment for message in request.messages for segment in _render_message(message)]
    segments += [_render_tool(tool) for tool in request.tools]
    if request.response_format:
        segments.append(Segment("answer format:", request.response_format))
    return tuple(segments)


def render_text(request: Request) -> str:
    """The same as one string, a segment a line: what baselines and near-duplicate search read."""
    return "\n".join(f"{segment.marker} {segment.text}" for segment in render(request))


def _render_message(message: Message) -> list[Segment]:
    parts = [message.content] if message.content else []
    parts += [f"({part})" for part in message.other_parts]
    segments = [Segment(f"{message.role.value}:", "\n".join(parts))] if parts else []
    segments += [Segment("tool call:", f"{call.name} {call.arguments}".strip()) for call in message.tool_calls]
    return segments or [Segment(f"{message.role.value}:", "")]


def _render_tool(tool: Tool) -> Segment:
    text = " ".join(part for part in (tool.name, tool.description, tool.parameters) if part)
    return Segment("tool:", text)
