"""A suite of requests, run: scores, figures and cases of every system on the same rows, as one evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stillwatch.data.records import LabelledRequest
from stillwatch.data.sources import digest_records
from stillwatch.train.progress import bar
from stillwatch.train.provenance import describe_provenance
from stillwatch.train.results import group_records
from stillwatch.train.suites.answers import Case
from stillwatch.train.suites.cases import Asked, answer_case
from stillwatch.train.suites.evaluation import FORMAT_VERSION, DataInfo, Evaluation
from stillwatch.train.suites.measuring import list_records, measure_system, time_system
from stillwatch.train.suites.rows import Rows
from stillwatch.train.suites.suite import RequestSuite, digest_suite
from stillwatch.train.suites.system_result import SystemResult
from stillwatch.train.suites.systems import Scores, System


def run_requests(suite: RequestSuite, systems: Sequence[System], rows: Rows, *, num_threads: int = 1) -> Evaluation:
    """Score the rows with every system and answer every case.

    Args:
        suite: what is asked.
        systems: the model first; the others stand beside it.
        rows: see `load_rows`.
        num_threads: what the systems were opened with, for the record.

    Raises:
        InputError: a system has no score for a row.
    """
    requests = [record.request for record in rows.records]
    results: list[SystemResult] = []
    scores: list[Scores] = []
    for system in systems:
        with bar(f"scoring by {system.name}", len(requests), "requests") as advance:
            scored = system.score(requests, advance)
        scores.append(scored.scores)
        results.append(
            measure_system(
                rows.records,
                scored,
                name=system.name,
                kind=system.kind,
                version=system.version,
                has_probabilities=system.has_probabilities,
                notes=(*system.notes, *rows.notes.get(system.name, ())),
                carried=system.carried,
                cost=time_system(system, rows.records, num_threads),
                seed=suite.seed,
                num_replicates=suite.bootstrap_replicates,
            )
        )
    asked = Asked(
        records=rows.records,
        systems=systems,
        scores=scores,
        thresholds=[result.metrics.thresholds for result in results],
        seed=suite.seed,
        num_replicates=suite.bootstrap_replicates,
    )
    return build_evaluation(
        rows.records,
        results,
        scores,
        kind="requests",
        suite=suite.name,
        suite_digest=digest_suite(suite),
        title=suite.title,
        data_name=rows.name,
        cases=[answer_case(case, asked) for case in suite.cases],
        seed=suite.seed,
        num_replicates=suite.bootstrap_replicates,
    )


def build_evaluation(
    records: Sequence[LabelledRequest],
    results: Sequence[SystemResult],
    scores: Sequence[Scores],
    *,
    kind: Literal["requests", "training"],
    suite: str,
    suite_digest: str,
    title: str,
    data_name: str,
    cases: Sequence[Case] = (),
    folds: NDArray[np.int64] | None = None,
    seed: int,
    num_replicates: int,
) -> Evaluation:
    """Put together what was measured; arguments as the fields of `Evaluation` and `ScoredRecord`."""
    groups = group_records(records)
    return Evaluation(
        format_version=FORMAT_VERSION,
        kind=kind,
        suite=suite,
        suite_digest=suite_digest,
        title=title,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seed=seed,
        num_replicates=num_replicates,
        data=DataInfo(
            name=data_name,
            digest=digest_records(records),
            num_records={name: len(group) for name, group in groups.items()},
            num_families={name: len({record.family for record in group}) for name, group in groups.items()},
        ),
        systems=tuple(results),
        cases=tuple(cases),
        records=list_records(records, scores, folds),
        provenance=describe_provenance(seed=seed),
    )
