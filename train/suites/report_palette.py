"""The colours of a report, on a light and on a dark ground; a test computes their contrast.

A colour never tells anything alone: lines have dashes and marks have shapes, and words stand beside both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Colour(NamedTuple):
    """One colour as `#rrggbb`, for either ground."""

    light: str
    dark: str


GROUNDS: Mapping[str, Colour] = {
    "ground": Colour("#ffffff", "#12161b"),
    "raised": Colour("#f4f6f8", "#1b2128"),
    "warning-ground": Colour("#fff4d6", "#3a2f12"),
}
"""What words and marks stand on."""

WORDS: Mapping[str, Colour] = {
    "ink": Colour("#16202a", "#e8edf2"),
    "muted": Colour("#4c5863", "#aab5c0"),
    "link": Colour("#0b57a4", "#8cc4ff"),
    "alarm": Colour("#a31621", "#ff9d9d"),
}
"""Colours of text: contrast of at least 4.5 on every ground (WCAG 2.2, 1.4.3)."""

MARKS: Mapping[str, Colour] = {
    "benign": Colour("#0072b2", "#56b4e9"),
    "extraction": Colour("#c04f00", "#ff9a52"),
    "guide": Colour("#6b7680", "#8d99a5"),
    "series-1": Colour("#c04f00", "#ff9a52"),
    "series-2": Colour("#0072b2", "#56b4e9"),
    "series-3": Colour("#007a59", "#35c99b"),
    "series-4": Colour("#a8467d", "#e79cc5"),
    "series-5": Colour("#6a5acd", "#b3a6ff"),
    "series-6": Colour("#7a6000", "#e0c04a"),
}
"""Colours of what is drawn: contrast of at least 3 on every ground (WCAG 2.2, 1.4.11)."""

RULES: Mapping[str, Colour] = {"rule": Colour("#d4dae0", "#39424c")}
"""Lines that only please the eye: nothing is lost where they are not seen."""

NUM_SERIES = 6
"""Systems that are told apart by colour; dashes and words tell the others apart."""


def to_css(*, dark: bool) -> str:
    """The colours as custom properties of CSS, such as `--ink: #16202a;`, for one of the grounds."""
    every = {**GROUNDS, **WORDS, **MARKS, **RULES}
    return " ".join(f"--{name}: {colour.dark if dark else colour.light};" for name, colour in every.items())
