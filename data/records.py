"""The small frozen types of the whole house: a request, its messages, and a request with its label.

They are made by `stillwatch.data.dialects`, which checks once at the door; nothing behind it checks again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stillwatch.data.labels import Label, Role, Technique, Visibility


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the assistant made: the tool's name and its arguments as JSON text."""

    name: str
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `content` is text; parts that are not text are named in `other_parts` (`image_url`, ...)."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    other_parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool offered to the model; `parameters` is its JSON schema as text."""

    name: str
    description: str = ""
    parameters: str = ""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling parameters, where the request carried them. `max_tokens` and `n` are counts."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    n: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One call to the API.

    Attributes:
        messages: the conversation, in order, at least one message.
        tools: tools offered with it.
        sampling: sampling parameters.
        response_format: the output contract as JSON text, or empty.
        id: the caller's identifier, or None.
        account: the account that sent it, or None.
        time_s: Unix time in seconds, or None.
    """

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)
    response_format: str = ""
    id: str | None = None
    account: str | None = None
    time_s: float | None = None

    @property
    def num_characters(self) -> int:
        """Characters in the request: messages with names of other parts, tool calls, tools and output contract."""
        messages = sum(
            len(m.content) + sum(map(len, m.other_parts)) + sum(len(c.name) + len(c.arguments) for c in m.tool_calls)
            for m in self.messages
        )
        tools = sum(len(t.name) + len(t.description) + len(t.parameters) for t in self.tools)
        return messages + tools + len(self.response_format)


@dataclass(frozen=True, slots=True)
class LabelledRequest:
    """A request with what is known of it.

    Attributes:
        family: the template family, the unit of every split.
        source: the file or generator it came from.
        technique: set for extraction, None for benign.
        visibility: set for extraction, None for benign.
        session: what one app, user or run sent, where known.
        lang: ISO 639-1 code.
        kind: kind of use, for benign rows.
        license: SPDX expression or words of the source.
        attributes: what the request asks for and how, from the generator's vocabulary.
    """

    request: Request
    label: Label
    family: str
    source: str
    technique: Technique | None = None
    visibility: Visibility | None = None
    session: str | None = None
    lang: str = "en"
    kind: str | None = None
    license: str = ""
    attributes: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The record's identifier; the door guarantees that it is there."""
        return self.request.id or ""

    @property
    def is_extraction(self) -> bool:
        """Whether the label is `extraction`."""
        return self.label is Label.EXTRACTION

    @property
    def is_decided(self) -> bool:
        """Whether this one request is benign or extraction by its own text: only such records train and count.

        Ambiguous ones are neither, and extraction that only the stream shows looks ordinary on its own.
        """
        return self.label is Label.BENIGN or (self.is_extraction and self.visibility is Visibility.REQUEST)


JsonObject = Mapping[str, object]
"""A parsed JSON object at the door."""
