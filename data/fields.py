"""Reads one field of a parsed JSON object, or refuses it by its path.

Every refusal is an `InputError` that tells the path and the kind of the value, never the value.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, TypeVar

from stillwatch.data.errors import InputError, kind_of
from stillwatch.data.limits import Limits

E = TypeVar("E", bound=StrEnum)

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def refuse(field: str, value: object, remedy: str) -> InputError:
    """The error for a value of the wrong kind."""
    return InputError(field, kind_of(value), remedy)


def read_text(value: object, field: str) -> str:
    """A string that can be encoded; control characters pass, they are evidence.

    Raises:
        InputError: no string, or one with a lone surrogate.
    """
    if not isinstance(value, str):
        raise refuse(field, value, "send a string")
    if not value.isascii():
        try:
            value.encode()
            return value
        except UnicodeEncodeError as error:
            start = error.start
        # Raised out here: the codec's error holds the text, and would go along as __context__.
        raise InputError(field, f"a lone surrogate at character {start}", "send well-formed Unicode")
    return value


def read_name(value: object, field: str) -> str:
    """A string that is not empty.

    Raises:
        InputError: no string, an empty one, or one with a lone surrogate.
    """
    if not value:
        raise refuse(field, value, "send a string that is not empty")
    return read_text(value, field)


def read_optional_text(value: object, field: str) -> str | None:
    """A string, or None where it is null or empty.

    Raises:
        InputError: neither a string nor null.
    """
    return None if value is None else read_text(value, field) or None


def read_object(value: object, field: str) -> dict[str, Any]:
    """An object.

    Raises:
        InputError: anything else.
    """
    if not isinstance(value, dict):
        raise refuse(field, value, "send an object")
    return value


def read_list(value: object, field: str, max_items: int) -> list[Any]:
    """A list of at most `max_items`; null is the empty list.

    Raises:
        InputError: anything else, or too many items.
    """
    if value is None:
        return []
    if not isinstance(value, list):
        raise refuse(field, value, "send a list")
    if len(value) > max_items:
        raise refuse(field, value, f"send at most {max_items}")
    return value


def read_number(value: object, field: str) -> float | None:
    """A finite number, or None where it is null.

    Raises:
        InputError: anything else.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refuse(field, value, "send a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InputError(field, "a number that is not finite", "send a finite number")
    return number


def read_count(value: object, field: str) -> int | None:
    """A whole number from 0 to 2^63 - 1, or None where it is null.

    Raises:
        InputError: anything else.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise refuse(field, value, "send a whole number of at least 0")
    return value


def read_choice(value: object, field: str, choices: type[E]) -> E:
    """A member of a closed vocabulary.

    Raises:
        InputError: no string, or a word outside the vocabulary.
    """
    if isinstance(value, str):
        for choice in choices:
            if choice == value:
                return choice
    raise refuse(field, value, f"send one of {', '.join(choices)}")


def compact_json(value: object, field: str, limits: Limits) -> str:
    """JSON text of an object without blanks; text is taken for JSON already and kept, null is empty.

    Raises:
        InputError: neither of these, what JSON cannot say (NaN, a lone surrogate), or too deep a nesting.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return read_text(value, field)
    if not isinstance(value, dict):
        raise refuse(field, value, "send an object, or its JSON text")
    try:
        text = _ENCODER.encode(value)
    except RecursionError:
        raise _too_deep(field, limits) from None
    except (TypeError, ValueError):
        raise refuse(field, value, "send valid JSON without NaN or Infinity") from None
    if text.count("[") + text.count("{") > limits.max_depth and _is_deeper(value, limits.max_depth):
        raise _too_deep(field, limits)
    return read_text(text, field)


def _too_deep(field: str, limits: Limits) -> InputError:
    return InputError(
        field, f"JSON nested deeper than {limits.max_depth} levels", f"nest at most {limits.max_depth} levels"
    )


def _is_deeper(value: object, max_depth: int) -> bool:
    level: list[Any] = [value]
    for _ in range(max_depth + 1):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return False
    return True


def iter_strings(value: object) -> Iterator[str]:
    """Every string within a value, in reading order, however deep it is nested."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, Mapping):
            waiting += reversed(list(each.values()))
        elif isinstance(each, list):
            waiting += reversed(each)
