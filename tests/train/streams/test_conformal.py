from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from stillwatch.data.errors import InputError, StillwatchError
from stillwatch.train.streams.conformal import (
    ConformalThreshold,
    calibrate_threshold,
    count_needed,
    rank_accounts,
    take_maxima,
)


def test_the_maximum_is_that_of_the_first_requests_up_to_the_horizon() -> None:
    statistics = [np.array([1.0, 5.0, 9.0]), np.array([2.0]), np.array([np.nan, -np.inf, 3.0])]
    assert take_maxima(statistics, 2).tolist() == [5.0, 2.0, -np.inf]
    assert take_maxima(statistics, 3).tolist() == [9.0, 2.0, 3.0]


def test_an_account_of_which_nothing_was_told_is_never_flagged() -> None:
    maxima = take_maxima([np.empty(0), np.full(9, -np.inf), np.full(9, np.nan)], 100)
    promise = calibrate_threshold(np.arange(99.0), 0.01, 100)
    assert not promise.flags(maxima).any()


@settings(deadline=None)
@given(st.integers(1, 400), st.sampled_from([0.001, 0.01, 0.05, 0.1, 0.29, 0.5]), st.integers(0, 99))
def test_the_threshold_stands_just_above_the_rank_of_the_definition(num_accounts: int, alpha: float, seed: int) -> None:
    maxima = np.random.default_rng(seed).normal(size=num_accounts)
    rank = int(np.ceil(round((num_accounts + 1) * (1 - alpha), 9)))
    if rank > num_accounts:
        with pytest.raises(InputError, match=f"give at least {count_needed(alpha):,}"):
            calibrate_threshold(maxima, alpha, 10)
        return
    promise = calibrate_threshold(maxima, alpha, 10)
    passed = np.sort(maxima)[rank - 1]
    assert promise.threshold == np.nextafter(passed, np.inf)
    assert not promise.flags(np.array([passed]))[0]
    assert promise.flags(maxima).sum() == promise.num_allowed == num_accounts - rank


@pytest.mark.parametrize(("alpha", "confidence", "needed"), [(0.001, None, 999), (0.1, None, 9), (0.01, 0.95, 299)])
def test_too_few_accounts_are_refused_with_the_number_needed(
    alpha: float, confidence: float | None, needed: int
) -> None:
    assert count_needed(alpha, confidence) == needed
    maxima = np.random.default_rng(0).normal(size=needed)
    assert calibrate_threshold(maxima, alpha, 10, confidence).num_allowed == 0
    with pytest.raises(StillwatchError, match=rf"accounts: {needed - 1} honest accounts, .* give at least {needed} "):
        calibrate_threshold(maxima[1:], alpha, 10, confidence)
    with pytest.raises(StillwatchError, match="no rate at all"):
        calibrate_threshold(maxima[:0], alpha, 10, confidence)


@pytest.mark.parametrize(("num_accounts", "alpha"), [(99, 0.01), (250, 0.02), (1_000, 0.05)])
def test_a_fresh_account_is_flagged_as_often_as_promised(num_accounts: int, alpha: float) -> None:
    rng = np.random.default_rng(5)
    num_flagged = 0
    for _ in range(4_000):  # one fresh account a calibration: trials are independent
        promise = calibrate_threshold(rng.exponential(size=num_accounts), alpha, 10)
        num_flagged += int(promise.flags(rng.exponential(size=1))[0])
    exact = (promise.num_allowed + 1) / (num_accounts + 1)
    assert exact <= alpha
    assert binomtest(num_flagged, 4_000, exact).pvalue > 0.001


def test_the_realised_rate_lies_in_its_interval_as_often_as_told() -> None:
    rng = np.random.default_rng(6)
    promises = [calibrate_threshold(rng.random(500), 0.02, 10) for _ in range(2_000)]
    rates = np.array([1 - promise.threshold for promise in promises])  # of uniform maxima
    low, high = promises[0].realised.low, promises[0].realised.high
    inside = int(((rates >= low) & (rates <= high)).sum())
    assert binomtest(inside, 2_000, 0.95).pvalue > 0.001
    assert np.mean(rates) == pytest.approx(promises[0].realised.value, rel=0.03)


def test_with_confidence_the_rate_itself_is_kept_in_that_share_of_calibrations() -> None:
    rng = np.random.default_rng(7)
    promises = [calibrate_threshold(rng.random(700), 0.02, 10, confidence=0.9) for _ in range(2_000)]
    kept = np.mean([1 - promise.threshold <= 0.02 for promise in promises])
    assert 0.88 < kept < 0.97  # at least 90%; accounts are whole, so a little more
    assert promises[0].num_allowed < calibrate_threshold(rng.random(700), 0.02, 10).num_allowed


def test_equal_maxima_are_all_let_pass() -> None:
    promise = calibrate_threshold(np.array([0.0] * 50 + [1.0] * 50), 0.1, 10)
    assert not promise.flags(np.array([1.0]))[0]
    assert promise.flags(np.array([1.0 + 1e-12]))[0]


def test_a_detector_that_is_silent_on_honest_accounts_flags_at_its_first_word() -> None:
    promise = calibrate_threshold(np.full(20, -np.inf), 0.1, 10)
    assert promise.flags(np.array([-np.inf, -1e300])).tolist() == [False, True]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_maxima_that_are_no_numbers_are_refused(bad: float) -> None:
    with pytest.raises(InputError, match="maxima"):
        calibrate_threshold(np.append(np.zeros(50), bad), 0.1, 10)


@pytest.mark.parametrize("rate", [0.0, 1.0, -1.0])
def test_a_rate_or_confidence_outside_its_range_is_refused(rate: float) -> None:
    with pytest.raises(InputError, match="alpha"):
        calibrate_threshold(np.zeros(50), rate, 10)
    with pytest.raises(InputError, match="confidence"):
        calibrate_threshold(np.zeros(50), 0.1, 10, confidence=rate)


def test_the_words_of_a_promise_hold_its_numbers() -> None:
    words = ConformalThreshold(0.001, 1_000, 5_000, 4, 2.5).describe()
    for number in ("0.100%", "1,000 requests", "5,000 honest accounts", "0.032% to 0.205%"):
        assert number in words
    assert "confidence" not in words
    assert "95% confidence" in ConformalThreshold(0.001, 1_000, 5_000, 1, 2.5, 0.95).describe()


def test_p_values_of_honest_accounts_are_no_smaller_than_uniform_ones() -> None:
    rng = np.random.default_rng(12)
    p_values = np.concatenate(
        [rank_accounts(rng.integers(0, 30, 60) / 1, rng.integers(0, 30, 5) / 1) for _ in range(600)]
    )
    for level in (0.02, 0.1, 0.5):
        assert np.mean(p_values <= level) <= level + 3 * np.sqrt(level / p_values.size)
    assert rank_accounts(np.array([1.0, 2.0, 3.0]), np.array([0.0, 2.0, 9.0])).tolist() == [1.0, 0.75, 0.25]


def test_flagging_by_p_value_is_flagging_by_threshold() -> None:
    rng = np.random.default_rng(13)
    calibration, fresh = rng.normal(size=200), rng.normal(size=1_000)
    promise = calibrate_threshold(calibration, 0.05, 10)
    np.testing.assert_array_equal(promise.flags(fresh), rank_accounts(calibration, fresh) <= 0.05)


def test_changing_a_promise_checks_it_again() -> None:
    with pytest.raises(InputError, match="alpha"):
        replace(ConformalThreshold(0.01, 10, 100, 0, 1.0), alpha=0.0)
