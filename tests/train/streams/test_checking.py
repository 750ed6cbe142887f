from __future__ import annotations

import numpy as np
import pytest

from stillwatch.data.errors import InputError
from stillwatch.train.streams.checking import check_promise, compare_accounts
from stillwatch.train.streams.conformal import Promise, calibrate_threshold


def test_a_kept_promise_is_told_from_a_broken_one() -> None:
    rng = np.random.default_rng(8)
    promise = calibrate_threshold(rng.normal(size=2_000), 0.01, 10)
    kept = check_promise(promise, rng.normal(size=5_000))
    broken = check_promise(promise, rng.normal(size=5_000) + 1)
    assert kept.p_value > 0.01
    assert broken.p_value < 1e-6
    assert broken.rate.low > 0.01
    assert kept.rate.low < kept.num_flagged / 5_000 < kept.rate.high


def test_the_interval_on_fresh_accounts_is_that_of_clopper_and_pearson() -> None:
    promise = Promise(0.01, 10, 1_000, 9, 1.0)
    kept = check_promise(promise, np.zeros(5_000))
    assert (kept.num_flagged, kept.rate.low, kept.p_value) == (0, 0.0, 1.0)
    assert kept.rate.high == pytest.approx(1 - 0.025 ** (1 / 5_000))
    with pytest.raises(InputError, match="no fresh account"):
        check_promise(promise, np.empty(0))


def test_the_p_value_of_a_kept_promise_is_seldom_small() -> None:
    rng = np.random.default_rng(9)
    p_values = [
        check_promise(calibrate_threshold(rng.random(300), 0.02, 10), rng.random(400)).p_value for _ in range(200)
    ]
    assert np.mean(np.array(p_values) < 0.05) < 0.1


def test_samples_that_differ_are_warned_of_and_equal_ones_are_not() -> None:
    rng = np.random.default_rng(10)
    assert compare_accounts(rng.normal(size=400), rng.normal(size=600)).warning is None
    shifted = compare_accounts(rng.normal(size=400), rng.normal(size=600) + 0.5)
    assert shifted.p_value < 0.01
    assert shifted.warning is not None
    assert "600" in shifted.warning


def test_a_difference_in_the_highest_maxima_alone_is_seen() -> None:
    rng = np.random.default_rng(11)
    one, other = rng.normal(size=500), rng.normal(size=500)
    other[:60] += 6  # too few for the whole distribution to look different
    assert compare_accounts(one, other).warning is not None


def test_accounts_that_a_detector_says_nothing_of_can_be_compared() -> None:
    silent = np.full(100, -np.inf)
    assert compare_accounts(silent, silent).warning is None
    assert compare_accounts(silent, np.zeros(100)).warning is not None
    with pytest.raises(InputError, match="empty sample"):
        compare_accounts(silent, silent[:0])
