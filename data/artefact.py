"""Writes and reads a built dataset: a folder of Parquet shards and the manifest that seals them.

The folder appears under its name only when it is whole. Equal records give equal bytes with equal versions of
the libraries named in the manifest; other versions of pyarrow may compress otherwise.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
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

FORMAT = "stillwatch-dataset/1"
"""The layout's name and version."""

ROWS_PER_SHARD = 10_000
"""The most rows a shard holds."""

COUNTED = ("label", "technique", "lang", "source", "family")
"""The columns that the manifest counts by value."""


def build_dataset(
    records: Iterable[LabelledRequest],
    folder: Path,
    *,
    seed: int,
    generator_version: str,
    rows_per_shard: int = ROWS_PER_SHARD,
) -> Mapping[str, object]:
    """Write records as a dataset folder, replacing an older dataset of that name.

    Args:
        records: read once, one shard at a time.
        folder: where the dataset shall stand.
        seed: the generator's seed, kept in the manifest.
        generator_version: the generator's version, kept in the manifest.
        rows_per_shard: rows of a shard.

    Returns:
        the manifest.

    Raises:
        SourceError: the folder exists and is not a dataset, there are no records, or one of them carries
            what the format has no column for (account, time, sampling).
    """
    check_target(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        manifest = _write_shards(records, draft, rows_per_shard)
        manifest |= {"generator": {"seed": seed, "version": generator_version}}
        text = json.dumps(manifest, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
        (draft / MANIFEST).write_text(text, encoding="utf-8")
        check_target(folder)
        if folder.exists():
            shutil.rmtree(folder)
        draft.chmod(0o755)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
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


def load_dataset_folder(folder: Path) -> list[LabelledRequest]:
    """Read a dataset folder after checking every shard against the manifest.

    Raises:
        SourceError: there is no manifest, or a shard is missing or was changed.
    """
    manifest = _read_manifest(folder)
    if manifest is None:
        raise SourceError(f"{folder}: no {MANIFEST} of a dataset; build one with `stillwatch data build`")
    records = []
    for shard in manifest["shards"]:
        path = folder / shard["file"]
        if not path.is_file() or _digest(path) != shard["sha256"]:
            raise SourceError(f"{path}: missing or changed since it was built; build the dataset again")
        records += read_labelled(path)
    return records


def _write_shards(records: Iterable[LabelledRequest], draft: Path, rows_per_shard: int) -> dict[str, object]:
    import pyarrow  # heavy, and needed only to write
    from datasets import Features, List, Value
    from pyarrow import parquet

    text = Value("string")
    counts: dict[str, Counter[str]] = {column: Counter() for column in COUNTED}
    shards = []
    features = Features(dict.fromkeys(_TEXT_COLUMNS, text) | {"attributes": List(text)})
    for number, batch in enumerate(_batches(records, rows_per_shard)):
        rows = [_flatten(record) for record in batch]
        for row in rows:
            for column in COUNTED:
                counts[column][str(row[column] or "-")] += 1
        path = draft / f"shard-{number:05}.parquet"
        parquet.write_table(pyarrow.Table.from_pylist(rows, schema=features.arrow_schema), path)
        shards.append({"file": path.name, "rows": len(rows), "sha256": _digest(path)})
    if not shards:
        raise SourceError("records: none given; a dataset holds at least one")
    return {
        "format": FORMAT,
        "rows": sum(counts["label"].values()),
        "counts": {column: dict(sorted(counter.items())) for column, counter in counts.items()},
        "shards": shards,
        "versions": {name: version(name) for name in ("stillwatch", "datasets", "jinja2", "pyarrow")},
    }


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
