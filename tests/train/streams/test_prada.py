from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from stillwatch.train.streams.arrays import StreamArrays
from stillwatch.train.streams.baselines.prada import GrowingSet, PradaDetector, measure_normality

Make = Callable[..., StreamArrays]


def fit(make_stream: Make, num_classes: int = 1) -> PradaDetector:
    detector = PradaDetector(num_classes=num_classes)
    detector.fit([make_stream(embeddings=np.random.default_rng(9).normal(size=(500, 32)))], None)
    return detector


def test_normal_distances_are_normal_and_crafted_ones_are_not() -> None:
    rng = np.random.default_rng(0)
    natural = rng.normal(0.8, 0.1, size=500)
    crafted = np.concatenate([natural[:250], rng.normal(0.1, 0.01, size=250)])  # half are small steps from others
    assert measure_normality(natural) > 0.99
    assert measure_normality(crafted) < 0.8


def test_far_distances_are_dropped_before_the_test() -> None:
    natural = np.random.default_rng(0).normal(0.8, 0.1, size=500)
    assert measure_normality(np.append(natural, [9.0, 11.0])) == pytest.approx(measure_normality(natural), abs=0.02)


def test_distances_without_a_shape_say_nothing() -> None:
    assert measure_normality(np.zeros(200)) == 1.0
    assert measure_normality(np.array([0.5, 0.6])) == 1.0


def test_a_growing_set_takes_what_is_far_and_its_threshold_never_falls() -> None:
    points = np.array([0.0, 4.0, 1.0, 10.0, 10.5])
    growing, seen, thresholds = GrowingSet(5), [], []
    for number, point in enumerate(points):
        seen.append(growing.add(number, np.abs(points - point).astype(np.float32)))
        thresholds.append(growing.threshold)
    assert seen == [None, 4.0, 1.0, 6.0, 0.5]
    # D_G is [0], then [0, 4]: mean 2, deviation 2; [0, 4, 1] would ask for less than 0, then [0, 4, 1, 6]
    joined = np.array([0.0, 4.0, 1.0, 6.0])
    expected = joined.mean() - joined.std()
    assert thresholds == pytest.approx([0.0, 0.0, max(0.0, joined[:3].mean() - joined[:3].std()), expected, expected])
    assert growing.numbers[: growing.size].tolist() == [0, 1, 2, 3] + ([4] if expected < 0.5 else [])


def test_no_test_is_made_before_there_are_more_than_a_hundred_distances(make_stream: Make) -> None:
    rows = np.random.default_rng(1).normal(size=(200, 32))
    statistic = fit(make_stream).score_stream(make_stream(embeddings=rows))
    assert np.isneginf(statistic[:101]).all()  # request 102 is the first to have 101 distances
    assert np.isfinite(statistic[110:]).all()
    assert len(set(statistic[110:120])) == 1  # tested at every tenth


def test_small_steps_from_a_few_seeds_stand_out_from_natural_requests(make_stream: Make) -> None:
    rng = np.random.default_rng(2)
    natural = rng.normal(size=(400, 32))
    seeds = rng.normal(size=(200, 32))
    crafted = np.concatenate([seeds, seeds + rng.normal(size=(200, 32)) * 0.05])
    for num_classes in (1, 4):
        detector = fit(make_stream, num_classes)
        honest, attack = (detector.score_stream(make_stream(embeddings=rows)) for rows in (natural, crafted))
        assert honest[110:].max() < 0.05
        assert attack[-1] > 0.2
