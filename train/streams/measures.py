"""Figures of detectors of streams at a promised account false-alarm rate, each with its interval.

Intervals of flagged shares resample campaigns, then accounts of each (playbooks, not accounts, are what differs);
those of false alarms are Clopper and Pearson's (1934), since honest accounts are drawn independently.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from stillwatch.train.intervals import Interval, iter_resamples, rate_interval
from stillwatch.train.streams.arrays import Floats

BY = (10, 25, 50, 100)
"""Requests by which an account is flagged or not."""


@dataclass(frozen=True, slots=True)
class FlagRate:
    """Accounts of a case under one detector.

    Attributes:
        flagged_by: share flagged by their 10th, 25th, 50th and 100th request, those with fewer requests counted with
            what they have.
        median_requests: requests of the median account up to its flag; None when fewer than half are ever flagged.
        num_accounts: how many.
        num_campaigns: of how many campaigns.
    """

    flagged_by: Mapping[int, Interval]
    median_requests: int | None
    num_accounts: int
    num_campaigns: int

    def to_json(self) -> dict[str, object]:
        """Plain JSON types; keys of `flagged_by` are texts."""
        return {
            "flagged_by": {str(by): each.to_json() for by, each in self.flagged_by.items()},
            "median_requests": self.median_requests,
            "num_accounts": self.num_accounts,
            "num_campaigns": self.num_campaigns,
        }


@dataclass(frozen=True, slots=True)
class AlarmRate:
    """Honest accounts under one detector: the share ever flagged within the horizon."""

    rate: Interval
    num_flagged: int
    num_accounts: int

    def to_json(self) -> dict[str, object]:
        """Plain JSON types: the interval's three numbers beside the counts."""
        return {**self.rate.to_json(), "num_flagged": self.num_flagged, "num_accounts": self.num_accounts}


@dataclass(frozen=True, slots=True)
class LeastEvidence:
    """What must be seen beside a statistic at its threshold, as `StreamCalibration` asks for it.

    Attributes:
        requests: of the account.
        suspicious: those whose statistic was at or above `review`; requests that were sent twice count twice here.
        review: the threshold of suspicion.
    """

    requests: int
    suspicious: int
    review: float


def find_flags(statistics: Sequence[Floats], threshold: float, least: LeastEvidence | None = None) -> NDArray[np.int64]:
    """The number of the request at which each account is flagged, from 1; 0 for one that never is.

    Args:
        statistics: of each account after each request.
        threshold: an account is flagged from a statistic at or above it on.
        least: what must be seen besides.
    """
    flags = np.zeros(len(statistics), np.int64)
    for number, each in enumerate(statistics):
        reached = np.maximum.accumulate(each) >= threshold
        if least is not None:
            reached &= np.arange(1, len(each) + 1) >= least.requests
            reached &= np.cumsum(each >= least.review) >= least.suspicious
        places = np.flatnonzero(reached)
        flags[number] = places[0] + 1 if places.size else 0
    return flags


def measure_flags(flags: NDArray[np.int64], campaigns: Sequence[str], *, seed: int, num_replicates: int) -> FlagRate:
    """How many accounts of operators are flagged, and how soon.

    Args:
        flags: from `find_flags`, shape (accounts,).
        campaigns: the campaign of each account.
        seed: of the resamples.
        num_replicates: how many.
    """
    _, groups = np.unique(np.array(campaigns), return_inverse=True)
    num_campaigns = int(groups.max()) + 1
    counts = np.stack(
        list(
            iter_resamples(
                groups.astype(np.int64), np.ones(num_campaigns, bool), seed=seed, num_replicates=num_replicates
            )
        )
    )
    flagged_by = {}
    for by in BY:
        hit = ((flags > 0) & (flags <= by)).astype(np.float64)
        replicates = counts @ hit / counts.sum(1)
        flagged_by[by] = rate_interval(
            float(hit.mean()), replicates, num_families=num_campaigns, num_records=len(flags)
        )
    ordered = np.sort(np.where(flags > 0, flags, np.iinfo(np.int64).max))
    middle = int(ordered[(len(ordered) - 1) // 2])
    return FlagRate(flagged_by, middle if middle < np.iinfo(np.int64).max else None, len(flags), num_campaigns)


def measure_alarms(num_flagged: int, num_accounts: int) -> AlarmRate:
    """The share of honest accounts ever flagged, with the exact interval."""
    if num_accounts == 0:
        return AlarmRate(Interval(0.0, 0.0, 1.0), 0, 0)
    exact = binomtest(num_flagged, num_accounts).proportion_ci(0.95, method="exact")
    rate = num_flagged / num_accounts
    return AlarmRate(Interval(float(exact.low), rate, float(exact.high)), num_flagged, num_accounts)
