"""How large a request or a line may be before it is refused. Promises no bound on time, only on size."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that the door lets in.

    Attributes:
        max_characters: characters of text in a request.
        max_messages: messages of a request, and parts of a message.
        max_depth: levels of nested JSON in a schema, in arguments or in content.
        max_tools: tools of a request, and tool calls of a message.
        max_line_bytes: bytes of one line of a file, after decompression.
    """

    max_characters: int = 2_000_000
    max_messages: int = 10_000
    max_depth: int = 64
    max_tools: int = 2_000
    max_line_bytes: int = 64 * 2**20


DEFAULT_LIMITS = Limits()
"""The limits where the caller names none."""
