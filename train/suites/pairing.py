"""Two systems on the same records: how far every figure is apart, with a 95% interval over one set of resamples.

Families are drawn, then records within them, and both systems are measured on each draw (a paired bootstrap: Efron
and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 8). What makes a draw easy or hard is so shared by
both sides and cancels. Each draw chooses its own threshold for each system. The intervals cover the choice of
records and families, not the chance of a training run, and no correction is made for looking at many slices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import hypot

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stillwatch.data.errors import InputError
from stillwatch.train.intervals import (
    NUM_REPLICATES,
    Interval,
    iter_resamples,
    number_families,
    percentile_interval,
    wilson,
)
from stillwatch.train.ranking import Ranking
from stillwatch.train.summary import FPRS

AREAS = ("auroc", "auprc")
"""Figures that hang on no threshold."""

Floats = NDArray[np.float64]


def name_tpr(fpr: float) -> str:
    """The figure's name in all of the project: `tpr_at_fpr_0.01`."""
    return f"tpr_at_fpr_{fpr:g}"


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of two systems.

    Attributes:
        figure: `auroc`, `auprc` or `tpr_at_fpr_0.01`.
        a: of the first system.
        b: of the second.
        change: `b - a`; from -1 to 1.
    """

    figure: str
    a: float
    b: float
    change: Interval

    @property
    def direction(self) -> int:
        """1 when the whole interval lies above 0, -1 when it lies below, 0 when it holds 0."""
        return int(self.change.low > 0) - int(self.change.high < 0)

    def to_json(self) -> dict[str, object]:
        """A JSON object with every field."""
        return {**asdict(self), "direction": self.direction}


@dataclass(frozen=True, slots=True)
class SliceDifference:
    """A rate of two systems on a group: the TPR of its extraction records or the FPR of its benign ones.

    Attributes:
        dimension: what the group is one of, such as `language`.
        group: its name.
        is_extraction: whether the rate is a TPR.
        num_records: records behind it.
        num_families: families behind it.
        fpr: the false-positive rate that both thresholds stand for, on all records.
        a: rate of the first system.
        b: rate of the second.
        change: `b - a`; from -1 to 1.
    """

    dimension: str
    group: str
    is_extraction: bool
    num_records: int
    num_families: int
    fpr: float
    a: float
    b: float
    change: Interval

    @property
    def direction(self) -> int:
        """As `Difference.direction`."""
        return int(self.change.low > 0) - int(self.change.high < 0)

    def to_json(self) -> dict[str, object]:
        """A JSON object with every field."""
        return {**asdict(self), "direction": self.direction}


def compare_scores(
    labels: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    families: Sequence[str],
    groups: Mapping[str, Sequence[str | None]],
    *,
    seed: int,
    fprs: Sequence[float] = FPRS,
    num_replicates: int = NUM_REPLICATES,
) -> tuple[tuple[Difference, ...], tuple[SliceDifference, ...]]:
    """Every difference between two systems on the same records.

    Args:
        labels: 0 for benign, 1 for extraction, shape `(num_records,)`; both must be there.
        a: scores of the first system, higher means extraction, the same shape, on any scale.
        b: scores of the second, on any scale of its own.
        families: the family of each record.
        groups: by dimension, the group of each record; None leaves the record out.
        seed: of the bootstrap.
        fprs: false-positive rates to choose thresholds for, each from 0 and below 1.
        num_replicates: bootstrap resamples.

    Returns:
        Differences of AUROC, AUPRC and TPR at each rate; then of each group, benign before extraction.

    Raises:
        InputError: lengths differ, a label is missing or a value is out of its range.
    """
    sides = Ranking(labels, a), Ranking(labels, b)
    for ranking in sides:
        ranking.curve_of_both()
    given = np.asarray(labels, dtype=np.int64)
    if len(families) != len(given):
        raise InputError("families", f"{len(families)} for {len(given)} records", "give one to each record")
    units, strata = number_families(given, np.asarray(families, dtype=np.str_))
    slices = _Slices.build(given, units, groups)
    everyone = np.ones(len(given))
    values = [_measure(ranking, everyone, slices, fprs) for ranking in sides]
    resamples = iter_resamples(units, strata, seed=seed, num_replicates=num_replicates)
    replicates = np.array(
        [_measure(sides[1], weights, slices, fprs) - _measure(sides[0], weights, slices, fprs) for weights in resamples]
    )
    names = [*AREAS, *map(name_tpr, fprs)]
    figures = tuple(
        Difference(
            name,
            float(values[0][i]),
            float(values[1][i]),
            _interval(
                float(values[0][i]), float(values[1][i]), replicates[:, i], 0 if name in AREAS else int(strata.sum())
            ),
        )
        for i, name in enumerate(names)
    )
    found = []
    for place, (dimension, group, is_extraction) in enumerate(slices.names):
        num_families, num_records = int(slices.num_families[place]), int(slices.num_records[place])
        for number, fpr in enumerate(fprs):
            i = len(names) + number * len(slices.names) + place
            before, after = float(values[0][i]), float(values[1][i])
            change = _interval(before, after, replicates[:, i], num_families if num_families > 1 else num_records)
            found.append(
                SliceDifference(dimension, group, is_extraction, num_records, num_families, fpr, before, after, change)
            )
    return figures, tuple(found)


@dataclass(frozen=True, slots=True, eq=False)
class _Slices:
    """Who is in which group; a record stands in at most one group of a dimension.

    Attributes:
        names: dimension, group, and whether its records are extraction.
        rows: the record of each membership, shape `(num_memberships,)`.
        codes: the place in `names` of each membership, the same shape.
        num_records: shape `(num_slices,)`.
        num_families: shape `(num_slices,)`.
    """

    names: tuple[tuple[str, str, bool], ...]
    rows: NDArray[np.int64]
    codes: NDArray[np.int64]
    num_records: NDArray[np.int64]
    num_families: NDArray[np.int64]

    @classmethod
    def build(
        cls, labels: NDArray[np.int64], units: NDArray[np.int64], groups: Mapping[str, Sequence[str | None]]
    ) -> _Slices:
        names: list[tuple[str, str, bool]] = []
        rows: list[int] = []
        codes: list[int] = []
        for dimension, members in groups.items():
            if len(members) != len(labels):
                raise InputError(dimension, f"{len(members)} for {len(labels)} records", "give one to each record")
            keys = [
                None if group is None else (group, bool(label)) for group, label in zip(members, labels, strict=True)
            ]
            places = {key: len(names) + i for i, key in enumerate(sorted({key for key in keys if key is not None}))}
            names += [(dimension, group, is_extraction) for group, is_extraction in places]
            for row, key in enumerate(keys):
                if key is not None:
                    rows.append(row)
                    codes.append(places[key])
        all_rows, all_codes = np.array(rows, np.int64), np.array(codes, np.int64)
        families = [len(np.unique(units[all_rows[all_codes == code]])) for code in range(len(names))]
        num_records = np.bincount(all_codes, minlength=len(names))
        return cls(tuple(names), all_rows, all_codes, num_records, np.array(families, np.int64))

    def sum(self, weights: Floats) -> Floats:
        """The weight in each group, shape `(num_slices,)`, of weights by record."""
        return np.bincount(self.codes, weights=weights[self.rows], minlength=len(self.names)).astype(np.float64)


def _measure(ranking: Ranking, weights: Floats, slices: _Slices, fprs: Sequence[float]) -> Floats:
    """AUROC, AUPRC, TPR at each rate, then at each rate the share above the threshold in each group."""
    curve = ranking.curve(weights[ranking.order])
    num_scores = [curve.num_above(fpr) for fpr in fprs]
    tprs = np.append(0.0, curve.true_positives)[num_scores] / curve.true_positives[-1]
    mass = slices.sum(weights)
    rates = []
    for number in num_scores:
        flagged = np.zeros(len(weights))
        flagged[ranking.order[: ranking.num_records_above(number)]] = 1.0
        hits = slices.sum(weights * flagged)
        rates.append(np.divide(hits, mass, out=np.full(len(mass), np.nan), where=mass > 0))
    return np.concatenate([[curve.auroc, curve.average_precision], tprs, *rates])


def _interval(a: float, b: float, replicates: Floats, num_trials: int) -> Interval:
    """The middle 95% of the resampled differences.

    Where no resample differs although the systems do (one catches all, the other none), the Wilson intervals of both
    rates are joined instead (square-and-add: Newcombe, Statistics in Medicine 17, 1998), over `num_trials`.
    """
    spread = percentile_interval(b - a, replicates)
    if spread.low < spread.high or a == b or not num_trials:
        return spread
    before, after = wilson(a * num_trials, num_trials), wilson(b * num_trials, num_trials)
    low = b - a - hypot(b - after.low, before.high - a)
    high = b - a + hypot(after.high - b, a - before.low)
    return Interval(max(-1.0, low), b - a, min(1.0, high))
