from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from stillwatch.train.streams.arrays import StreamArrays
from stillwatch.train.streams.baselines.seat import SeatDetector

Make = Callable[..., StreamArrays]


@pytest.fixture(scope="module")
def honest(make_stream: Make) -> list[StreamArrays]:
    rng = np.random.default_rng(0)
    return [make_stream(embeddings=rng.normal(size=(100, 16))) for _ in range(10)]


def test_a_request_that_resembles_an_earlier_one_counts_once(make_stream: Make, honest: list[StreamArrays]) -> None:
    detector = SeatDetector()
    detector.fit(honest, None)
    far = np.eye(16)[[0, 1, 2, 3]]
    account = make_stream(embeddings=np.concatenate([far, far[:1], far[:1] * 2, far[1:2] + 0.01]))
    assert detector.score_stream(account).tolist() == [0, 0, 0, 0, 1, 2, 3]


def test_a_resemblance_is_found_however_far_back(make_stream: Make, honest: list[StreamArrays]) -> None:
    detector = SeatDetector(similar_share=1e-9)
    detector.fit(honest, None)
    rows = np.random.default_rng(1).normal(size=(600, 16))
    rows[599] = rows[3]
    assert np.diff(detector.score_stream(make_stream(embeddings=rows)))[-1] == 1


def test_different_honest_accounts_resemble_each_other_as_seldom_as_asked(
    make_stream: Make, honest: list[StreamArrays]
) -> None:
    detector = SeatDetector(similar_share=0.01)
    detector.fit(honest, None)
    rows = np.random.default_rng(2).normal(size=(2, 20_000, 16))
    pairs = [detector.score_stream(make_stream(embeddings=rows[:, n]))[-1] for n in range(3_000)]
    assert np.mean(pairs) == pytest.approx(0.01, abs=0.006)


def test_the_share_of_a_window_falls_when_the_harvest_ends(make_stream: Make, honest: list[StreamArrays]) -> None:
    detector = SeatDetector(10, similar_share=1e-9)
    detector.fit(honest, None)
    rows = np.concatenate([np.repeat(np.eye(16)[:1], 20, axis=0), np.random.default_rng(3).normal(size=(20, 16))])
    statistic = detector.score_stream(make_stream(embeddings=rows))
    assert np.isneginf(statistic[:9]).all()
    assert statistic[[9, 19, 24, 39]] == pytest.approx([0.9, 1.0, 0.5, 0.0])


def test_a_single_honest_account_is_paired_with_itself(make_stream: Make, honest: list[StreamArrays]) -> None:
    detector = SeatDetector()
    detector.fit(honest[:1], None)
    assert detector.score_stream(honest[1])[-1] < 20
