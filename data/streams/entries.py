"""Reads the entries of a declarative YAML file strictly: whatever is wrong is told by file, entry, field and remedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TypeGuard, TypeVar

import yaml

from stillwatch.data.errors import ConfigError, SourceError, kind_of
from stillwatch.data.material import parse_yaml

Word = TypeVar("Word", bound=StrEnum)


class Entry:
    """One mapping of a file, read field by field; `finish` refuses what nobody asked for."""

    def __init__(self, place: str, row: object, prefix: str = "") -> None:
        """Keep the mapping.

        Args:
            place: file and entry, for messages, such as `personas.yaml: persona casual`.
            row: the parsed mapping.
            prefix: path of the mapping within the entry, such as `arrival.`.

        Raises:
            ConfigError: it is no mapping.
        """
        self.place, self.prefix = place, prefix
        if not isinstance(row, dict):
            within = f": field {prefix.rstrip('.')}" if prefix else ""
            raise ConfigError(f"{place}{within}: {kind_of(row)}; give a mapping")
        self.row: Mapping[str, object] = {str(key): value for key, value in row.items()}
        self.asked: set[str] = set()

    def refuse(self, field: str, remedy: str) -> ConfigError:
        """The error for a field."""
        return ConfigError(f"{self.place}: field {self.prefix}{field}: {kind_of(self.row.get(field))}; {remedy}")

    def has(self, field: str) -> bool:
        """Whether the field is there."""
        self.asked.add(field)
        return field in self.row

    def finish(self) -> None:
        """Refuse unknown fields.

        Raises:
            ConfigError: there is a field that was never asked for.
        """
        for field in sorted(self.row.keys() - self.asked):
            known = ", ".join(sorted(self.asked))
            raise ConfigError(f"{self.place}: field {self.prefix}{field}: unknown; use one of {known}")

    def number(self, field: str, low: float, high: float, default: float | None = None) -> float:
        """A number within bounds, or the default where the field is missing."""
        if not self.has(field) and default is not None:
            return default
        value = self.row.get(field)
        if not _is_number(value) or not low <= value <= high:
            raise self.refuse(field, f"give a number from {low:g} to {high:g}")
        return float(value)

    def count(self, field: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number within bounds, or the default where the field is missing."""
        value = self.number(field, low, high, default)
        if value != int(value):
            raise self.refuse(field, "give a whole number")
        return int(value)

    def numbers(self, field: str, length: int, default: Sequence[float]) -> tuple[float, ...]:
        """A list of that many numbers, none below 0."""
        if not self.has(field):
            return tuple(default)
        values = self.row[field]
        if not isinstance(values, list) or len(values) != length or not all(_is_number(v) and v >= 0 for v in values):
            raise self.refuse(field, f"give a list of {length} numbers, none below 0")
        return tuple(float(value) for value in values)

    def span(self, field: str, default: tuple[int, int] | None = None) -> tuple[int, int]:
        """Two whole numbers, the second not below the first, both at least 1."""
        if not self.has(field) and default is not None:
            return default
        low, high = self.numbers(field, 2, ()) or (0, 0)
        if low < 1 or high < low or low % 1 or high % 1:
            raise self.refuse(field, "give two whole numbers from 1, such as [1, 3]")
        return int(low), int(high)

    def flag(self, field: str) -> bool:
        """True or false; false where the field is missing."""
        if self.has(field) and not isinstance(self.row[field], bool):
            raise self.refuse(field, "give true or false")
        return bool(self.row.get(field))

    def text(self, field: str, default: str | None = None) -> str:
        """A text that is not empty."""
        if not self.has(field) and default is not None:
            return default
        value = self.row.get(field)
        if not isinstance(value, str) or not value.strip():
            raise self.refuse(field, "give a text")
        return value.strip()

    def words(self, field: str) -> tuple[str, ...]:
        """A list of words; empty where the field is missing."""
        values = self.row.get(field, []) if self.has(field) else []
        if not isinstance(values, list) or not all(isinstance(value, str) and value for value in values):
            raise self.refuse(field, "give a list of words")
        return tuple(values)

    def choices(self, field: str, vocabulary: type[Word]) -> tuple[Word, ...]:
        """A list out of a closed vocabulary; empty where the field is missing."""
        known = {word.value: word for word in vocabulary}
        values = self.words(field)
        if not known.keys() >= set(values):
            raise self.refuse(field, f"use {', '.join(known)}")
        return tuple(known[value] for value in values)

    def optional_numbers(self, field: str) -> tuple[float | None, ...]:
        """A list of numbers and nulls; one null where the field is missing."""
        values = self.row.get(field, [None]) if self.has(field) else [None]
        good = isinstance(values, list) and values and all(v is None or (_is_number(v) and v >= 0) for v in values)
        if not good or not isinstance(values, list):
            raise self.refuse(field, "give a list of numbers or nulls, one of which each account draws")
        return tuple(values)

    def nested(self, field: str) -> Entry:
        """The mapping under a field; an empty one where the field is missing."""
        value = self.row[field] if self.has(field) else {}
        return Entry(self.place, value, f"{self.prefix}{field}.")


def read_entries(path: Path, what: str) -> dict[str, Entry]:
    """The entries of a file by name.

    Args:
        path: a YAML file, a mapping from names to entries.
        what: what an entry is, for messages: `persona`.

    Raises:
        SourceError: the file is missing.
        ConfigError: it is not YAML, not a mapping, or an entry is none.
    """
    if not path.is_file():
        raise SourceError(f"{path}: no such file; give a YAML file of {what}s")
    try:
        rows = parse_yaml(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark is not None else ""
        raise ConfigError(f"{path.name}: not YAML{line}; quote texts that hold ': '") from error
    if not isinstance(rows, dict) or not rows:
        raise ConfigError(f"{path.name}: {kind_of(rows)}; give a mapping from names to {what}s")
    return {str(name): Entry(f"{path.name}: {what} {name}", row) for name, row in rows.items()}


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
