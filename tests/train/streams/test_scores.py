"""The plain detectors: mean and maximum of the request score, and rates."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from stillwatch.train.streams.arrays import StreamArrays
from stillwatch.train.streams.baselines.rate import HOUR_S, RateDetector
from stillwatch.train.streams.baselines.scores import MaxScoreDetector, MeanScoreDetector

Make = Callable[..., StreamArrays]


def test_the_maximum_is_that_so_far(make_stream: Make) -> None:
    assert MaxScoreDetector().score_stream(make_stream(logits=[1, 3, 2, 5, -9])).tolist() == [1, 3, 3, 5, 5]


def test_the_mean_is_drawn_to_that_of_honest_accounts_while_requests_are_few(make_stream: Make) -> None:
    detector = MeanScoreDetector(num_prior=10)
    # two accounts count alike, whatever they send
    detector.fit([make_stream(logits=[-1.0] * 99), make_stream(logits=[-3.0])], None)
    statistic = detector.score_stream(make_stream(logits=[9.0] * 1_000))
    assert statistic[0] == pytest.approx((9 - 20) / 11)
    assert statistic[-1] == pytest.approx(9, abs=0.2)


def test_the_rate_counts_the_last_hour(make_stream: Make) -> None:
    times_s = [0, 10, 20, HOUR_S - 1, HOUR_S, HOUR_S + 10.5, 9 * HOUR_S]
    # a request exactly an hour old has left
    assert RateDetector().score_stream(make_stream(times_s=times_s)).tolist() == [1, 2, 3, 4, 4, 4, 1]


def test_the_rate_against_the_own_past_tells_a_burst_from_a_busy_account(make_stream: Make) -> None:
    detector = RateDetector(against_own_past=True)
    busy = detector.score_stream(make_stream(times_s=np.arange(2_000) * 10.0))
    slow = np.arange(20) * HOUR_S
    burst = detector.score_stream(make_stream(times_s=np.append(slow, slow[-1] + np.arange(1, 200))))
    assert np.isneginf(busy[:360]).all()
    assert abs(busy[-1]) < 0.1
    assert burst[-1] > 4


def test_the_rate_of_a_single_request_is_one(make_stream: Make) -> None:
    assert RateDetector().score_stream(make_stream(times_s=[7.0])).tolist() == [1]
    assert np.isneginf(RateDetector(against_own_past=True).score_stream(make_stream(times_s=[7.0]))).all()
