"""Results with their intervals, and slices at global thresholds."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from numpy.typing import NDArray

from stillwatch.data.errors import InputError
from stillwatch.train import metrics
from stillwatch.train.intervals import iter_resamples, wilson
from stillwatch.train.summary import MetricSet, by_slice, summarise


def draw(
    seed: int, num_families: int = 30, num_records: int = 900, spread: float = 0.5
) -> tuple[NDArray[np.int64], NDArray[np.float64], list[str]]:
    rng = np.random.default_rng(seed)
    families = np.append(np.arange(num_families), rng.integers(0, num_families, num_records - num_families))
    labels = (families % 3 == 0).astype(np.int64)
    shift = rng.normal(size=num_families)[families] * spread
    scores = 1 / (1 + np.exp(-(rng.normal(size=num_records) + shift + 3 * labels - 2)))
    return labels, scores, [f"family-{family}" for family in families]


@pytest.fixture(scope="module")
def found() -> MetricSet:
    return summarise(*draw(0), seed=1, num_replicates=200)


def test_values_are_the_plain_figures(found: MetricSet) -> None:
    labels, scores, _ = draw(0)
    assert found.auroc.value == pytest.approx(metrics.auroc(labels, scores))
    assert found.auprc.value == pytest.approx(metrics.auprc(labels, scores))
    assert found.ece is not None
    assert found.ece.value == pytest.approx(metrics.expected_calibration_error(labels, scores))
    assert found.at(0.01).tpr.value == pytest.approx(metrics.tpr_at_fpr(labels, scores, 0.01))
    assert found.thresholds[0.01] == metrics.threshold_at_fpr(labels, scores, 0.01)


def test_records_and_families_of_each_label_are_counted(found: MetricSet) -> None:
    assert (found.num_extraction_families, found.num_benign_families) == (10, 20)
    assert found.num_benign + found.num_extraction == 900


def test_macro_tpr_gives_each_family_one_voice() -> None:
    labels = [0] * 10 + [1] * 9 + [1]
    scores = [0.1] * 10 + [0.9] * 9 + [0.05]
    families = ["benign"] * 10 + ["large"] * 9 + ["small"]
    point = summarise(labels, scores, families, seed=0, num_replicates=20).at(0.01)
    assert point.tpr.value == pytest.approx(0.9)
    assert point.macro_tpr.value == pytest.approx(0.5)


def test_the_seed_decides_the_intervals(found: MetricSet) -> None:
    assert summarise(*draw(0), seed=1, num_replicates=200) == found
    assert summarise(*draw(0), seed=2, num_replicates=200).auroc != found.auroc


def test_the_order_of_records_decides_no_figure(found: MetricSet) -> None:
    labels, scores, families = draw(0)
    turned = summarise(labels[::-1], scores[::-1], families[::-1], seed=1, num_replicates=20)
    assert turned.auroc.value == pytest.approx(found.auroc.value)
    assert turned.points[0].threshold == found.points[0].threshold


def test_intervals_hold_their_values(found: MetricSet) -> None:
    assert found.brier is not None
    assert found.ece is not None
    points = [interval for point in found.points for interval in (point.tpr, point.macro_tpr)]
    for interval in (found.auroc, found.auprc, found.ece, found.brier, *points):
        assert interval.low <= interval.value <= interval.high


def test_families_that_differ_make_intervals_wider() -> None:
    def width(spread: float) -> float:
        interval = summarise(*draw(4, spread=spread), seed=0, num_replicates=200).auroc
        return interval.high - interval.low

    assert width(1.5) > 2 * width(0.0)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    truth = metrics.auroc(*draw(10_000, num_families=6000, num_records=60_000)[:2])
    results = (summarise(*draw(seed), seed=0, num_replicates=100).auroc for seed in range(40))
    assert sum(auroc.low <= truth <= auroc.high for auroc in results) >= 33


def test_a_perfect_rate_is_not_called_certain() -> None:
    labels, scores = [0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.3, 0.7, 0.8, 0.9]
    tpr = summarise(labels, scores, list("abcdef"), seed=0, num_replicates=20).at(0.01).tpr
    assert (tpr.value, tpr.high) == (1.0, 1.0)
    assert tpr.low == wilson(3, 3).low < 0.5


def test_logits_have_no_calibration_figures() -> None:
    labels, scores, families = draw(0)
    raw = summarise(labels, 10 * scores - 5, families, seed=0, num_replicates=20)
    assert (raw.ece, raw.brier) == (None, None)
    assert "test/ece" not in raw.to_metrics("test")


def test_a_result_survives_json(found: MetricSet) -> None:
    read = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert read["auroc"] == found.auroc.to_json()
    assert read["points"][1]["fpr"] == 0.001


def test_tracked_figures_carry_their_bounds(found: MetricSet) -> None:
    flat = found.to_metrics("test")
    assert flat["test/tpr_at_fpr_0.01_low"] == found.at(0.01).tpr.low
    assert flat["test/threshold_at_fpr_0.001"] == found.at(0.001).threshold


def test_a_rate_that_was_not_asked_for_is_refused(found: MetricSet) -> None:
    with pytest.raises(InputError, match=r"0\.01, 0\.001"):
        found.at(0.05)


def test_slices_are_judged_at_the_global_threshold() -> None:
    labels = [0, 0, 0, 0, 1, 1, 1, 1]
    scores = [0.1, 0.2, 0.6, 0.7, 0.4, 0.8, 0.9, 0.95]
    groups = ["en", "en", "de", "de", "en", "en", "de", None]
    slices = by_slice(labels, scores, list("abcdefgh"), groups, thresholds={0.1: 0.65}, seed=0)
    rates = {(one.group, one.is_extraction): (one.rate.value, one.num_records) for one in slices}
    assert rates == {
        ("de", False): (0.5, 2),
        ("de", True): (1.0, 1),
        ("en", False): (0.0, 2),
        ("en", True): (0.5, 2),
    }


def test_the_interval_of_one_family_is_that_of_its_records() -> None:
    labels, scores, families = draw(0)
    slices = by_slice(labels, scores, families, families, thresholds={0.01: 0.8}, seed=0)
    for one in slices:
        assert one.num_families == 1
        assert one.rate.high == pytest.approx(wilson(one.rate.value * one.num_records, one.num_records).high, abs=1e-9)


def test_groups_of_another_length_are_refused() -> None:
    with pytest.raises(InputError, match="groups"):
        by_slice([0, 1], [0.1, 0.2], ["a", "b"], ["en"], thresholds={0.01: 0.5}, seed=0)


def test_a_resample_keeps_the_number_of_families_on_each_side() -> None:
    families = np.repeat(np.arange(6), [1, 2, 3, 4, 5, 6])
    strata = np.array([True, True, False, False, False, False])
    for counts in iter_resamples(families, strata, seed=0, num_replicates=50):
        drawn = np.bincount(families, weights=counts) / np.bincount(families)
        assert drawn[:2].sum() == pytest.approx(2)
        assert drawn[2:].sum() == pytest.approx(4)


@pytest.mark.parametrize(("hits", "trials", "low", "high"), [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634)])
def test_wilson_agrees_with_its_table(hits: int, trials: int, low: float, high: float) -> None:
    interval = wilson(hits, trials)
    assert interval.low == pytest.approx(low, abs=1e-4)
    assert interval.high == pytest.approx(high, abs=1e-4)


def test_no_trials_leave_the_whole_range() -> None:
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)


@pytest.mark.slow
def test_twenty_thousand_records_take_seconds() -> None:
    begun = time.process_time()
    summarise(*draw(0, num_families=150, num_records=20_000), seed=0)
    assert time.process_time() - begun < 10
