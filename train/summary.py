"""What a result is: all figures of a set of scored requests with 95% intervals over families, and its slices.

Figures compare only between sets of the same records. The intervals cover the choice of records and families,
not the chance of a training run: train with several seeds for that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stillwatch.data.errors import InputError
from stillwatch.train.intervals import (
    NUM_REPLICATES,
    Interval,
    iter_resamples,
    number_families,
    percentile_interval,
    rate_interval,
)
from stillwatch.train.metrics import NUM_BINS
from stillwatch.train.ranking import Ranking, Weights

FPRS = (0.01, 0.001)
"""The false-positive rates that every result is told at."""


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """What a threshold catches.

    Attributes:
        fpr: the false-positive rate asked for.
        threshold: the lowest score that is flagged.
        num_flagged_benign: benign records at or above it, at most `floor(fpr * num_benign)`.
        tpr: share of extraction records at or above it; each resample chooses its own threshold.
        macro_tpr: the same share as a mean over extraction families, so that large families do not rule.
    """

    fpr: float
    threshold: float
    num_flagged_benign: int
    tpr: Interval
    macro_tpr: Interval


@dataclass(frozen=True, slots=True)
class MetricSet:
    """All figures of a set of scored records; `ece` and `brier` are None when scores are no probabilities."""

    num_benign: int
    num_extraction: int
    num_benign_families: int
    num_extraction_families: int
    seed: int
    num_replicates: int
    auroc: Interval
    auprc: Interval
    ece: Interval | None
    brier: Interval | None
    points: tuple[OperatingPoint, ...]

    def at(self, fpr: float) -> OperatingPoint:
        """The operating point of one of the rates that were asked for."""
        for point in self.points:
            if point.fpr == fpr:
                return point
        known = ", ".join(f"{point.fpr:g}" for point in self.points)
        raise InputError("fpr", f"the rate {fpr:g}", f"ask for one of {known}")

    @property
    def thresholds(self) -> dict[float, float]:
        """The threshold of each false-positive rate."""
        return {point.fpr: point.threshold for point in self.points}

    def to_json(self) -> dict[str, object]:
        """A JSON object with every field; intervals as `{low, value, high}`."""
        return asdict(self)

    def to_metrics(self, prefix: str) -> dict[str, float]:
        """Flat figures for a tracking store, such as `test/tpr_at_fpr_0.01` and its `_low` and `_high`."""
        named = {"auroc": self.auroc, "auprc": self.auprc, "ece": self.ece, "brier": self.brier}
        flat: dict[str, float] = {"num_benign": self.num_benign, "num_extraction": self.num_extraction}
        for point in self.points:
            named[f"tpr_at_fpr_{point.fpr:g}"] = point.tpr
            named[f"macro_tpr_at_fpr_{point.fpr:g}"] = point.macro_tpr
            flat[f"threshold_at_fpr_{point.fpr:g}"] = point.threshold
        for name, interval in named.items():
            if interval is not None:
                flat |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
        return {f"{prefix}/{name}": float(value) for name, value in flat.items()}


@dataclass(frozen=True, slots=True)
class SliceRate:
    """One group at a global threshold: the TPR of its extraction records or the FPR of its benign ones."""

    group: str
    is_extraction: bool
    num_records: int
    num_families: int
    fpr: float
    threshold: float
    rate: Interval

    def to_json(self) -> dict[str, object]:
        """A JSON object with every field."""
        return asdict(self)


def summarise(
    labels: ArrayLike,
    scores: ArrayLike,
    families: Sequence[str],
    *,
    seed: int,
    fprs: Sequence[float] = FPRS,
    num_replicates: int = NUM_REPLICATES,
) -> MetricSet:
    """Every figure of a set of scored records, with intervals over resampled families and records.

    Calibration error and Brier score are told at even odds, see `metrics.expected_calibration_error`.

    Args:
        labels: 0 for benign, 1 for extraction, shape `(num_records,)`; both must be there.
        scores: higher means extraction, the same shape; taken as probabilities when all are from 0 to 1.
        families: the family of each record.
        seed: seed of the bootstrap.
        fprs: false-positive rates to be told at, each from 0 and below 1.
        num_replicates: bootstrap resamples.

    Raises:
        InputError: when lengths differ, a label is missing or a value is out of its range.
    """
    ranking = Ranking(labels, scores)
    curve = ranking.curve_of_both()
    thresholds = [ranking.threshold(curve, fpr) for fpr in fprs]
    units, is_extraction = number_families(ranking.labels, _in_order(families, ranking, "families"))
    share = ranking.labels / np.bincount(units)[units] / is_extraction.sum()
    values = _figures(ranking, ranking.unit, share, fprs)
    resamples = iter_resamples(units, is_extraction, seed=seed, num_replicates=num_replicates)
    replicates = np.array([_figures(ranking, weights, share, fprs) for weights in resamples])
    num_extraction, num_extraction_families = int(ranking.labels.sum()), int(is_extraction.sum())
    spread = [percentile_interval(float(values[i]), replicates[:, i]) for i in range(_NUM_AREAS)]
    rates = [
        rate_interval(
            float(values[i]),
            replicates[:, i],
            num_families=num_extraction_families,
            num_records=num_extraction,
        )
        for i in range(_NUM_AREAS, len(values))
    ]
    benign = ranking.scores[ranking.labels == 0]
    return MetricSet(
        num_benign=len(benign),
        num_extraction=num_extraction,
        num_benign_families=len(is_extraction) - num_extraction_families,
        num_extraction_families=num_extraction_families,
        seed=seed,
        num_replicates=num_replicates,
        auroc=spread[0],
        auprc=spread[1],
        ece=spread[2] if ranking.is_calibrated else None,
        brier=spread[3] if ranking.is_calibrated else None,
        points=tuple(
            OperatingPoint(fpr, threshold, int((benign >= threshold).sum()), tpr, macro_tpr)
            for fpr, threshold, tpr, macro_tpr in zip(
                fprs, thresholds, rates[: len(fprs)], rates[len(fprs) :], strict=True
            )
        ),
    )


def by_slice(
    labels: ArrayLike,
    scores: ArrayLike,
    families: Sequence[str],
    groups: Sequence[str | None],
    *,
    thresholds: Mapping[float, float],
    seed: int,
    num_replicates: int = NUM_REPLICATES,
) -> tuple[SliceRate, ...]:
    """How each group fares at thresholds chosen on all records: no group gets a threshold of its own.

    Args:
        labels: 0 for benign, 1 for extraction, shape `(num_records,)`.
        scores: higher means extraction, the same shape.
        families: the family of each record.
        groups: the group of each record (a technique, a language, a source); None leaves the record out.
        thresholds: threshold of each false-positive rate, from `MetricSet.thresholds`.
        seed: seed of the bootstrap.
        num_replicates: bootstrap resamples of each group.

    Returns:
        For each group in alphabetical order: benign before extraction, then in the order of `thresholds`.

    Raises:
        InputError: when lengths differ or a value is out of its range.
    """
    ranking = Ranking(labels, scores)
    family_names = _in_order(families, ranking, "families")
    group_names = _in_order(["" if group is None else group for group in groups], ranking, "groups")
    flags = ranking.scores[:, None] >= np.array(list(thresholds.values()))
    slices: list[SliceRate] = []
    for group in np.unique(group_names[group_names != ""]):
        for label in (0, 1):
            rows = (group_names == group) & (ranking.labels == label)
            if not rows.any():
                continue
            units, strata = number_families(ranking.labels[rows], family_names[rows])
            hits, num_records = flags[rows].astype(np.float64), int(rows.sum())
            num_resamples = num_replicates if len(strata) > 1 else 0  # one family cannot be resampled
            resamples = iter_resamples(units, strata, seed=seed, num_replicates=num_resamples)
            shares = [(weights[:, None] * hits).sum(axis=0) / weights.sum() for weights in resamples]
            replicates = np.array(shares).reshape(-1, len(thresholds))
            slices.extend(
                SliceRate(
                    group=str(group),
                    is_extraction=bool(label),
                    num_records=num_records,
                    num_families=len(strata),
                    fpr=fpr,
                    threshold=threshold,
                    rate=rate_interval(
                        float(hits[:, i].mean()),
                        replicates[:, i],
                        num_families=len(strata),
                        num_records=num_records,
                    ),
                )
                for i, (fpr, threshold) in enumerate(thresholds.items())
            )
    return tuple(slices)


_NUM_AREAS = 4  # figures that do not hang on a threshold come first


def _figures(ranking: Ranking, weights: Weights, share: Weights, fprs: Sequence[float]) -> Weights:
    """AUROC, AUPRC, calibration error, Brier score, then TPR at each rate, then macro TPR at each rate.

    `share` is what a record adds to the macro TPR: 1 / (records of its family * extraction families), or 0.
    """
    curve = ranking.curve(weights)
    even = ranking.at_even_odds(weights)
    calibration = (
        (ranking.calibration_error(even, NUM_BINS), ranking.brier(even)) if ranking.is_calibrated else (np.nan, np.nan)
    )
    num_scores = [curve.num_above(fpr) for fpr in fprs]
    tpr = np.append(0.0, curve.true_positives)[num_scores] / curve.true_positives[-1]
    macro = np.append(0.0, np.cumsum(weights * share)[ranking.ends])[num_scores]
    areas = (curve.auroc, curve.average_precision, *calibration)
    return np.concatenate([areas, tpr, macro.round(12)])  # a sum of shares must reach 1.0 itself


def _in_order(names: Sequence[str], ranking: Ranking, field: str) -> NDArray[np.str_]:
    if len(names) != len(ranking.order):
        raise InputError(field, f"{len(names)} for {len(ranking.order)} records", "give one to each record")
    return np.asarray(names, dtype=np.str_)[ranking.order]
