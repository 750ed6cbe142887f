"""Where labelled records come from: the embedded generator, the authored requests, or files.

Every source gives the same records for the same arguments. Records are thinned by a seeded draw, source by source,
never by taking the head of a file: heads are sorted.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from stillwatch.data.adapters import load_adapted, load_adapter
from stillwatch.data.authored import load_authored
from stillwatch.data.dialects import dump_labelled
from stillwatch.data.errors import SourceError
from stillwatch.data.generator import generate
from stillwatch.data.licences import is_permissive
from stillwatch.data.reading import read_labelled
from stillwatch.data.recipe import SourceConfig
from stillwatch.data.records import LabelledRequest

SourceKind = Literal["generated", "authored", "files", "adapter"]

Licences = Literal["all", "permissive", "other"]
"""Which rows of a source are taken, by their licence."""


def load_source(
    kind: SourceKind,
    *,
    seed: int,
    path: Path | None = None,
    num_requests: int = 4000,
    families: Path | None = None,
    max_families: int | None = None,
    max_per_source: int | None = None,
    licences: Licences = "all",
) -> list[LabelledRequest]:
    """The records of one source.

    Args:
        kind: `generated`, `authored`, `files`, or `adapter` for a dataset in its own columns.
        seed: of the generator and of the draw.
        path: for `files`, a file or a folder of them; for `adapter`, its YAML file.
        num_requests: for `generated`, how many.
        families: for `generated`, a folder of family files; None means those the package ships.
        max_families: of `generated` and `authored`, only this many families of each label. A lesser number takes some
            of the families that a greater one takes.
        max_per_source: at most this many of each `source` field.
        licences: keep all rows, those of a permissive licence, or the others.

    Raises:
        SourceError: the path is missing, or nothing is left.
        InputError: a file holds a bad row; `file:line`, field and remedy.
    """
    if kind == "generated":
        records = list(generate(num_requests=num_requests, seed=seed, families=families, max_families=max_families))
    elif kind == "authored":
        records = load_authored(max_blocks=max_families, seed=seed)
    else:
        if path is None or not path.exists():
            raise SourceError(
                f"sources: {path} is not there; name an existing file or folder in the configuration, "
                "or its root with --data-root"
            )
        records = load_adapted(load_adapter(path)) if kind == "adapter" else read_labelled(path)
    if licences != "all":
        records = [record for record in records if is_permissive(record.license) == (licences == "permissive")]
    if max_per_source is not None:
        records = thin(records, max_per_source, seed)
    if not records:
        raise SourceError(f"sources: {kind} gives no record that is allowed here; check path and licences")
    return records


def load_configured(source: SourceConfig, *, seed: int, root: Path) -> list[LabelledRequest]:
    """The records of a source as a recipe or a training configuration names it; paths start from `root`."""
    return load_source(
        source.kind,
        seed=seed,
        path=None if source.path is None else root / source.path,
        num_requests=source.num_requests,
        families=None if source.families is None else root / source.families,
        max_families=source.max_families,
        max_per_source=source.max_per_source,
        licences=source.licences,
    )


def thin(records: Sequence[LabelledRequest], max_per_source: int, seed: int) -> list[LabelledRequest]:
    """At most `max_per_source` records of each source, by a seeded draw that keeps their order."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, record in enumerate(records):
        groups[record.source].append(index)
    kept: list[int] = []
    for source, indices in groups.items():
        rng = random.Random(f"{seed}/{source}")
        kept += indices if len(indices) <= max_per_source else rng.sample(indices, max_per_source)
    return [records[index] for index in sorted(kept)]


def digest_records(records: Iterable[LabelledRequest]) -> str:
    """SHA-256 over the records in their order: the name of a dataset in a run."""
    digest = hashlib.sha256()
    for record in records:
        digest.update(json.dumps(dump_labelled(record), ensure_ascii=False, sort_keys=True).encode())
        digest.update(b"\n")
    return digest.hexdigest()
