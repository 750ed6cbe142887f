"""What a promotion is decided by: evaluations of champion and challenger on the same rows.

They come from the runs that made the two versions, or both bundles are run now on rows that are named. A version's
run measures what training makes of families held out, the bundle itself may have learnt all of them; rows named now
are put to the two bundles themselves, without the families that either says it has learnt.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from stillwatch.train.promotion import Candidacy
from stillwatch.train.suites.evaluation import Evaluation
from stillwatch.train.suites.fetching import load_of_version
from stillwatch.train.suites.rows import load_rows
from stillwatch.train.suites.running import run_requests
from stillwatch.train.suites.suite import RequestSuite
from stillwatch.train.suites.systems import Options, open_systems

if TYPE_CHECKING:
    from stillwatch.train.tracking import Store

ROWS = RequestSuite(name="rows", title="All rows that were named")
"""The suite of rows that are named without one."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The two sides; `champion` is None when nobody holds the alias."""

    champion: Evaluation | None
    challenger: Evaluation


def load_evidence(store: Store, candidacy: Candidacy) -> Evidence:
    """What the runs of the two versions keep.

    Raises:
        InputError: a run keeps something else under that name.
        TrackingError: a version has no run, or its run keeps no evaluation.
    """
    champion = None if candidacy.holder is None else load_of_version(store, candidacy.holder)
    return Evidence(champion, load_of_version(store, candidacy.version))


def measure_evidence(
    candidacy: Candidacy, *, data: Path | None, suite: RequestSuite = ROWS, num_threads: int = 1
) -> Evidence:
    """Run both bundles on the same rows; the suite's cases are not asked.

    Args:
        candidacy: whose bundles.
        data: labelled file or folder; None takes the suite's own sources.
        suite: what the evaluation is called and whether learnt families are left out.
        num_threads: threads inside one call.

    Raises:
        StillwatchError: rows cannot be read, none are left, or a bundle cannot be loaded.
    """
    versions = [candidacy.version] if candidacy.holder is None else [candidacy.version, candidacy.holder]
    systems = open_systems([version.uri for version in versions], Options(num_threads=num_threads))
    plain = suite.model_copy(update={"cases": ()})
    evaluation = run_requests(plain, systems, load_rows(plain, systems, data), num_threads=num_threads)
    sides = [take_system(evaluation, place) for place in range(len(systems))]
    return Evidence(sides[1] if len(sides) > 1 else None, sides[0])


def take_system(evaluation: Evaluation, place: int) -> Evaluation:
    """The evaluation as if the system at `place` were the only one, without its cases."""
    return replace(
        evaluation,
        systems=(evaluation.systems[place],),
        cases=(),
        records=tuple(replace(row, scores=(row.scores[place],)) for row in evaluation.records),
    )
