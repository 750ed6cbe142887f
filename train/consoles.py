"""Standard output for tables."""

from __future__ import annotations

import os

from rich.console import Console

_WIDTH = 140


def open_console() -> Console:
    """As wide as the terminal or as `COLUMNS` says; without either, so wide that a file or a pipe gets tables whole."""
    console = Console()
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(width=_WIDTH)
