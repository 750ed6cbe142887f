from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stillwatch.train.streams.arrays import StreamArrays
from stillwatch.train.streams.baselines.distances import scale_rows
from stillwatch.train.streams.baselines.mmd import MmdDetector, build_reference

Make = Callable[..., StreamArrays]


def estimate_slowly(window: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """Equation 3 of Gretton et al. as it is written, with the mean of four kernels."""

    def squares(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = np.sum((one[:, None] - other[None]) ** 2, axis=-1)
        return found

    m, n = len(window), len(reference)
    median = np.median(squares(reference, reference)[np.triu_indices(n, 1)])

    def kernel(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = np.mean(
            [np.exp(-squares(one, other) / (2 * s**2 * median)) for s in (0.5, 1, 2, 4)], axis=0
        )
        return found

    xx, yy = kernel(window, window), kernel(reference, reference)
    within = (xx.sum() - np.trace(xx)) / (m * (m - 1)) + (yy.sum() - np.trace(yy)) / (n * (n - 1))
    return float(within - 2 * kernel(window, reference).mean())


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 7), st.integers(0, 1000))
def test_the_sliding_estimate_is_the_published_formula(make_stream: Make, window: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    honest, rows = rng.normal(size=(50, 3)), rng.normal(size=(12, 3)) + 0.5
    detector = MmdDetector(window)
    detector.fit([make_stream(embeddings=honest)], None)
    statistic = detector.score_stream(make_stream(embeddings=rows))
    assert np.isneginf(statistic[: window - 1]).all()
    unit, reference = scale_rows(rows.astype(np.float32)), scale_rows(honest.astype(np.float32))
    for end in (window, 12):
        slow = estimate_slowly(unit[end - window : end].astype(float), reference.astype(float))
        assert statistic[end - 1] == pytest.approx(slow, abs=2e-5)


def test_a_long_account_is_measured_as_a_short_one(make_stream: Make) -> None:
    rng = np.random.default_rng(0)
    detector = MmdDetector(100)
    detector.fit([make_stream(embeddings=rng.normal(size=(200, 4)))], None)
    rows = rng.normal(size=(700, 4))  # several blocks
    whole = detector.score_stream(make_stream(embeddings=rows))
    for end in (100, 256, 300, 513, 700):
        alone = detector.score_stream(make_stream(embeddings=rows[end - 100 : end]))
        assert whole[end - 1] == pytest.approx(alone[-1], abs=1e-5)


def test_mmd_is_about_zero_for_the_same_source_and_large_for_another(make_stream: Make) -> None:
    rng = np.random.default_rng(0)
    detector = MmdDetector(100)
    detector.fit([make_stream(embeddings=rng.normal(size=(1_500, 16)))], None)
    same = [detector.score_stream(make_stream(embeddings=rng.normal(size=(100, 16))))[-1] for _ in range(40)]
    other = detector.score_stream(make_stream(embeddings=rng.normal(size=(100, 16)) + 1))[-1]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(40)  # unbiased: below zero as often as above
    assert min(same) < 0 < max(same)
    assert other > 20 * max(same)


def test_more_of_an_attacker_in_the_window_gives_more(make_stream: Make) -> None:
    rng = np.random.default_rng(0)
    detector = MmdDetector(100)
    detector.fit([make_stream(embeddings=rng.normal(size=(500, 16)))], None)
    honest, harvest = rng.normal(size=(100, 16)), rng.normal(size=(100, 16)) + 1
    found = [
        detector.score_stream(make_stream(embeddings=np.concatenate([harvest[:n], honest[n:]])))[-1]
        for n in (5, 25, 50, 100)
    ]
    assert found == sorted(found)


def test_a_reference_of_one_repeated_text_has_a_finite_kernel() -> None:
    reference = build_reference(scale_rows(np.ones((5, 3), np.float32)))
    assert reference.within == pytest.approx(1.0, abs=0.01)
