"""Figures of flags and false alarms, and what leaked of a campaign."""

from __future__ import annotations

import numpy as np
import pytest

from stillwatch.train.streams.measures import LeastEvidence, find_flags, measure_alarms, measure_flags


def test_a_flag_is_the_first_request_at_or_above_the_threshold() -> None:
    streams = [np.array([0.0, 2.0, 1.0, 3.0]), np.array([0.0, 0.5]), np.array([-np.inf, 2.0])]
    assert find_flags(streams, 2.0).tolist() == [2, 0, 2]


def test_a_flag_waits_for_the_least_evidence() -> None:
    stream = np.array([3.0, 1.0, 0.0, 1.0, 0.0])
    assert find_flags([stream], 3.0).tolist() == [1]
    assert find_flags([stream], 3.0, LeastEvidence(requests=3, suspicious=1, review=1.0)).tolist() == [3]
    assert find_flags([stream], 3.0, LeastEvidence(requests=1, suspicious=3, review=1.0)).tolist() == [4]
    assert find_flags([stream], 3.0, LeastEvidence(requests=1, suspicious=4, review=1.0)).tolist() == [0]


def test_shares_by_request_are_cumulative_and_their_intervals_hold_them() -> None:
    flags = np.array([5, 10, 11, 30, 60, 0, 0, 100])
    rate = measure_flags(flags, ["a", "a", "b", "b", "c", "c", "d", "d"], seed=1, num_replicates=200)
    assert [rate.flagged_by[by].value for by in (10, 25, 50, 100)] == [0.25, 0.375, 0.5, 0.75]
    assert all(each.low <= each.value <= each.high for each in rate.flagged_by.values())
    assert rate.median_requests == 30
    assert (rate.num_accounts, rate.num_campaigns) == (8, 4)


def test_the_median_is_not_told_where_fewer_than_half_are_flagged() -> None:
    assert measure_flags(np.array([3, 0, 0]), ["a", "b", "c"], seed=1, num_replicates=100).median_requests is None


def test_the_interval_is_over_campaigns_not_over_accounts() -> None:
    flags = np.repeat([5, 0], 50)
    many = measure_flags(flags, [str(n) for n in range(100)], seed=1, num_replicates=400).flagged_by[10]
    few = measure_flags(flags, ["a"] * 50 + ["b"] * 50, seed=1, num_replicates=400).flagged_by[10]
    assert few.high - few.low > 2 * (many.high - many.low)


def test_no_alarm_among_thousands_has_the_exact_bound() -> None:
    alarm = measure_alarms(0, 5000)
    assert alarm.rate.value == 0
    assert alarm.rate.high == pytest.approx(1 - 0.025 ** (1 / 5000), rel=1e-6)
    assert measure_alarms(0, 0).rate.high == 1.0
