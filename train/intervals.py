"""95% intervals for figures measured on families of records: hierarchical bootstrap and Wilson score.

Records of one family resemble each other, so a family is drawn first and records within it second (Davison
and Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8). With few families intervals are
wide, and should be. They say nothing of families unlike those measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

NUM_REPLICATES = 500
"""Bootstrap replicates when nothing else is asked for."""

_Z = 1.959963984540054  # two-sided 95% of the normal distribution


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95% interval; `low <= value <= high` always holds."""

    low: float
    value: float
    high: float

    def __str__(self) -> str:
        """`0.912 [0.874, 0.940]`."""
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def to_json(self) -> dict[str, float]:
        """The three numbers by name."""
        return {"low": self.low, "value": self.value, "high": self.high}


def wilson(num_hits: float, num_trials: float) -> Interval:
    """The Wilson score interval of a rate (Wilson, JASA 22, 1927); it stays wide at 0 and 1.

    Args:
        num_hits: trials that hit, from 0 to `num_trials`.
        num_trials: independent trials; 0 gives the whole range from 0 to 1 around 0.
    """
    if num_trials == 0:
        return Interval(0.0, 0.0, 1.0)
    rate = num_hits / num_trials
    spread = _Z * sqrt(rate * (1 - rate) / num_trials + _Z**2 / (4 * num_trials**2))
    centre, scale = rate + _Z**2 / (2 * num_trials), 1 + _Z**2 / num_trials
    return Interval(
        min(rate, max(0.0, (centre - spread) / scale)), rate, max(rate, min(1.0, (centre + spread) / scale))
    )


def percentile_interval(value: float, replicates: NDArray[np.float64]) -> Interval:
    """The middle 95% of bootstrap replicates around a measured value, stretched to hold it.

    Args:
        value: the figure on the records themselves.
        replicates: the figure on each resample, shape `(num_replicates,)`; nan where it was not defined.
    """
    defined = replicates[~np.isnan(replicates)]
    if defined.size == 0:
        return Interval(value, value, value)
    low, high = np.percentile(defined, [2.5, 97.5])
    return Interval(min(float(low), value), value, max(float(high), value))


def rate_interval(value: float, replicates: NDArray[np.float64], *, num_families: int, num_records: int) -> Interval:
    """The interval of a share of records, honest where the bootstrap is blind.

    One family cannot be resampled: Wilson over its records, which speaks of that family alone. At exactly 0
    or 1 no resample differs: Wilson over the families, because the next record comes from an unseen one.

    Args:
        value: the share on the records themselves.
        replicates: the share on each resample, shape `(num_replicates,)`.
        num_families: families behind the share.
        num_records: records behind the share.
    """
    if num_families < 2:
        return wilson(value * num_records, num_records)
    if value in (0.0, 1.0):
        return wilson(value * num_families, num_families)
    return percentile_interval(value, replicates)


def number_families(
    labels: NDArray[np.float64] | NDArray[np.int64], families: NDArray[np.str_]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Families as `iter_resamples` takes them; a name under both labels counts twice.

    Args:
        labels: 0 for benign, 1 for extraction, shape `(num_records,)`.
        families: the family of each record, the same shape.

    Returns:
        A number for each record's family, shape `(num_records,)`, and whether it is of extraction, `(num_families,)`.
    """
    _, named = np.unique(families, return_inverse=True)
    keys, units = np.unique(2 * named + labels.astype(np.int64), return_inverse=True)
    return units, keys % 2 == 1


def iter_resamples(
    families: NDArray[np.int64], strata: NDArray[np.bool_], *, seed: int, num_replicates: int
) -> Iterator[NDArray[np.float64]]:
    """Counts of each record in hierarchical resamples: families with replacement, then records of each.

    Args:
        families: family number of each record, from 0 up without gaps, shape `(num_records,)`.
        strata: side of each family, shape `(num_families,)`; each side keeps its number of families.
        seed: seed of the draws; the same seed gives the same resamples.
        num_replicates: resamples to draw.

    Yields:
        Counts of shape `(num_records,)`, as floats.
    """
    rng = np.random.default_rng(seed)
    by_family = np.argsort(families, kind="stable")
    sizes = np.bincount(families)
    starts = np.cumsum(sizes) - sizes
    sides = [side for side in (np.flatnonzero(strata), np.flatnonzero(~strata)) if side.size]
    for _ in range(num_replicates):
        drawn = np.concatenate([rng.choice(side, size=side.size) for side in sides])
        repeats = sizes[drawn]
        within = rng.random(int(repeats.sum())) * np.repeat(repeats, repeats)
        rows = by_family[np.repeat(starts[drawn], repeats) + within.astype(np.int64)]
        yield np.bincount(rows, minlength=len(families)).astype(np.float64)
