"""Single figures, against scikit-learn and against cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from stillwatch.data.errors import InputError
from stillwatch.train import metrics

Scored = tuple[NDArray[np.int64], NDArray[np.float64]]


@pytest.fixture(params=["smooth", "tied"])
def scored(request: pytest.FixtureRequest) -> Scored:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 400)
    scores = 1 / (1 + np.exp(-(rng.normal(size=400) + labels)))
    return labels, scores if request.param == "smooth" else scores.round(1)


def test_areas_agree_with_scikit_learn(scored: Scored) -> None:
    assert metrics.auroc(*scored) == pytest.approx(roc_auc_score(*scored))
    assert metrics.auprc(*scored) == pytest.approx(average_precision_score(*scored))
    labels, scores = scored
    weights = np.where(labels == 1, 1 / (labels == 1).sum(), 1 / (labels == 0).sum())
    assert metrics.brier(labels, scores) == pytest.approx(brier_score_loss(labels, scores, sample_weight=weights))


@pytest.mark.parametrize("fpr", [0.0, 0.001, 0.01, 0.1, 0.5, 0.99])
def test_a_threshold_never_flags_more_benign_than_promised(scored: Scored, fpr: float) -> None:
    labels, scores = scored
    benign = scores[labels == 0]
    threshold = metrics.threshold_at_fpr(labels, scores, fpr)
    assert (benign >= threshold).sum() <= int(fpr * len(benign))
    flagged_by_the_next = (benign >= scores[scores < threshold].max()).sum()
    assert flagged_by_the_next > int(fpr * len(benign))
    assert metrics.tpr_at_fpr(labels, scores, fpr) == (scores[labels == 1] >= threshold).mean()


def test_benign_records_tied_at_the_threshold_all_pass() -> None:
    labels = [0, 0, 0, 0, 1, 1, 1]
    scores = [0.1, 0.2, 0.9, 0.9, 0.9, 0.95, 0.3]
    assert metrics.threshold_at_fpr(labels, scores, 0.25) > 0.9  # one of four may be flagged, but two are tied
    assert metrics.tpr_at_fpr(labels, scores, 0.25) == pytest.approx(1 / 3)
    assert metrics.tpr_at_fpr(labels, scores, 0.5) == pytest.approx(1.0)


def test_the_share_of_allowed_benign_does_not_lose_one_to_rounding() -> None:
    scores = np.arange(101) / 101
    labels = [0] * 100 + [1]
    assert (scores[:100] >= metrics.threshold_at_fpr(labels, scores, 0.29)).sum() == 29


def test_two_records_are_enough() -> None:
    assert metrics.auroc([0, 1], [0.1, 0.9]) == 1.0
    assert metrics.auroc([0, 1], [0.5, 0.5]) == 0.5
    assert metrics.tpr_at_fpr([0, 1], [0.1, 0.9], 0.001) == 1.0
    assert metrics.tpr_at_fpr([0, 1], [0.5, 0.5], 0.001) == 0.0


def test_calibration_error_of_a_case_worked_by_hand() -> None:
    labels, scores = [0, 0, 0, 1, 1, 1, 0, 1], [0.2] * 4 + [0.9] * 4
    assert metrics.expected_calibration_error(labels, scores, num_bins=2) == pytest.approx((0.05 + 0.15) / 2)
    bins = metrics.reliability_bins(labels, scores, num_bins=2)
    assert np.allclose(bins, [(0.2, 0.25, 4), (0.9, 0.75, 4)])


def test_calibration_is_told_at_even_odds_whatever_the_mixture() -> None:
    labels, scores = [0, 0, 0, 1, 1, 1, 0, 1], [0.2] * 4 + [0.9] * 4
    benign = [(0, score) for label, score in zip(labels, scores, strict=True) if label == 0]
    mixed = [*zip(labels, scores, strict=True), *benign * 4]  # five benign records for each one
    mixed_labels, mixed_scores = zip(*mixed, strict=True)
    assert metrics.brier(mixed_labels, mixed_scores) == pytest.approx(metrics.brier(labels, scores))
    bins = metrics.reliability_bins(mixed_labels, mixed_scores, num_bins=2)
    assert np.allclose(bins, [(0.2, 0.25, 16), (0.9, 0.75, 8)])


def test_calibration_error_does_not_hang_on_the_order_of_ties(scored: Scored) -> None:
    labels, scores = scored
    turned = metrics.expected_calibration_error(labels[::-1], scores[::-1])
    assert metrics.expected_calibration_error(labels, scores) == pytest.approx(turned)


def test_calibration_error_is_small_for_true_probabilities_and_large_for_others() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(20_000)
    labels = (rng.random(20_000) < truth).astype(int)
    assert metrics.expected_calibration_error(labels, truth) < 0.02
    assert metrics.expected_calibration_error(labels, truth**3) > 0.1


def test_curves_begin_and_end_where_they_must(scored: Scored) -> None:
    fpr, tpr = metrics.roc_points(*scored)
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(tpr, fpr) == pytest.approx(metrics.auroc(*scored))
    recall, precision = metrics.precision_recall_points(*scored)
    assert (recall[-1], precision[-1]) == (1, pytest.approx(scored[0].mean()))


@pytest.mark.parametrize(
    ("labels", "scores", "field"),
    [
        ([0, 1], [0.1], "scores"),
        ([], [], "scores"),
        ([0, 2], [0.1, 0.2], "labels"),
        ([0, 1], [0.1, float("nan")], "scores"),
        ([1, 1], [0.1, 0.2], "labels"),
    ],
)
def test_what_cannot_be_ranked_is_refused(labels: list[int], scores: list[float], field: str) -> None:
    with pytest.raises(InputError) as caught:
        metrics.auroc(labels, scores)
    assert caught.value.field == field


def test_a_rate_out_of_its_range_is_refused() -> None:
    with pytest.raises(InputError, match="fpr"):
        metrics.threshold_at_fpr([0, 1], [0.1, 0.2], 1.0)


def test_logits_are_not_taken_for_probabilities() -> None:
    with pytest.raises(InputError, match="probabilities"):
        metrics.brier([0, 1], [-2.0, 3.0])
