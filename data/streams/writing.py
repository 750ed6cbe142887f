"""Writes streams to a folder so that an interrupted run goes on, and nothing half-written is taken for whole.

    plan.json                what is to be written; another plan refuses the folder
    shard-00000.parquet      whole accounts, written beside and renamed when complete
    shard-00000.json         its receipt: digest and counts, written after it
    manifest.json            written last: the folder is whole, with the digest of every shard

A shard without a receipt, or with another digest than its receipt's, is written again. Equal plans give equal
bytes with equal versions of the libraries named in the manifest.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

from stillwatch.data.errors import SourceError
from stillwatch.data.streams.rows import iter_stream_rows, write_jsonl, write_parquet
from stillwatch.data.streams.simulator import Streams

PLAN, MANIFEST = "plan.json", "manifest.json"
FORMAT = "stillwatch-streams/1"
"""The layout's name and version."""

_REQUESTS_PER_SHARD = 20_000
_ACCOUNTS_PER_SHARD = 5_000


class FileFormat(StrEnum):
    """How shards are written."""

    PARQUET = "parquet"
    JSONL = "jsonl"


def write_streams(
    streams: Streams,
    folder: Path,
    *,
    plan: Mapping[str, object],
    file_format: FileFormat = FileFormat.PARQUET,
    first: int | None = None,
    on_requests: Callable[[int], None] = lambda num: None,
    requests_per_shard: int = _REQUESTS_PER_SHARD,
) -> dict[str, Any]:
    """Write all streams, or what is missing of them.

    Args:
        streams: the accounts.
        folder: empty, missing, or of an earlier run of the same plan.
        plan: all that determines the streams (seed, shape, pool's fingerprint, ...), as JSON.
        file_format: Parquet or JSONL.
        first: only the first requests of each account; None means all.
        on_requests: told the number of requests of each shard, when it stands.
        requests_per_shard: a shard ends with the account that reaches it.

    Returns:
        the manifest.

    Raises:
        SourceError: the folder holds something else, or there are no accounts.
    """
    whole_plan = {**plan, "format": FORMAT, "file_format": file_format.value, "first": first}
    whole_plan["requests_per_shard"] = requests_per_shard
    _take_folder(folder, json.loads(json.dumps(whole_plan)))
    shards = []
    for number, accounts in enumerate(_iter_shards(streams, first, requests_per_shard)):
        path = folder / f"shard-{number:05}.{file_format}"
        receipt = _read_receipt(path) or _write_shard(streams, accounts, path, file_format, first)
        shards.append(receipt)
        on_requests(int(receipt["rows"]))
    if not shards:
        raise SourceError("streams: no accounts; ask for one at least")
    manifest = {
        "format": FORMAT,
        "plan": whole_plan,
        "accounts": sum(shard["accounts"] for shard in shards),
        "rows": sum(shard["rows"] for shard in shards),
        "shards": shards,
        "versions": {name: version(name) for name in ("stillwatch", "jinja2", "pyarrow")},
    }
    _write_json(folder / MANIFEST, manifest)
    return manifest


def check_streams(folder: Path) -> dict[str, Any]:
    """The manifest of a folder, after every shard was compared with its digest.

    Raises:
        SourceError: the folder is not whole, or a shard is missing or was changed.
    """
    manifest = _read_json(folder / MANIFEST)
    if manifest is None or manifest.get("format") != FORMAT:
        raise SourceError(f"{folder}: no {MANIFEST} of whole streams; run the same `stillwatch data streams` again")
    for shard in manifest["shards"]:
        path = folder / shard["file"]
        if not path.is_file() or _digest(path) != shard["sha256"]:
            raise SourceError(f"{path}: missing or changed since it was written; run `stillwatch data streams` again")
    return manifest


def count_requests(streams: Streams, first: int | None) -> int:
    """Requests that will be written, without making one."""
    return sum(stream.num_requests if first is None else min(first, stream.num_requests) for stream in streams)


def _take_folder(folder: Path, plan: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    before = _read_json(folder / PLAN)
    others = [path for path in folder.iterdir() if not path.name.endswith(".part")]
    if before is None and others:
        raise SourceError(f"{folder}: holds something else than streams; choose another folder or empty it")
    if before is not None and before != plan:
        changed = sorted(key for key in before.keys() | plan.keys() if before.get(key) != plan.get(key))
        raise SourceError(
            f"{folder}: holds streams of another plan ({', '.join(changed)} differ); choose another folder or remove it"
        )
    (folder / MANIFEST).unlink(missing_ok=True)
    _write_json(folder / PLAN, plan)


def _iter_shards(streams: Streams, first: int | None, requests_per_shard: int) -> Iterator[range]:
    start = num_requests = 0
    for number, stream in enumerate(streams, start=1):
        num_requests += stream.num_requests if first is None else min(first, stream.num_requests)
        if num_requests >= requests_per_shard or number - start >= _ACCOUNTS_PER_SHARD:
            yield range(start, number)
            start, num_requests = number, 0
    if start < len(streams):
        yield range(start, len(streams))


def _write_shard(
    streams: Streams, accounts: range, path: Path, file_format: FileFormat, first: int | None
) -> dict[str, Any]:
    part = path.with_name(path.name + ".part")
    rows = chain.from_iterable(iter_stream_rows(streams[number], first) for number in accounts)
    write = write_parquet if file_format is FileFormat.PARQUET else write_jsonl
    num_rows = write(rows, part)
    receipt = {"file": path.name, "accounts": len(accounts), "rows": num_rows, "sha256": _digest(part)}
    _settle(part, path)
    _write_json(path.with_suffix(".json"), receipt)
    return receipt


def _read_receipt(path: Path) -> dict[str, Any] | None:
    receipt = _read_json(path.with_suffix(".json"))
    is_whole = receipt is not None and path.is_file() and _digest(path) == receipt.get("sha256")
    return receipt if is_whole else None


def _write_json(path: Path, value: Mapping[str, object]) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    _settle(part, path)


def _settle(part: Path, path: Path) -> None:
    """Give a complete file its name, after it reached the disk."""
    with part.open("rb") as stream:
        os.fsync(stream.fileno())
    part.replace(path)


def _read_json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
