"""Turns the columns of a foreign dataset into turns: patterns over columns, a column of turns, or a tree of rows.

Errors name the dataset, the row and the column, never what stands in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field

from stillwatch.data.configuration import Config
from stillwatch.data.errors import InputError, kind_of

Row = Mapping[str, object]
Turns = list[dict[str, str]]
Speaker = Literal["system", "user", "assistant", "tool"]

_CELL = re.compile(r"\{([^{}]+)\}")


class Columns(Config):
    """Every row is one request, each turn a pattern over its columns; a turn without text is left out."""

    form: Literal["columns"]
    turns: Annotated[tuple[Mapping[Speaker, str], ...], Field(min_length=1)]
    """Such as `- user: "{instruction}"`; a blank line beside an empty column goes with it."""


class Conversation(Config):
    """Every row holds a list of turns, or a mapping of equally long lists."""

    form: Literal["conversation"]
    column: str
    role: str = "role"
    text: str = "content"
    roles: Mapping[str, Speaker]
    """Whose turn it is, by the words of the role column; other roles are left out."""
    system: str = ""
    """Pattern of a system prompt before the turns."""


class Tree(Config):
    """Every row is one turn that names its parent; each turn of a user is one request, with all above it."""

    form: Literal["tree"]
    id: str
    parent: str
    text: str
    role: str
    roles: Mapping[str, Speaker]


def read_turns(form: Columns | Conversation | Tree, rows: Iterable[Row], name: str) -> Iterator[tuple[Row, Turns]]:
    """Each request's row and turns, in the order of the rows.

    Args:
        form: how the columns are to be read.
        rows: of the dataset.
        name: of the dataset, for errors.

    Raises:
        InputError: a row lacks a column or holds another kind of value.
    """
    if isinstance(form, Tree):
        yield from _climb(form, rows, name)
        return
    for number, row in enumerate(rows, start=1):
        where = f"{name}:{number}"
        yield row, _fill_turns(form, row, where) if isinstance(form, Columns) else _walk(form, row, where)


def fill(pattern: str, row: Row, where: str) -> str:
    """The pattern with every `{column}` replaced by the text of that column; an empty column takes blank lines along.

    Raises:
        InputError: there is no such column, or it holds neither text nor number.
    """
    filled = _CELL.sub(lambda match: _read_cell(row, match[1], where), pattern)
    return re.sub(r"\n{3,}", "\n\n", filled).strip("\n")


def _read_cell(row: Row, column: str, where: str) -> str:
    if column not in row:
        raise InputError(column, "no such column", "name a column of the dataset in the adapter", where)
    value = row[column]
    if value is None:
        return ""
    if isinstance(value, str | int | float):
        return str(value)
    raise InputError(column, kind_of(value), "name a column of texts or numbers", where)


def _fill_turns(form: Columns, row: Row, where: str) -> Turns:
    turns = [{"role": role, "content": fill(text, row, where)} for turn in form.turns for role, text in turn.items()]
    return [turn for turn in turns if turn["content"].strip()]


def _walk(form: Conversation, row: Row, where: str) -> Turns:
    value = row.get(form.column)
    if isinstance(value, Mapping):  # {role: [...], text: [...]}, as Arrow keeps a list of records
        roles, texts = _read_list(value, form.role, where), _read_list(value, form.text, where)
        pairs = list(zip(roles, texts, strict=False))
    else:
        turns = _read_list(row, form.column, where)
        pairs = [(turn.get(form.role), turn.get(form.text)) for turn in turns if isinstance(turn, Mapping)]
    system = fill(form.system, row, where)
    found: Turns = [{"role": "system", "content": system}] if system.strip() else []
    for role, text in pairs:
        speaker = form.roles.get(str(role))
        if speaker is not None and isinstance(text, str) and text.strip():
            found.append({"role": speaker, "content": text})
    return found


def _read_list(row: Row, column: str, where: str) -> Sequence[object]:
    value = row.get(column)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return value
    raise InputError(column, kind_of(value), "name a column that holds a list of turns", where)


def _climb(form: Tree, rows: Iterable[Row], name: str) -> Iterator[tuple[Row, Turns]]:
    known: dict[str, tuple[Row, str]] = {}
    for number, row in enumerate(rows, start=1):
        where = f"{name}:{number}"
        known[_read_cell(row, form.id, where)] = (row, where)
    for row, where in known.values():
        if form.roles.get(_read_cell(row, form.role, where)) != "user":
            continue
        turns: Turns = []
        seen: set[str] = set()
        place: str = _read_cell(row, form.id, where)
        while place in known and place not in seen:
            seen.add(place)
            above, its_where = known[place]
            speaker = form.roles.get(_read_cell(above, form.role, its_where))
            if speaker is not None:
                turns.append({"role": speaker, "content": _read_cell(above, form.text, its_where)})
            place = _read_cell(above, form.parent, its_where)
        yield row, turns[::-1]
