"""A threshold with a promise: at most a stated share of honest accounts is ever flagged within a horizon.

Split-conformal prediction (Vovk, Gammerman and Shafer 2005; Angelopoulos and Bates 2021) on whole accounts: an
account is one number, the running maximum of its statistic over its first `horizon` requests, so that nothing need
be assumed about how its requests hang together. An account is flagged when its statistic reaches the threshold.

What is promised: if the accounts calibrated on and a fresh honest account are exchangeable, the fresh one is ever
flagged with probability at most `alpha`. That is an average over calibrations (marginal); the rate that one
calibration realises varies by a known law (Vovk 2012), told as an interval. With `confidence` the rate itself is
kept at `alpha` in that share of calibrations. What is not promised: anything after the horizon, for a single
persona, or for honest traffic unlike the calibration's (`comparing.py` compares samples).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from stillwatch.data.errors import InputError
from stillwatch.train.intervals import Interval
from stillwatch.train.streams.arrays import Floats

_LEVEL = 0.95
_ROUNDING = 1e-9  # 0.001 * 1000 must count as one account


@dataclass(frozen=True, slots=True)
class ConformalThreshold:
    """A threshold, and what it promises.

    Attributes:
        alpha: share of honest accounts that may ever be flagged.
        horizon: requests of an account for which that holds.
        num_accounts: honest accounts calibrated on.
        num_allowed: how many of them the threshold may flag; it flags fewer only where maxima are equal.
        threshold: an account is flagged when its statistic is at or above it. One step of float64 above the
            maximum of the last account let pass: keep all its digits.
        confidence: share of calibrations in which the realised rate is at most alpha; None where only the mean is.
    """

    alpha: float
    horizon: int
    num_accounts: int
    num_allowed: int
    threshold: float
    confidence: float | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that no calibration gives.

        Raises:
            InputError: naming the field.
        """
        if not 0 < self.alpha < 1:
            raise InputError("alpha", "a rate outside 0 to 1", "give a share such as 0.001")
        if self.horizon < 1:
            raise InputError("horizon", "no request", "give 1 or more requests")
        if self.confidence is not None and not 0 < self.confidence < 1:
            raise InputError("confidence", "a share outside 0 to 1", "give a share such as 0.95, or null")
        if not 0 <= self.num_allowed < self.num_accounts:
            raise InputError("num_allowed", "not a number of the accounts", "calibrate again")
        if math.isnan(self.threshold):
            raise InputError("threshold", "not a number", "calibrate again")

    @property
    def realised(self) -> Interval:
        """The share of honest accounts ever flagged that calibrations of this size realise: their mean and the
        middle 95% of them, Beta(num_allowed + 1, num_accounts - num_allowed) when no two maxima are equal (Vovk 2012).
        """
        law = beta(self.num_allowed + 1, self.num_accounts - self.num_allowed)
        low, high = law.interval(_LEVEL)
        return Interval(float(low), float(law.mean()), float(high))

    def flags(self, maxima: Floats) -> NDArray[np.bool_]:
        """Which accounts are ever flagged.

        Args:
            maxima: running maximum of each account over the horizon, shape `(num_accounts,)`.
        """
        return np.asarray(maxima) >= self.threshold

    def describe(self) -> str:
        """The promise in words, with its numbers."""
        realised = self.realised
        sure = "" if self.confidence is None else f", with {self.confidence:.0%} confidence in this very threshold"
        return (
            f"at most {self.alpha:.3%} of honest accounts are ever flagged within {self.horizon:,} requests{sure}; "
            f"calibrated on {self.num_accounts:,} honest accounts, of which it flags at most {self.num_allowed}; "
            f"expected {realised.value:.3%}, and 95% of such calibrations realise "
            f"{realised.low:.3%} to {realised.high:.3%}"
        )


def take_maxima(statistics: Iterable[Floats], horizon: int) -> Floats:
    """The running maximum of each account at the horizon; a shorter account counts with the maximum that it has.

    Args:
        statistics: for each account the statistic after each request, shape `(requests,)`; nan and -inf mean that
            it is not yet told.
        horizon: requests that count.

    Returns:
        Shape `(num_accounts,)`, -inf for an account of which nothing was told.
    """
    return np.array([np.max(each[:horizon], initial=-np.inf, where=~np.isnan(each[:horizon])) for each in statistics])


def count_needed(alpha: float, confidence: float | None = None) -> int:
    """The fewest honest accounts that support a rate.

    Args:
        alpha: share of honest accounts that may ever be flagged.
        confidence: as of `calibrate_threshold`.
    """
    if confidence is None:
        return math.ceil(1 / alpha - 1 - _ROUNDING)
    return math.ceil(math.log1p(-confidence) / math.log1p(-alpha) - _ROUNDING)


def calibrate_threshold(
    maxima: Floats, alpha: float, horizon: int, confidence: float | None = None
) -> ConformalThreshold:
    """Put the threshold just above the `ceil((n + 1) * (1 - alpha))`-th smallest maximum of n honest accounts.

    Args:
        maxima: of honest accounts that no detector was fitted on, shape `(num_accounts,)`, from `take_maxima`.
        alpha: share of honest accounts that may ever be flagged.
        horizon: requests that the maxima were taken over.
        confidence: when given, the threshold is raised until the realised rate itself is at most alpha in this share
            of calibrations (tolerance region; Vovk 2012, proposition 2).

    Raises:
        InputError: a rate outside 0 to 1, a maximum that is nan or infinite above, or too few accounts: the message
            says how many are needed.
    """
    maxima = np.asarray(maxima, dtype=np.float64)
    for name, rate in (("alpha", alpha), ("confidence", 0.5 if confidence is None else confidence)):
        if not 0 < rate < 1:
            raise InputError(name, "a rate outside 0 to 1", "give a share such as 0.001")
    if np.isnan(maxima).any() or np.isposinf(maxima).any():
        raise InputError("maxima", "nan or infinity", "take them with take_maxima from finite statistics")
    num_accounts, needed = maxima.size, count_needed(alpha, confidence)
    if num_accounts < needed:
        sure = "" if confidence is None else f" with {confidence:.0%} confidence"
        lowest = "no rate at all" if num_accounts == 0 else f"{_find_lowest_rate(num_accounts, confidence):.3%} at best"
        raise InputError(
            "accounts",
            f"{num_accounts:,} honest accounts, which support {lowest}",
            f"give at least {needed:,} for {alpha:.3%}{sure}, or ask for a higher rate",
        )
    num_allowed = _count_allowed(num_accounts, alpha, confidence)
    passed = np.sort(maxima)[num_accounts - 1 - num_allowed]
    return ConformalThreshold(
        alpha, horizon, num_accounts, num_allowed, float(np.nextafter(passed, np.inf)), confidence
    )


def rank_accounts(calibration: Floats, maxima: Floats) -> Floats:
    """Conformal p-values of accounts (Bates et al., Annals of Statistics 2023): `(1 + #{calibration >= m}) / (n + 1)`.

    Args:
        calibration: maxima of n honest accounts.
        maxima: of the accounts asked about, shape `(num_accounts,)`.

    Returns:
        Each at most u with probability at most u for an honest account, shape `(num_accounts,)`.
    """
    ranked = np.sort(np.asarray(calibration, dtype=np.float64))
    p_values: Floats = (1 + ranked.size - np.searchsorted(ranked, maxima, side="left")) / (ranked.size + 1)
    return p_values


def _count_allowed(num_accounts: int, alpha: float, confidence: float | None) -> int:
    # The most calibration accounts that the threshold may flag.
    if confidence is None:
        return math.floor((num_accounts + 1) * alpha + _ROUNDING) - 1
    above = np.arange(math.floor((num_accounts + 1) * alpha) + 1)
    sure = beta.cdf(alpha, above + 1, num_accounts - above) >= confidence - _ROUNDING
    return int(above[sure].max())


def _find_lowest_rate(num_accounts: int, confidence: float | None) -> float:
    if confidence is None:
        return 1 / (num_accounts + 1)
    return -math.expm1(math.log1p(-confidence) / num_accounts)
