"""Differences between two systems: known cases, and intervals that profit from the pairing."""

from __future__ import annotations

from math import hypot

import numpy as np
import pytest
from numpy.typing import NDArray

from stillwatch.data.errors import InputError
from stillwatch.train import metrics
from stillwatch.train.intervals import wilson
from stillwatch.train.suites.pairing import Difference, compare_scores
from stillwatch.train.summary import summarise

Floats = NDArray[np.float64]


def draw(
    seed: int, *, lead: float = 0.0, noise: float = 0.2, num_families: int = 40, num_records: int = 1200
) -> tuple[NDArray[np.int64], Floats, Floats, list[str]]:
    """Two systems that see the same families in nearly the same way; the second tells labels apart by `lead` more."""
    rng = np.random.default_rng(seed)
    families = np.append(np.arange(num_families), rng.integers(0, num_families, num_records - num_families))
    labels = (families % 2 == 0).astype(np.int64)
    shared = rng.normal(size=num_families)[families] + rng.normal(size=num_records) + 2 * labels
    a, b = (shared + noise * rng.normal(size=num_records) for _ in range(2))
    return labels, a, b + lead * labels, [f"family-{family}" for family in families]


def differences(
    seed: int, *, num_replicates: int = 200, lead: float = 0.0, noise: float = 0.2, num_records: int = 1200
) -> dict[str, Difference]:
    labels, a, b, families = draw(seed, lead=lead, noise=noise, num_records=num_records)
    figures, _ = compare_scores(labels, a, b, families, {}, seed=1, num_replicates=num_replicates)
    return {each.figure: each for each in figures}


def test_values_are_the_plain_figures_of_each_side() -> None:
    labels, a, b, _ = draw(0, lead=0.5)
    found = differences(0, num_replicates=20, lead=0.5)
    assert found["auroc"].a == pytest.approx(metrics.auroc(labels, a))
    assert found["auprc"].b == pytest.approx(metrics.auprc(labels, b))
    assert found["tpr_at_fpr_0.01"].b == pytest.approx(metrics.tpr_at_fpr(labels, b, 0.01))
    assert found["tpr_at_fpr_0.001"].a == pytest.approx(metrics.tpr_at_fpr(labels, a, 0.001))
    for each in found.values():
        assert each.change.value == pytest.approx(each.b - each.a)
        assert each.change.low <= each.change.value <= each.change.high


def test_paired_intervals_are_narrower_than_unpaired_ones_on_systems_that_go_together() -> None:
    labels, a, b, families = draw(0)
    paired = differences(0)["auroc"].change
    apart = [summarise(labels, scores, families, seed=1, num_replicates=200).auroc for scores in (a, b)]
    unpaired_width = hypot(*(each.high - each.low for each in apart))
    assert paired.high - paired.low < unpaired_width / 5


def test_a_system_does_not_differ_from_itself() -> None:
    labels, a, _, families = draw(0)
    figures, slices = compare_scores(labels, a, a, families, {"family": families}, seed=1, num_replicates=50)
    changes = [each.change for each in figures] + [each.change for each in slices]
    assert {(change.low, change.value, change.high) for change in changes} == {(0.0, 0.0, 0.0)}
    assert {each.direction for each in figures} == {each.direction for each in slices} == {0}


def test_a_lead_is_found_and_turns_round_with_the_sides() -> None:
    labels, a, b, families = draw(0, lead=1.0)
    there, _ = compare_scores(labels, a, b, families, {}, seed=1, num_replicates=200)
    back, _ = compare_scores(labels, b, a, families, {}, seed=1, num_replicates=200)
    assert {each.direction for each in there if each.figure != "tpr_at_fpr_0.001"} == {1}
    for one, other in zip(there, back, strict=True):
        assert one.direction == -other.direction
        assert one.change.low == pytest.approx(-other.change.high, abs=1e-12)


def test_the_scale_of_the_scores_does_not_matter() -> None:
    labels, a, b, families = draw(0, lead=0.3)
    plain, _ = compare_scores(labels, a, b, families, {}, seed=1, num_replicates=50)
    bent, _ = compare_scores(labels, np.exp(a), 100 * b - 7, families, {}, seed=1, num_replicates=50)
    assert plain == bent


def test_systems_that_do_not_differ_are_seldom_told_apart() -> None:
    directions = [
        differences(seed, num_replicates=100, noise=0.5, num_records=400)["auroc"].direction for seed in range(40)
    ]
    assert sum(map(abs, directions)) <= 6


def test_the_interval_covers_the_true_difference_about_as_often_as_it_says() -> None:
    labels, a, b, _ = draw(10_000, lead=0.4, num_families=4000, num_records=60_000)
    truth = metrics.auroc(labels, b) - metrics.auroc(labels, a)
    found = [differences(seed, num_replicates=100, lead=0.4, num_records=400)["auroc"].change for seed in range(40)]
    assert sum(each.low <= truth <= each.high for each in found) >= 33


def test_a_lead_in_one_family_alone_is_not_told_apart() -> None:
    labels, a, _, families = draw(0)
    first = np.array(families) == "family-0"
    figures, _ = compare_scores(labels, a, a + 9 * first, families, {}, seed=1, num_replicates=200)
    tpr = next(each for each in figures if each.figure == "tpr_at_fpr_0.01")
    assert tpr.change.value > 0
    assert tpr.direction == 0


def test_slices_are_counted_at_the_thresholds_of_the_whole() -> None:
    labels = [0] * 10 + [1] * 4
    a = [*np.arange(10) / 100, 0.05, 0.2, 0.3, 0.4]
    b = [*np.arange(10)[::-1] / 100, 0.2, 0.3, 0.01, 0.5]
    sources = ["x"] * 5 + ["y"] * 5 + [None] * 4
    techniques = [None] * 10 + ["t"] * 4
    families = [f"f{i}" for i in range(14)]
    _, slices = compare_scores(
        labels, a, b, families, {"source": sources, "technique": techniques}, fprs=(0.1,), seed=0, num_replicates=20
    )
    assert [(one.dimension, one.group, one.is_extraction, one.num_records, one.a, one.b) for one in slices] == [
        ("source", "x", False, 5, 0.0, 0.2),
        ("source", "y", False, 5, 0.2, 0.0),
        ("technique", "t", True, 4, 0.75, 0.75),
    ]


def test_catching_all_where_the_other_catches_none_is_not_called_certain() -> None:
    labels = [0] * 4 + [1] * 4
    a = [0.5, 0.6, 0.7, 0.8, 0.1, 0.2, 0.3, 0.4]
    figures, _ = compare_scores(labels, a, 1 - np.array(a), list("abcdefgh"), {}, seed=0, num_replicates=50)
    change = next(each for each in figures if each.figure == "tpr_at_fpr_0.01").change
    assert (change.value, change.high) == (1.0, 1.0)
    assert change.low == pytest.approx(1 - np.hypot(1 - wilson(4, 4).low, wilson(0, 4).high))
    assert 0 < change.low < 0.5


def test_wrong_lengths_and_a_single_label_are_refused() -> None:
    with pytest.raises(InputError, match="families"):
        compare_scores([0, 1], [0.1, 0.2], [0.1, 0.2], ["a"], {}, seed=0)
    with pytest.raises(InputError, match="source: 1 for 2"):
        compare_scores([0, 1], [0.1, 0.2], [0.1, 0.2], ["a", "b"], {"source": ["x"]}, seed=0)
    with pytest.raises(InputError, match="single label"):
        compare_scores([1, 1], [0.1, 0.2], [0.1, 0.2], ["a", "b"], {}, seed=0)
