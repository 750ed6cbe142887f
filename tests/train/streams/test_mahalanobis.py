from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from stillwatch.train.streams.arrays import StreamArrays
from stillwatch.train.streams.baselines.distances import scale_rows
from stillwatch.train.streams.baselines.mahalanobis import MahalanobisDetector

Make = Callable[..., StreamArrays]


def test_the_distance_is_that_of_the_windows_mean(make_stream: Make) -> None:
    rng = np.random.default_rng(0)
    honest, rows = rng.normal(size=(5_000, 3)) + 1, rng.normal(size=(20, 3))
    detector = MahalanobisDetector(5)
    detector.fit([make_stream(embeddings=honest)], None)
    known = scale_rows(honest.astype(np.float32))
    apart = scale_rows(rows.astype(np.float32))[7:12].mean(axis=0) - known.mean(axis=0)
    expected = 5 * apart @ np.linalg.inv(np.cov(known.T)) @ apart
    # 5,000 requests shrink the covariance little
    assert detector.score_stream(make_stream(embeddings=rows))[11] == pytest.approx(expected, rel=0.02)


def test_honest_requests_are_as_far_as_the_width_says(make_stream: Make) -> None:
    rng = np.random.default_rng(1)
    detector = MahalanobisDetector(10)
    detector.fit([make_stream(embeddings=rng.normal(size=(8_000, 6)))], None)
    statistic = detector.score_stream(make_stream(embeddings=rng.normal(size=(8_000, 6))))
    assert np.mean(statistic[9::10]) == pytest.approx(6, rel=0.05)


def test_a_shifted_account_is_far(make_stream: Make) -> None:
    rng = np.random.default_rng(2)
    detector = MahalanobisDetector(50)
    detector.fit([make_stream(embeddings=rng.normal(size=(2_000, 6)))], None)
    near = detector.score_stream(make_stream(embeddings=rng.normal(size=(500, 6))))[49:].max()
    far = detector.score_stream(make_stream(embeddings=rng.normal(size=(50, 6)) + 1))[-1]
    assert far > 5 * near


def test_a_column_that_never_varies_does_no_harm(make_stream: Make) -> None:
    rng = np.random.default_rng(3)
    rows = np.concatenate([rng.normal(size=(200, 3)), np.zeros((200, 1))], axis=1)
    detector = MahalanobisDetector(10)
    detector.fit([make_stream(embeddings=rows)], None)
    assert np.isfinite(detector.score_stream(make_stream(embeddings=rows))[9:]).all()
