"""The rows that a suite of requests is asked of: given ones or the suite's own, without families already learnt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stillwatch.data.errors import ConfigError, InputError
from stillwatch.data.reading import read_labelled
from stillwatch.data.records import LabelledRequest
from stillwatch.data.sources import load_configured, thin
from stillwatch.train.results import require_both_labels
from stillwatch.train.suites.suite import RequestSuite
from stillwatch.train.suites.systems import System


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows, and what must be said of them beside a system.

    Attributes:
        records: with both labels among them.
        name: a file's name or the kinds of sources; never a path.
        notes: by system: what it has learnt of the rows, as far as it says.
    """

    records: tuple[LabelledRequest, ...]
    name: str
    notes: dict[str, tuple[str, ...]]


def load_rows(
    suite: RequestSuite, systems: Sequence[System], data: Path | None, max_per_source: int | None = None
) -> Rows:
    """The rows for a suite and the systems that it is asked of; all systems get the same ones.

    Args:
        suite: what is asked.
        systems: who is asked.
        data: labelled file or folder; None takes the suite's own sources.
        max_per_source: at most this many records of a source, by a seeded draw.

    Raises:
        ConfigError: there are no data and the suite names no sources.
        InputError: a row cannot be read, an id stands twice, or nothing with both labels is left.
        SourceError: the path is missing or holds no rows.
    """
    if data is not None:
        records, name = read_labelled(data), data.name
    elif suite.sources:
        loaded = [load_configured(source, seed=suite.seed, root=Path()) for source in suite.sources]
        records = [record for part in loaded for record in part]
        name = " and ".join(dict.fromkeys(source.kind for source in suite.sources))
    else:
        raise ConfigError(f"suite {suite.name}: sources: none; name the rows with --data FILE")
    repeated = [id_ for id_, count in Counter(record.id for record in records).items() if count > 1]
    if repeated:
        raise InputError("id", f"{len(repeated)} ids twice over the sources", "name each source once")
    if max_per_source is not None:
        records = thin(records, max_per_source, suite.seed)
    notes = {}
    if suite.unseen_only:
        notes = {system.name: _tell_learnt(records, system) for system in systems}
        learnt = frozenset[str]().union(*(system.learnt_families or () for system in systems))
        records = [record for record in records if record.family not in learnt]
    try:
        require_both_labels(records)
    except InputError as error:
        remedy = "give benign and request-visible extraction rows of families that no system was trained on"
        raise InputError(error.field, error.kind, remedy) from error
    return Rows(tuple(records), name, notes)


def _tell_learnt(records: Sequence[LabelledRequest], system: System) -> tuple[str, ...]:
    if system.learnt_families is None:
        return ("it does not say which families it was trained on, so that some of these may be among them",)
    num_learnt = sum(record.family in system.learnt_families for record in records)
    if not num_learnt:
        return ("none of the families was among those that it was trained on",)
    return (f"{num_learnt:,} records of families that it was trained on were left out, for every system",)
