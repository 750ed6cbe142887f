"""Standard output for tables."""

from __future__ import annotations

from rich.console import Console

_WIDTH = 140


def open_console() -> Console:
    """As wide as the terminal; where there is none, wide enough that a file or a pipe gets tables whole."""
    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH)
