"""Writes and reads a built dataset: a folder of Parquet shards, a datasheet, a page, and the manifest that seals them.

The folder appears under its name only when it is whole. A build that broke off leaves a hidden draft beside it, and the
next build of the same recipe takes over the shards that are intact there. Equal records give equal bytes with equal
versions of the libraries named in the manifest; other versions of pyarrow may compress otherwise.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from stillwatch.data.dialects import dump_labelled
from stillwatch.data.errors import SourceError
from stillwatch.data.reading import read_labelled
from stillwatch.data.records import LabelledRequest

MANIFEST = "manifest.json"
"""The manifest's file name; a folder with it is a dataset of ours."""

FORMAT = "stillwatch-dataset/2"
"""The layout's name and version."""

ROWS_PER_SHARD = 10_000
"""The most rows a shard holds."""

COUNTED = ("label", "technique", "visibility", "lang", "source", "family", "license")
"""The columns that the manifest counts by value."""

_RECIPE = "recipe.json"  # in a draft: what it is a draft of


def write_dataset(
    splits: Mapping[str, Sequence[LabelledRequest]],
    folder: Path,
    *,
    recipe: Mapping[str, object],
    facts: Mapping[str, object],
    pages: Callable[[Mapping[str, Any]], Mapping[str, str]] = lambda manifest: {},
    rows_per_shard: int = ROWS_PER_SHARD,
    on_shard: Callable[[int], None] = lambda rows: None,
) -> Mapping[str, Any]:
    """Write records as a dataset folder, replacing an older dataset of that name.

    Args:
        splits: records by split.
        folder: where the dataset shall stand.
        recipe: what the records were made by, with seed and versions; kept in the manifest.
        facts: what is known of the records beyond their counts (audits, what was dropped); kept in the manifest.
        pages: makes further files (name to text) out of the manifest.
        rows_per_shard: rows of a shard.
        on_shard: told the number of rows of each shard that is done.

    Returns:
        the manifest.

    Raises:
        SourceError: the folder exists and is not a dataset, there are no records, or one of them carries
            what the format has no column for (account, time, sampling).
    """
    check_target(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = _open_draft(folder, recipe)
    shards = []
    for split, records in splits.items():
        for number, rows in enumerate(_batches(records, rows_per_shard)):
            shards.append(_write_shard(rows, draft, f"{split}-{number:05}.parquet", split))
            on_shard(len(rows))
    if not shards:
        raise SourceError("records: none given; a dataset holds at least one")
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "rows": sum(len(records) for records in splits.values()),
        "splits": {split: _count(records) for split, records in splits.items()},
        "recipe": dict(recipe),
        "facts": dict(facts),
        "versions": {name: version(name) for name in ("stillwatch", "datasets", "jinja2", "pyarrow")},
        "shards": shards,
    }
    files = pages(manifest)
    for name, text in files.items():
        _write_text(draft / name, text)
    manifest["files"] = {name: _digest(draft / name) for name in sorted(files)}
    kept = {MANIFEST, *files, *(shard["file"] for shard in shards)}
    for path in draft.iterdir():
        if path.name not in kept:
            path.unlink()
    _write_text(draft / MANIFEST, json.dumps(manifest, ensure_ascii=False, indent=2, sort_keys=True) + "\n")
    check_target(folder)
    if folder.exists():
        shutil.rmtree(folder)
    draft.rename(folder)
    return manifest


def check_target(folder: Path) -> None:
    """Refuse a target that holds something else than a dataset.

    Raises:
        SourceError: the folder exists, is not empty and has no manifest of ours.
    """
    if folder.is_dir() and (not any(folder.iterdir()) or _read_manifest(folder) is not None):
        return
    if folder.exists():
        raise SourceError(f"{folder}: exists and is no dataset of ours; choose another folder or remove it")


def load_dataset_folder(folder: Path, splits: Sequence[str] | None = None) -> list[LabelledRequest]:
    """Read a dataset folder after checking every shard that is read against the manifest.

    Args:
        folder: the dataset.
        splits: which of its splits; all when left out.

    Raises:
        SourceError: there is no manifest, a shard is missing or was changed, or a split is unknown.
    """
    manifest = _read_manifest(folder)
    if manifest is None:
        raise SourceError(f"{folder}: no {MANIFEST} of a dataset; build one with `stillwatch data build`")
    unknown = sorted(set(splits or ()) - set(manifest["splits"]))
    if unknown:
        raise SourceError(f"{folder}: no split {unknown[0]}; choose from {', '.join(manifest['splits'])}")
    records = []
    for shard in manifest["shards"]:
        if splits is not None and shard["split"] not in splits:
            continue
        path = folder / shard["file"]
        if not path.is_file() or _digest(path) != shard["sha256"]:
            raise SourceError(f"{path}: missing or changed since it was built; build the dataset again")
        records += read_labelled(path)
    return records


def load_any(path: Path) -> list[LabelledRequest]:
    """The records of a built dataset, or of a labelled file or a folder of them.

    Raises:
        SourceError, InputError: see `load_dataset_folder` and `read_labelled`.
    """
    return load_dataset_folder(path) if (path / MANIFEST).is_file() else read_labelled(path)


def _open_draft(folder: Path, recipe: Mapping[str, object]) -> Path:
    """The draft folder, with the shards of an earlier try at the same recipe or empty."""
    draft = folder.parent / f".{folder.name}.draft"
    text = json.dumps(recipe, ensure_ascii=False, sort_keys=True)
    same = (draft / _RECIPE).is_file() and (draft / _RECIPE).read_text("utf-8") == text
    if draft.exists() and not same:
        shutil.rmtree(draft)
    draft.mkdir(exist_ok=True)
    _write_text(draft / _RECIPE, text)
    return draft


def _write_shard(records: Sequence[LabelledRequest], draft: Path, name: str, split: str) -> dict[str, Any]:
    """Write one shard, or take over the one that an earlier try has left whole."""
    import pyarrow  # heavy, and needed only to write
    from datasets import Features, List, Value
    from pyarrow import parquet

    rows = [_flatten(record) for record in records]
    content = hashlib.sha256(json.dumps(rows, ensure_ascii=False, sort_keys=True).encode()).hexdigest()
    path, seal = draft / name, draft / f"{name}.sha256"
    done = seal.read_text("ascii").split() if seal.is_file() and path.is_file() else []
    if done != [content, _digest(path) if path.is_file() else ""]:
        text = Value("string")
        features = Features(dict.fromkeys(_TEXT_COLUMNS, text) | {"attributes": List(text)})
        part = path.with_suffix(".part")
        parquet.write_table(pyarrow.Table.from_pylist(rows, schema=features.arrow_schema), part)
        part.rename(path)
        _write_text(seal, f"{content} {_digest(path)}")
    return {"file": name, "split": split, "rows": len(rows), "sha256": _digest(path)}


def _write_text(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)


def _count(records: Sequence[LabelledRequest]) -> dict[str, Any]:
    rows = [dump_labelled(record) for record in records]
    counts = {column: Counter(str(row.get(column) or "-") for row in rows) for column in COUNTED}
    return {"rows": len(rows), **{column: dict(sorted(counter.items())) for column, counter in counts.items()}}


_TEXT_COLUMNS = (
    "id",
    "label",
    "technique",
    "visibility",
    "family",
    "source",
    "session",
    "lang",
    "kind",
    "license",
    "messages",
    "tools",
)


def _flatten(record: LabelledRequest) -> dict[str, Any]:
    """A row of texts: messages and tools as JSON, so that every shard has one schema."""
    row = dict(dump_labelled(record))
    beyond = sorted(row.keys() - {*_TEXT_COLUMNS, "attributes"})
    if beyond:
        raise SourceError(f"record {record.id}: carries {', '.join(beyond)}; a dataset has no such column, drop it")
    row |= {name: json.dumps(row.get(name) or [], ensure_ascii=False) for name in ("messages", "tools")}
    return {name: row.get(name) for name in (*_TEXT_COLUMNS, "attributes")}


def _batches(records: Iterable[LabelledRequest], size: int) -> Iterator[list[LabelledRequest]]:
    iterator = iter(records)
    while batch := list(islice(iterator, size)):
        yield batch


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _read_manifest(folder: Path) -> dict[str, Any] | None:
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    return manifest if isinstance(manifest, dict) and manifest.get("format") == FORMAT else None
