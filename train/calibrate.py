"""Platt scaling and thresholds from scores of held-out families, and how far the probability holds on others.

A calibration that is measured on the records that it was fitted on looks better than it is. Here each family is told
by a fit on all the others, so the figures are those of families that the calibration has not seen.

Isotonic and beta calibration, Platt scaling on clipped logits and a shift alone were tried on two runs over real
families: by cross-fitted log loss isotonic and beta are worse in both, and none is told better than Platt scaling.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LeaveOneGroupOut

from stillwatch.data.records import LabelledRequest
from stillwatch.model.calibration import Calibration, sigmoid
from stillwatch.model.reference import TrafficReference, TrafficTally
from stillwatch.train.intervals import (
    NUM_REPLICATES,
    Interval,
    iter_resamples,
    number_families,
    percentile_interval,
)
from stillwatch.train.metrics import NUM_BINS, threshold_at_fpr
from stillwatch.train.ranking import Ranking, Weights

Logits = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """How far a probability can be taken at its word on families that had no part in fitting it, at even odds.

    Attributes:
        labels: 0 for benign, 1 for extraction, shape (decided records,).
        probabilities: what was said of each, the same shape.
        ece: calibration error over bins of equal mass; the interval is over families and records, not over fits.
        brier: the Brier score.
        num_families: families of either label.
    """

    labels: NDArray[np.int64]
    probabilities: Logits
    ece: Interval
    brier: Interval
    num_families: int

    def to_metrics(self) -> dict[str, float]:
        """Flat figures for a tracking store."""
        figures = {"calibration/num_families": float(self.num_families)}
        for name, interval in (("ece", self.ece), ("brier", self.brier)):
            figures |= {f"calibration/{name}": interval.value}
            figures |= {f"calibration/{name}_low": interval.low, f"calibration/{name}_high": interval.high}
        return figures


def fit_calibration(
    records: Sequence[LabelledRequest],
    logits: Logits,
    *,
    review_fpr: float,
    flag_fpr: float,
    fitted_on: Literal["validation", "test"] = "validation",
) -> Calibration:
    """Fit a calibration on held-out records; families weigh the same within a label, and labels the same.

    Args:
        records: of families that the model was not trained on, both labels; those that one request does not decide
            are passed over.
        logits: their raw extraction logits, shape (records,).
        review_fpr: share of benign records at or above the review threshold.
        flag_fpr: the same for the flag threshold. With fewer than 1 / flag_fpr benign records it lies just above
            the highest benign score, and the bundle says on how many it rests.
        fitted_on: what the records are to the run.
    """
    labels, families, kept = _take_decided(records, logits)
    slope, intercept = _fit_platt(labels, kept, families)
    calibrated = slope * kept + intercept
    review, flag = (threshold_at_fpr(labels, calibrated, fpr) for fpr in (review_fpr, flag_fpr))
    return Calibration(
        slope=slope,
        intercept=intercept,
        review_logit=review,
        flag_logit=max(flag, review),
        review_fpr=review_fpr,
        flag_fpr=flag_fpr,
        fitted_on=fitted_on,
        num_benign=int((labels == 0).sum()),
        num_extraction=int(labels.sum()),
    )


def tally_benign(
    records: Sequence[LabelledRequest], logits: Logits, mixes: Logits, calibration: Calibration
) -> TrafficReference | None:
    """Shares of scores and techniques of the benign records of a fit; None where there are none.

    Args:
        records: as of `fit_calibration`.
        logits: their raw extraction logits, shape (records,).
        mixes: the probability of each technique, shape (records, techniques).
        calibration: what `fit_calibration` gave.
    """
    tally = TrafficTally()
    for record, logit, mix in zip(records, logits, mixes, strict=True):
        if record.is_decided and not record.is_extraction:
            tally.add(sigmoid(calibration.calibrate(float(logit))), mix.tolist())
    return tally.build_reference("training")


def measure_reliability(
    records: Sequence[LabelledRequest],
    logits: Logits,
    calibration: Calibration,
    *,
    seed: int,
    num_replicates: int = NUM_REPLICATES,
) -> Reliability | None:
    """How far a calibration's probability holds on the test records.

    A calibration that was fitted on these very records is fitted anew for each family, on all other families.

    Args:
        records: tested; those that one request does not decide are passed over.
        logits: their raw extraction logits, shape (records,).
        calibration: what `fit_calibration` gave.
        seed: of the bootstrap.
        num_replicates: bootstrap replicates.

    Returns:
        None where a label has a single family, which leaves nothing to fit on when it is left out.
    """
    labels, families, kept = _take_decided(records, logits)
    if calibration.fitted_on == "test":
        if min(len(np.unique(families[labels == label])) for label in (0, 1)) < 2:
            return None
        calibrated = np.empty(len(kept))
        for rest, left_out in LeaveOneGroupOut().split(kept, groups=families):
            slope, intercept = _fit_platt(labels[rest], kept[rest], families[rest])
            calibrated[left_out] = slope * kept[left_out] + intercept
    else:
        calibrated = calibration.slope * kept + calibration.intercept
    ranking = Ranking(labels, 1 / (1 + np.exp(-calibrated)))
    units, strata = number_families(ranking.labels, families[ranking.order])
    resamples = iter_resamples(units, strata, seed=seed, num_replicates=num_replicates)
    (ece, brier), replicates = (
        _figures(ranking, ranking.unit),
        np.array([_figures(ranking, each) for each in resamples]),
    )
    return Reliability(
        labels=labels,
        probabilities=1 / (1 + np.exp(-calibrated)),
        ece=percentile_interval(ece, replicates[:, 0]),
        brier=percentile_interval(brier, replicates[:, 1]),
        num_families=len(strata),
    )


def _figures(ranking: Ranking, weights: Weights) -> tuple[float, float]:
    even = ranking.at_even_odds(weights)
    return ranking.calibration_error(even, NUM_BINS), ranking.brier(even)


def _take_decided(
    records: Sequence[LabelledRequest], logits: Logits
) -> tuple[NDArray[np.int64], NDArray[np.str_], Logits]:
    """Labels, families and logits of the records that one request decides."""
    decided = np.array([record.is_decided for record in records])
    labels = np.array([int(record.is_extraction) for record in records])
    return labels[decided], np.array([record.family for record in records])[decided], logits[decided]


def _fit_platt(labels: NDArray[np.int64], logits: Logits, families: NDArray[np.str_]) -> tuple[float, float]:
    """Slope and intercept at even odds, each family of a label weighing the same."""
    pairs = list(zip(labels.tolist(), families.tolist(), strict=True))
    sizes = Counter(pairs)
    num_families = Counter(label for label, _ in sizes)
    weights = np.array([1 / sizes[pair] / num_families[pair[0]] for pair in pairs])
    regression = LogisticRegression(C=1e3).fit(logits[:, None], labels, sample_weight=weights * len(labels) / 2)
    slope = max(float(regression.coef_[0, 0]), 1e-3)  # a model worse than chance must not turn the order round
    return slope, float(regression.intercept_[0])
