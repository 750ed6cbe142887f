"""What is told of a server: that it went away, that it came back. Needs no client library."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LinkChange:
    """The server went away or came back.

    Attributes:
        is_away: which of the two.
        error: type of the last failure, without its words; None when it came back.
        away_s: how long it was away, 0 when it went.
    """

    is_away: bool
    error: str | None = None
    away_s: float = 0.0
