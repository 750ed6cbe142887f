"""Single figures of scored records: ranking, thresholds and calibration.

A record is flagged when its score is at or above the threshold. A threshold promises its false-positive rate
on the benign records it was taken from and on no others.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stillwatch.data.errors import InputError
from stillwatch.train.ranking import Ranking

NUM_BINS = 15
"""Bins of the calibration error and of the reliability plot."""


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """The area under the ROC curve; a tie counts half."""
    return Ranking(labels, scores).curve_of_both().auroc


def auprc(labels: ArrayLike, scores: ArrayLike) -> float:
    """The area under the precision-recall curve as average precision."""
    return Ranking(labels, scores).curve_of_both().average_precision


def threshold_at_fpr(labels: ArrayLike, scores: ArrayLike, fpr: float) -> float:
    """The lowest threshold at or above which at most `floor(fpr * num_benign)` benign records stand.

    It lies one step of float64 above the highest benign score that must pass: keep all its digits.

    Args:
        labels: 0 for benign, 1 for extraction, shape `(num_records,)`.
        scores: higher means extraction, the same shape.
        fpr: the false-positive rate, from 0 and below 1.

    Raises:
        InputError: when a label is missing or the rate is out of its range.
    """
    ranking = Ranking(labels, scores)
    return ranking.threshold(ranking.curve_of_both(), fpr)


def tpr_at_fpr(labels: ArrayLike, scores: ArrayLike, fpr: float) -> float:
    """The share of extraction records at or above `threshold_at_fpr`; arguments and errors as there."""
    ranking = Ranking(labels, scores)
    threshold = ranking.threshold(ranking.curve_of_both(), fpr)
    return float(np.mean(ranking.scores[ranking.labels == 1] >= threshold))


def expected_calibration_error(labels: ArrayLike, scores: ArrayLike, num_bins: int = NUM_BINS) -> float:
    """Calibration error of probabilities over equal-mass bins (Nguyen and O'Connor, EMNLP 2015), at even odds.

    A probability states odds beforehand, and ours states even ones: records are weighed so that both labels weigh
    the same, and the error is that of the probability, not of the mixture that happened to be measured.
    """
    ranking = _rank_probabilities(labels, scores)
    return ranking.calibration_error(ranking.at_even_odds(ranking.unit), num_bins)


def brier(labels: ArrayLike, scores: ArrayLike) -> float:
    """The Brier score, the mean of `(probability - label) ** 2`, at even odds as the calibration error is."""
    ranking = _rank_probabilities(labels, scores)
    return ranking.brier(ranking.at_even_odds(ranking.unit))


def reliability_bins(labels: ArrayLike, scores: ArrayLike, num_bins: int = NUM_BINS) -> list[tuple[float, float, int]]:
    """The bins behind the calibration error, lowest score first: mean score, share of extraction, records.

    Score and share are at even odds; the records are counted as they are.
    """
    ranking = _rank_probabilities(labels, scores)
    bins = ranking.bins(ranking.at_even_odds(ranking.unit), num_bins).T[::-1]
    return [(float(total / mass), float(hits / mass), int(count)) for mass, total, hits, count in bins if mass]


def roc_points(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """False-positive and true-positive rates from (0, 0) to (1, 1), one point for each distinct score."""
    curve = Ranking(labels, scores).curve_of_both()
    fpr, tpr = (np.append(0.0, hits / hits[-1]) for hits in (curve.false_positives, curve.true_positives))
    return fpr, tpr


def precision_recall_points(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Recall and precision for each distinct score, highest score first."""
    curve = Ranking(labels, scores).curve_of_both()
    flagged = curve.true_positives + curve.false_positives
    return curve.true_positives / curve.true_positives[-1], curve.true_positives / flagged


def _rank_probabilities(labels: ArrayLike, scores: ArrayLike) -> Ranking:
    ranking = Ranking(labels, scores)
    if not ranking.is_calibrated:
        raise InputError("scores", "a value outside 0 to 1", "give probabilities, not logits")
    return ranking
