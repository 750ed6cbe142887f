"""Nested settings as dotted names with text values, the form in which a tracking store keeps parameters."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping


def iter_dotted(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Name and text of every leaf: `{"fit": {"epochs": 3}}` gives `fit.epochs`, `3`.

    A list of objects is numbered (`sources.0.kind`); any other list is a leaf in JSON.

    Args:
        value: a mapping, or what stands inside one.
        path: the name of `value` itself.
    """
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from iter_dotted(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple) and any(isinstance(inner, Mapping) for inner in value):
        for place, inner in enumerate(value):
            yield from iter_dotted(inner, f"{path}.{place}")
    else:
        yield path, to_text(value)


def to_text(value: object) -> str:
    """A string as it is, anything else as JSON; what JSON does not know (a path, a date) as its own words."""
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def cut(text: str, max_characters: int) -> str:
    """A text of at most `max_characters`; one that was longer ends with a note of its length."""
    if len(text) <= max_characters:
        return text
    note = f" ... [cut, {len(text)} characters]"
    return text[: max_characters - len(note)] + note
