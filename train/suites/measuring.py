"""Everything measured of one system on all rows, and the rows as they stand in an evaluation."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from stillwatch.data.labels import TECHNIQUES
from stillwatch.data.records import LabelledRequest
from stillwatch.train.metrics import precision_recall_points, reliability_bins, roc_points
from stillwatch.train.results import group_records, measure
from stillwatch.train.suites.evaluation import ScoredRecord
from stillwatch.train.suites.system_result import (
    CarriedThreshold,
    Confusion,
    Cost,
    Curves,
    ReliabilityBin,
    SystemResult,
)
from stillwatch.train.suites.systems import Carried, Scored, Scores, System
from stillwatch.train.summary import by_slice

NUM_TIMED = 40
"""Requests that are timed one by one."""

_ROC_GRID = np.append(0.0, np.logspace(-4, 0, 81))
_MAX_POINTS = 200


def measure_system(
    records: Sequence[LabelledRequest],
    scored: Scored,
    *,
    name: str,
    kind: str,
    version: str,
    has_probabilities: bool,
    notes: tuple[str, ...] = (),
    carried: Sequence[Carried] = (),
    cost: Cost | None = None,
    folds: NDArray[np.int64] | None = None,
    seed: int,
    num_replicates: int,
) -> SystemResult:
    """Measure a system whose scores are there.

    Args:
        records: with both labels among them.
        scored: what the system said of each.
        name: of the system, as are `kind`, `version`, `has_probabilities` and `notes`; see `SystemResult`.
        kind: see there.
        version: see there.
        has_probabilities: whether calibration is told.
        notes: see there.
        carried: thresholds that it brings along.
        cost: see `time_system`.
        folds: fold number of each record, when scores come from several models.
        seed: of the bootstrap.
        num_replicates: bootstrap replicates.

    Raises:
        InputError: a label is missing.
    """
    results = measure(
        records,
        {name: scored.scores},
        folds=folds,
        technique_guesses=scored.techniques,
        seed=seed,
        num_replicates=num_replicates,
    )
    decided = np.array([record.is_decided for record in records])
    labels = np.array([int(record.is_extraction) for record in records])
    metrics = results.first if has_probabilities else replace(results.first, ece=None, brier=None)
    return SystemResult(
        name=name,
        kind=kind,
        version=version,
        has_probabilities=has_probabilities,
        notes=notes,
        metrics=metrics,
        fold_tprs=results.fold_tprs[name],
        slices=results.slices,
        aside=results.aside,
        carried=tuple(_try_threshold(records, labels, scored.scores, each, seed, num_replicates) for each in carried),
        confusion=None if scored.techniques is None else count_confusion(records, scored.techniques),
        technique_recall=results.techniques,
        curves=draw_curves(labels[decided], scored.scores[decided], has_probabilities=has_probabilities),
        cost=cost,
    )


def time_system(system: System, records: Sequence[LabelledRequest], num_threads: int) -> Cost | None:
    """Time single requests of every length, one warm-up call before; None for a system that reads no text."""
    if not system.reads_text:
        return None
    by_length = sorted(records, key=lambda record: record.request.num_characters)
    places = np.unique(np.linspace(0, len(by_length) - 1, NUM_TIMED).round().astype(int))
    system.score([by_length[places[0]].request])
    times_ms, times_ms_per_1000 = [], []
    for place in places:
        request = by_length[place].request
        start = time.perf_counter()
        system.score([request])
        times_ms.append(1000 * (time.perf_counter() - start))
        times_ms_per_1000.append(times_ms[-1] * 1000 / max(1, request.num_characters))
    return Cost(float(np.median(times_ms)), float(np.median(times_ms_per_1000)), len(places), num_threads)


def draw_curves(labels: NDArray[np.int64], scores: Scores, *, has_probabilities: bool) -> Curves:
    """Few enough points to draw: ROC on a logarithmic grid, precision and recall thinned, reliability in bins."""
    fpr, tpr = roc_points(labels, scores)
    reached = tpr[np.searchsorted(fpr, _ROC_GRID, side="right") - 1]
    recall, precision = precision_recall_points(labels, scores)
    kept = np.unique(np.linspace(0, len(recall) - 1, _MAX_POINTS).round().astype(int))
    bins = reliability_bins(labels, scores) if has_probabilities else []
    return Curves(
        roc=tuple(zip(_ROC_GRID.tolist(), reached.tolist(), strict=True)),
        precision_recall=tuple(zip(recall[kept].tolist(), precision[kept].tolist(), strict=True)),
        reliability=tuple(ReliabilityBin(*each) for each in bins),
    )


def count_confusion(records: Sequence[LabelledRequest], guesses: Sequence[str]) -> Confusion:
    """Named techniques by true ones, over extraction records that one request shows."""
    names = tuple(technique.value for technique in TECHNIQUES)
    counts = np.zeros((len(names), len(names)), np.int64)
    for record, guess in zip(records, guesses, strict=True):
        if record.is_extraction and record.is_decided and record.technique is not None:
            counts[names.index(record.technique.value), names.index(guess)] += 1
    return Confusion(names, tuple(tuple(row) for row in counts.tolist()))


def list_records(
    records: Sequence[LabelledRequest], scores: Sequence[Scores], folds: NDArray[np.int64] | None = None
) -> tuple[ScoredRecord, ...]:
    """The rows without their texts; `scores` in the order of the systems, each of shape (records,)."""
    columns = np.stack(scores, axis=1).tolist()
    fold_numbers = [0] * len(records) if folds is None else folds.tolist()
    return tuple(
        ScoredRecord(
            id=record.id,
            source=record.source,
            family=record.family,
            label=record.label.value,
            technique=None if record.technique is None else record.technique.value,
            visibility=None if record.visibility is None else record.visibility.value,
            language=record.lang,
            num_characters=record.request.num_characters,
            fold=fold,
            scores=tuple(row),
        )
        for record, row, fold in zip(records, columns, fold_numbers, strict=True)
    )


def _try_threshold(
    records: Sequence[LabelledRequest],
    labels: NDArray[np.int64],
    scores: Scores,
    carried: Carried,
    seed: int,
    num_replicates: int,
) -> CarriedThreshold:
    kinds = {id(record): kind for kind, group in group_records(records).items() for record in group}
    by_kind, by_source = (
        by_slice(
            labels,
            scores,
            [record.family for record in records],
            groups,
            thresholds={carried.promised_fpr: carried.threshold},
            seed=seed,
            num_replicates=num_replicates,
        )
        for groups in (
            [kinds[id(record)] for record in records],
            [record.source if record.is_decided else None for record in records],
        )
    )
    return CarriedThreshold(carried.name, carried.threshold, carried.promised_fpr, by_kind, by_source)
