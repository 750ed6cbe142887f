"""Records ranked by score, and every figure that a ranking answers, with a weight for each record.

The weights are how often a record stands in a bootstrap resample, so records are sorted once for all of them.
Records with equal scores are never told apart: a threshold takes all of them or none, and so does a bin.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stillwatch.data.errors import InputError

Weights = NDArray[np.float64]
"""A weight for each record, in the sorted order of its ranking."""


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Weight at or above each distinct score, highest score first.

    Attributes:
        true_positives: weight of extraction records, shape `(num_scores,)`.
        false_positives: weight of benign records, the same shape.
    """

    true_positives: NDArray[np.float64]
    false_positives: NDArray[np.float64]

    @property
    def auroc(self) -> float:
        """Area under the ROC curve; nan when a label has no weight."""
        positives, negatives = self.true_positives[-1], self.false_positives[-1]
        if not positives or not negatives:
            return float("nan")
        gained = np.diff(self.true_positives, prepend=0.0)
        above = self.true_positives - gained / 2  # a tie between the labels counts half
        return float((above * np.diff(self.false_positives, prepend=0.0)).sum() / (positives * negatives))

    @property
    def average_precision(self) -> float:
        """Area under the precision-recall curve, not interpolated; nan when extraction has no weight."""
        if not self.true_positives[-1]:
            return float("nan")
        precision = self.true_positives / np.maximum(self.true_positives + self.false_positives, 1e-300)
        return float((np.diff(self.true_positives, prepend=0.0) * precision).sum() / self.true_positives[-1])

    def num_above(self, fpr: float) -> int:
        """How many of the highest scores hold at most `floor(fpr * benign weight)` benign between them."""
        allowed = floor(fpr * self.false_positives[-1] + 1e-9)  # 0.29 * 100 must allow 29
        return int(np.searchsorted(self.false_positives, allowed, side="right"))


class Ranking:
    """Labels and scores sorted from the highest score down.

    Args:
        labels: 0 for benign, 1 for extraction, shape `(num_records,)`.
        scores: higher means extraction, the same shape, finite.

    Raises:
        InputError: when shapes differ, nothing is there, or a value is out of its range.
    """

    def __init__(self, labels: ArrayLike, scores: ArrayLike) -> None:
        """Check, then sort once."""
        given_labels, given_scores = np.asarray(labels), np.asarray(scores, dtype=np.float64)
        if given_labels.ndim != 1 or given_labels.shape != given_scores.shape or not given_labels.size:
            kinds = f"shape {given_scores.shape} beside labels of shape {given_labels.shape}"
            raise InputError("scores", kinds, "give one score to each of at least one label")
        if not np.isin(given_labels, (0, 1)).all():
            raise InputError("labels", "a value other than 0 and 1", "leave ambiguous records out")
        if not np.isfinite(given_scores).all():
            raise InputError("scores", "a value that is not finite", "score every record")
        self.order: NDArray[np.int64] = np.argsort(-given_scores, kind="stable")
        self.labels: NDArray[np.float64] = given_labels[self.order].astype(np.float64)
        self.scores: NDArray[np.float64] = given_scores[self.order]
        self.ends: NDArray[np.int64] = np.flatnonzero(np.append(np.diff(self.scores) != 0, True))
        self.unit: NDArray[np.float64] = np.ones(len(self.labels))

    @property
    def distinct(self) -> NDArray[np.float64]:
        """The distinct scores, highest first."""
        return self.scores[self.ends]

    @property
    def is_calibrated(self) -> bool:
        """Whether every score could be a probability."""
        return bool(self.scores[0] <= 1 and self.scores[-1] >= 0)

    def curve(self, weights: Weights) -> Curve:
        """The curve of the records under `weights`."""
        positive = np.cumsum(weights * self.labels)[self.ends]
        return Curve(positive, np.cumsum(weights)[self.ends] - positive)

    def curve_of_both(self) -> Curve:
        """The curve with every record counted once.

        Raises:
            InputError: when only one of the two labels is there.
        """
        curve = self.curve(self.unit)
        if not curve.true_positives[-1] or not curve.false_positives[-1]:
            raise InputError("labels", "a single label", "give benign and extraction records")
        return curve

    def threshold(self, curve: Curve, fpr: float) -> float:
        """The lowest threshold at or above which at most `floor(fpr * num_benign)` benign records stand.

        Raises:
            InputError: when `fpr` is not from 0 to below 1.
        """
        if not 0 <= fpr < 1:
            raise InputError("fpr", "a rate out of its range", "give a rate from 0 to below 1, such as 0.01")
        return float(np.nextafter(self.distinct[curve.num_above(fpr)], np.inf))

    def num_records_above(self, num_scores: int) -> int:
        """How many records hold the highest `num_scores` distinct scores."""
        return int(self.ends[num_scores - 1]) + 1 if num_scores else 0

    def at_even_odds(self, weights: Weights) -> Weights:
        """The weights, scaled within each label so that both weigh the same; nan when a label has no weight."""
        extraction = float((weights * self.labels).sum())
        benign = float(weights.sum()) - extraction
        if not extraction or not benign:
            return np.full(len(weights), np.nan)
        half = (extraction + benign) / 2
        return weights * np.where(self.labels == 1, half / extraction, half / benign)

    def brier(self, weights: Weights) -> float:
        """The weighted mean of `(score - label) ** 2`."""
        return float((weights * (self.scores - self.labels) ** 2).sum() / weights.sum())

    def bins(self, weights: Weights, num_bins: int) -> NDArray[np.float64]:
        """Equal-mass bins from the highest score down: weight, sum of scores, sum of labels.

        Equal scores share a bin, that of their middle, so bins may differ in mass or be empty.

        Returns:
            Shape `(4, num_bins)`: the three, and how many records each holds.
        """
        total = np.cumsum(weights)[self.ends]
        middle = (total + np.append(0.0, total[:-1])) / 2
        bin_of_score = np.minimum((middle / total[-1] * num_bins).astype(np.int64), num_bins - 1)
        bin_of_row = np.repeat(bin_of_score, np.diff(self.ends, prepend=-1))
        sums = [
            np.bincount(bin_of_row, weights=values, minlength=num_bins)
            for values in (weights, weights * self.scores, weights * self.labels, self.unit)
        ]
        return np.stack(sums)

    def calibration_error(self, weights: Weights, num_bins: int) -> float:
        """The weighted mean over the bins of the gap between mean score and share of extraction."""
        mass, scores, labels, _ = self.bins(weights, num_bins)
        return float(np.abs(scores - labels).sum() / mass.sum())
