"""Checks families for their author: do draws of one family differ, and does form give the label away?"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stillwatch.data.audit import Audit, audit_surface
from stillwatch.data.bonds import find_pairs
from stillwatch.data.errors import SourceError
from stillwatch.data.families import Family, load_families
from stillwatch.data.generator import render_family

DRAWS = 40
"""Requests drawn of each family."""


@dataclass(frozen=True, slots=True)
class FamilyCheck:
    """One family: its name and label, how many of its draws are near-duplicates of another, its median characters."""

    name: str
    label: str
    near_duplicates: int
    characters: int


def check_families(path: Path, *, seed: int = 7) -> tuple[list[FamilyCheck], Audit | None]:
    """Draw from every family of a file or folder.

    Args:
        path: a YAML file of families, or a folder of them.
        seed: of the draws.

    Returns:
        what was found of each family, and the shortcut audit of all draws; None where one label is missing.

    Raises:
        SourceError: there is nothing to read.
        ConfigError: a family is incomplete or would not render; file, family and field are named.
    """
    checks, drawn = [], []
    for family in _load(path):
        records = [render_family(family, index=index, seed=seed) for index in range(DRAWS)]
        lengths = sorted(record.request.num_characters for record in records)
        pairs = find_pairs(records)
        checks.append(FamilyCheck(family.name, family.label.value, len(pairs), lengths[len(lengths) // 2]))
        drawn += records
    decided = {record.label for record in drawn if record.is_decided}
    return checks, audit_surface(drawn) if len(decided) == 2 else None


def _load(path: Path) -> tuple[Family, ...]:
    if not path.exists():
        raise SourceError(f"families: {path} is not there; name a YAML file or a folder of them")
    with _as_folder(path) as folder:
        return load_families(folder)


@contextmanager
def _as_folder(path: Path) -> Iterator[Path]:
    """The folder itself, or a temporary one with the file in it."""
    if path.is_dir():
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(path, folder)
        yield Path(folder)
