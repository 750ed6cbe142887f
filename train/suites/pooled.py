"""Evaluations of different rows as one: the halves of a rotation that were run one by one, at one threshold.

Pooling is for runs of one recipe that tested different families, such as a configuration and the same with the sides of
training and test changed. Every figure is measured anew over all rows, with intervals over all families; scores of
different models stand on one scale as far as each run's calibration goes, which is part of what is measured.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from stillwatch.data.errors import InputError
from stillwatch.train.intervals import Interval, wilson
from stillwatch.train.provenance import describe_provenance
from stillwatch.train.results import Row, group_records, measure_rows
from stillwatch.train.suites.evaluation import FORMAT_VERSION, DataInfo, Evaluation, ScoredRecord
from stillwatch.train.suites.measuring import draw_curves
from stillwatch.train.suites.system_result import Confusion, SystemResult


def pool_evaluations(evaluations: Sequence[Evaluation]) -> Evaluation:
    """Put evaluations together and measure every system anew on all rows.

    Args:
        evaluations: two or more that training runs left behind, of one suite, with the same systems in the same order.

    Raises:
        InputError: they are too few, are not of training runs of one suite, differ in their systems, or share rows.
    """
    first = _check(evaluations)
    records: list[ScoredRecord] = []
    for each in evaluations:
        start = 1 + max((record.fold for record in records), default=-1)
        records += [_move(record, start) for record in each.records]
    num_replicates = max(each.num_replicates for each in evaluations)
    groups = group_records(records)
    return Evaluation(
        format_version=FORMAT_VERSION,
        kind=first.kind,
        suite=first.suite,
        suite_digest=first.suite_digest,
        title=f"{first.title}, {len(evaluations)} evaluations pooled",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seed=first.seed,
        num_replicates=num_replicates,
        data=DataInfo(
            name=" + ".join(each.data.name for each in evaluations),
            digest=hashlib.sha256("\n".join(each.data.digest for each in evaluations).encode()).hexdigest(),
            num_records={name: len(group) for name, group in groups.items()},
            num_families={name: len({record.family for record in group}) for name, group in groups.items()},
        ),
        systems=tuple(
            _pool_system([each.systems[place] for each in evaluations], records, place, first.seed, num_replicates)
            for place in range(len(first.systems))
        ),
        cases=(),
        records=tuple(records),
        provenance=describe_provenance(seed=first.seed),
    )


def _check(evaluations: Sequence[Evaluation]) -> Evaluation:
    if len(evaluations) < 2:
        raise InputError("evaluations", f"{len(evaluations)} to pool", "give two or more")
    first = evaluations[0]
    names = [(system.name, system.has_probabilities) for system in first.systems]
    ids: set[str] = set()
    for each in evaluations:
        if each.kind != "training" or each.suite_digest != first.suite_digest:
            raise InputError(
                "suite",
                "not that of one recipe's training runs",
                "give evaluations that `stillwatch train` left behind",
            )
        if [(system.name, system.has_probabilities) for system in each.systems] != names:
            raise InputError("systems", "not the same in all", "train them beside the same baselines")
        found = {record.id for record in each.records}
        if shared := len(ids & found):
            raise InputError(
                "records", f"{shared} that stand in two evaluations", "pool runs that tested different rows"
            )
        ids |= found
    return first


def _move(record: ScoredRecord, start: int) -> ScoredRecord:
    return dataclasses.replace(record, fold=start + record.fold)


def _pool_system(
    parts: Sequence[SystemResult], records: Sequence[ScoredRecord], place: int, seed: int, num_replicates: int
) -> SystemResult:
    some = parts[0]
    scores = np.array([record.scores[place] for record in records])
    results = measure_rows(
        [
            Row(
                source=record.source,
                family=record.family,
                label=record.label,
                technique=record.technique,
                language=record.language,
                num_characters=record.num_characters,
                is_decided=record.is_decided,
            )
            for record in records
        ],
        {some.name: scores},
        folds=np.array([record.fold for record in records]),
        seed=seed,
        num_replicates=num_replicates,
    )
    metrics = results.first if some.has_probabilities else dataclasses.replace(results.first, ece=None, brier=None)
    decided = np.array([record.is_decided for record in records])
    labels = np.array([int(record.is_extraction) for record in records])
    confusion = _add([part.confusion for part in parts])
    num_models = len({record.fold for record in records})
    return SystemResult(
        name=some.name,
        kind=some.kind,
        version=" + ".join(part.version for part in parts),
        has_probabilities=some.has_probabilities,
        notes=(f"scored by {num_models} models of {len(parts)} runs, each on families that it never saw",),
        metrics=metrics,
        fold_tprs=results.fold_tprs[some.name],
        slices=results.slices,
        aside=results.aside,
        carried=(),
        confusion=confusion,
        technique_recall={} if confusion is None else _recall(confusion),
        curves=draw_curves(labels[decided], scores[decided], has_probabilities=some.has_probabilities),
        cost=None,
    )


def _add(parts: Sequence[Confusion | None]) -> Confusion | None:
    """The counts of all parts together; None where one names no technique, or other ones."""
    given = [part for part in parts if part is not None]
    if len(given) < len(parts) or len({part.techniques for part in given}) != 1:
        return None
    counts = np.sum([part.counts for part in given], axis=0).tolist()
    return Confusion(given[0].techniques, tuple(tuple(row) for row in counts))


def _recall(confusion: Confusion) -> dict[str, Interval]:
    rows = zip(confusion.techniques, confusion.counts, strict=True)
    return {name: wilson(row[place], sum(row)) for place, (name, row) in enumerate(rows) if sum(row)}
