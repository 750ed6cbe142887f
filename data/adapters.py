"""Reads datasets in their own columns: a small YAML file says which column is what, and what the rows are.

The files stand in `configs/sources/`. A hub dataset is pinned by a commit, a local one is a file of JSON lines, gzip
or Parquet. Label, technique, family and visibility are declared for the whole dataset, for no public dataset says
them row by row. Rows without any text are passed over and counted; a row in other columns is an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from stillwatch.data.cleaning import clean
from stillwatch.data.columns import Columns, Conversation, Row, Tree, fill, read_turns
from stillwatch.data.configuration import Config, load_config_file
from stillwatch.data.errors import InputError, SourceError
from stillwatch.data.labelled_rows import parse_labelled
from stillwatch.data.labels import Label, Technique, Visibility
from stillwatch.data.reading import iter_rows
from stillwatch.data.records import LabelledRequest


class Adapter(Config):
    """What a file of `configs/sources/` says."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    """The `source` of its records."""
    hub: str | None = None
    """Id of a Hugging Face dataset ..."""
    subset: str | None = None
    """... its configuration ..."""
    revision: Annotated[str | None, Field(pattern=r"^[0-9a-f]{40}$")] = None
    """... and the commit that is read: without it a dataset changes under the run."""
    split: str = "train"
    path: Path | None = None
    """Instead of `hub`: a local file of rows in the same columns."""
    license: str
    label: Label
    technique: Technique | None = None
    visibility: Visibility | None = None
    family: str
    """The family of all rows, or `{column}` where a column tells moulds apart."""
    kind: str | None = None
    lang: str = "en"
    """ISO 639-1 code, or `{column}`."""
    lang_codes: Mapping[str, str] = {}
    """Codes for the words of that column, such as English: en."""
    session: str | None = None
    """`{column}` of what one user or app sent."""
    tools: str | None = None
    """Column of tool definitions, a list or JSON text."""
    turns: Columns | Conversation | Tree = Field(discriminator="form")
    mask: bool = True
    """Mask personal data."""

    @model_validator(mode="after")
    def _one_place(self) -> Adapter:
        if (self.hub is None) == (self.path is None):
            raise ValueError("name either hub or path")
        if self.hub is not None and self.revision is None:
            raise ValueError("revision is missing: pin the commit of the dataset that you mean")
        if (self.label is Label.EXTRACTION) != (self.visibility is not None):
            raise ValueError("visibility belongs to extraction, and to nothing else")
        if (self.label is Label.BENIGN) != (self.technique is None):
            raise ValueError("technique belongs to extraction and ambiguous rows")
        return self


def load_adapter(path: Path) -> Adapter:
    """Read one file of `configs/sources/`.

    Raises:
        ConfigError: the file is missing or not YAML, or a key is unknown, missing or of a wrong value.
    """
    adapter = load_config_file(Adapter, path)
    if adapter.path is not None and not adapter.path.is_absolute():
        adapter = adapter.model_copy(update={"path": path.parent / adapter.path})
    return adapter


def load_adapted(adapter: Adapter, *, max_rows: int | None = None) -> list[LabelledRequest]:
    """The records of a dataset.

    Args:
        adapter: what its rows mean.
        max_rows: only so many rows from the start, for a try.

    Raises:
        SourceError: the hub or the file cannot be reached.
        InputError: a row lacks a column or holds another kind of value; source, row and column are named.
    """
    return list(adapt_rows(adapter, islice(_open_rows(adapter), max_rows)))


def adapt_rows(adapter: Adapter, rows: Iterable[Row]) -> Iterator[LabelledRequest]:
    """Turn rows into records, in their order; rows without text or without a user's turn are left out."""
    for number, (row, messages) in enumerate(read_turns(adapter.turns, rows, adapter.name)):
        where = f"{adapter.name}:{number + 1}"
        while messages and messages[-1]["role"] not in ("user", "tool"):
            messages = messages[:-1]
        if not messages:
            continue
        record = parse_labelled(
            {
                "id": f"{adapter.name}/{number}",
                "source": adapter.name,
                "family": fill(adapter.family, row, where),
                "label": adapter.label.value,
                "technique": adapter.technique,
                "visibility": adapter.visibility,
                "license": adapter.license,
                "kind": adapter.kind,
                "lang": _read_language(adapter, row, where),
                "session": None if adapter.session is None else fill(adapter.session, row, where),
                "messages": messages,
                "tools": _read_tools(adapter, row, where),
            }
        )
        yield clean(record) if adapter.mask else record


def _open_rows(adapter: Adapter) -> Iterator[Row]:
    if adapter.path is not None:
        for row in iter_rows(adapter.path):
            if isinstance(row.value, InputError):
                raise row.value
            yield row.value
        return
    from datasets import load_dataset  # heavy, and needed only for the hub

    try:
        yield from load_dataset(
            str(adapter.hub), adapter.subset, split=adapter.split, revision=adapter.revision, streaming=False
        )
    except (OSError, ValueError) as error:
        raise SourceError(
            f"sources: {adapter.hub} at {str(adapter.revision)[:8]} cannot be fetched ({type(error).__name__}); "
            "run once where the hub is reached (it is then cached), or download its files and name them by `path`"
        ) from error


def _read_language(adapter: Adapter, row: Row, where: str) -> str:
    found = fill(adapter.lang, row, where)
    return adapter.lang_codes.get(found, found)


def _read_tools(adapter: Adapter, row: Row, where: str) -> Sequence[object]:
    if adapter.tools is None:
        return []
    value = row.get(adapter.tools)
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise InputError(adapter.tools, "text that is no JSON", "give tool definitions as a list", where) from error
    return value if isinstance(value, list) else []
