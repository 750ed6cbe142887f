from __future__ import annotations

import numpy as np
import pytest

from stillwatch.data.errors import InputError
from stillwatch.train.streams.comparing import compare_accounts


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
