"""Outward features of a request: what a classifier could tell labels apart by without reading a word.

Each is a number that says nothing of intent. The audit measures how far each of them alone gives the label away, and
the balance takes that away.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stillwatch.data.labels import Role
from stillwatch.data.records import LabelledRequest, Request

_COUNTED = {
    "markdown headings": re.compile(r"(?m)^#{1,6} "),
    "bullets": re.compile(r"(?m)^\s*[-*•] "),
    "numbered lines": re.compile(r"(?m)^\s*\(?\d{1,3}[.)\]] "),
    "code fences": re.compile(r"```"),
    "tags": re.compile(r"</?[A-Za-z_][\w-]*>"),
    "bracketed words": re.compile(r"\[[A-Za-z_ ]{2,30}\]"),
    "braces": re.compile(r"[{}]"),
    "quotation marks": re.compile(r"[\"“”«»「」]"),
    "question marks": re.compile("[?\uff1f]"),
    "exclamation marks": re.compile("[!\uff01]"),
    "colons": re.compile("[:\uff1a]"),
}
_SHARES = {
    "newlines": re.compile(r"\n"),
    "blank lines": re.compile(r"\n\s*\n"),
    "trailing white space": re.compile(r"[ \t]+(?=\n|\Z)"),
    "digits": re.compile(r"\d"),
    "upper-case letters": re.compile(r"[A-Z]"),
    "letters beyond ASCII": re.compile(r"[^\x00-\x7f]"),
    "full-width punctuation": re.compile("[\u3000-\u303f\uff00-\uff65]"),
}

FEATURES: tuple[str, ...] = (
    "characters",
    "characters of the first user turn",
    "characters of the last turn",
    "characters of the system prompt",
    "longest line",
    "turns",
    "system prompt",
    "assistant turns",
    "tool turns",
    "tools offered",
    *_COUNTED,
    *_SHARES,
)
"""Names of the features, in the order of `measure_surface`."""


def measure_surface(request: Request) -> list[float]:
    """The features of one request, one number for each of `FEATURES`: counts, characters, or shares of characters."""
    messages = request.messages
    roles = [message.role for message in messages]
    text = "\n".join(message.content for message in messages)
    users = [message.content for message in messages if message.role is Role.USER]
    systems = [message.content for message in messages if message.role is Role.SYSTEM]
    length = max(1, len(text))
    return [
        float(len(text)),
        float(len(users[0]) if users else 0),
        float(len(messages[-1].content)),
        float(sum(map(len, systems))),
        float(max(map(len, text.split("\n")))),
        float(len(messages) - len(systems)),
        float(bool(systems)),
        float(roles.count(Role.ASSISTANT)),
        float(roles.count(Role.TOOL)),
        float(len(request.tools)),
        *(float(len(pattern.findall(text))) for pattern in _COUNTED.values()),
        *(sum(map(len, pattern.findall(text))) / length for pattern in _SHARES.values()),
    ]


def tabulate_surface(records: Sequence[LabelledRequest]) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """The features of many records with one indicator for every language among them.

    Returns:
        names of the columns, and an array of shape (records, columns).
    """
    languages = sorted({record.lang for record in records})
    rows = [
        [*measure_surface(record.request), *(float(record.lang == lang) for lang in languages)] for record in records
    ]
    return (*FEATURES, *(f"language {lang}" for lang in languages)), np.array(rows, np.float64)
