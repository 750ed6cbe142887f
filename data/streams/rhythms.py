"""When in its life an account is busy: stretches of time, each with a weight. Three rhythms, one contract.

`Production` follows the traces; `Sessions` is a plausible human (an assumption: no public trace has people);
`Steady` is a paced machine. Weights are relative: the schedule spreads its count of requests over them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from stillwatch.data.streams.arrivals import WINDOW_S, Arrivals, Client

DAY_S = 86_400.0
HOUR_S = 3_600.0
_MONDAY = 3  # the weekday, from Monday 0, on which Unix time began is Thursday

Segment = tuple[float, float, float]
"""Begin and length in seconds, and the relative weight of what is sent in it."""


class Rhythm(Protocol):
    """What a schedule asks of a rhythm."""

    @property
    def cv(self) -> float:
        """Coefficient of variation of inter-arrival times while busy."""

    def iter_segments(self, chance: Random, begin_s: float, end_s: float, num_requests: int) -> Iterator[Segment]:
        """The busy stretches of a life, in order, none overlapping; there may be none."""


@dataclass(frozen=True, slots=True)
class Steady:
    """The same rate day and night."""

    cv: float

    def iter_segments(self, chance: Random, begin_s: float, end_s: float, num_requests: int) -> Iterator[Segment]:
        """One stretch a day, all of equal rate."""
        start = begin_s
        while start < end_s:
            length = min(DAY_S, end_s - start)
            yield start, length, length
            start += DAY_S


@dataclass(frozen=True, slots=True)
class Production:
    """An app: active runs and pauses, a daily shape, and a level that wanders."""

    client: Client
    arrivals: Arrivals
    offset_s: float

    @property
    def cv(self) -> float:
        """The client's, at most 10: beyond it a gamma draw is nothing but ties."""
        return min(self.client.cv, 10.0)

    def iter_segments(self, chance: Random, begin_s: float, end_s: float, num_requests: int) -> Iterator[Segment]:
        """Stretches of at most an hour within the active runs."""
        client = self.client
        runs, share = max(client.active_run_windows, 1.0), min(client.active_share, 1.0)
        pause = runs * (1 - share) / share
        wander = chance.gauss(0.0, 1.0)
        is_active = chance.random() < share
        start = begin_s
        while start < end_s:
            mean = runs if is_active else pause
            stop = start + WINDOW_S * max(chance.expovariate(1.0) * mean, 0.1) if mean > 0 else start
            while is_active and start < min(stop, end_s):
                local = start + self.offset_s
                end = min((math.floor(local / HOUR_S) + 1) * HOUR_S - self.offset_s, stop, end_s)
                level = math.exp(client.level_sd * wander)
                yield start, end - start, (end - start) * self.arrivals.hours[int(local // HOUR_S) % 24] * level
                kept = client.level_lag1 ** ((end - start) / WINDOW_S)
                wander = kept * wander + math.sqrt(1 - kept * kept) * chance.gauss(0.0, 1.0)
                start = end
            start, is_active = stop, not is_active


@dataclass(frozen=True, slots=True)
class Sessions:
    """Sittings of some requests each, on some days and at some hours. An assumption, not a measurement.

    Attributes:
        size: mean requests of a sitting.
        gap_s: mean seconds between them; None draws one for each sitting from the traces' session gaps.
        hours: first and last hour of the local day.
        weekdays: relative weight of the seven days from Monday.
        cv: coefficient of variation of the gaps.
        offset_s: local time less UTC.
    """

    size: float
    gap_s: float | None
    hours: tuple[float, float]
    weekdays: Sequence[float]
    cv: float
    arrivals: Arrivals
    offset_s: float

    def iter_segments(self, chance: Random, begin_s: float, end_s: float, num_requests: int) -> Iterator[Segment]:
        """The sittings in order; a day may have none."""
        first, last = self.hours
        day = math.floor((begin_s + self.offset_s) / DAY_S)
        num_days = max(1, math.ceil((end_s + self.offset_s) / DAY_S) - day)
        weight = sum(self.weekdays[(day + number + _MONDAY) % 7] for number in range(min(num_days, 7)))
        mean = num_requests / self.size / num_days * min(num_days, 7) / max(weight, 1e-9)
        free_s = begin_s
        for number in range(num_days):
            sittings = _draw_poisson(chance, mean * self.weekdays[(day + number + _MONDAY) % 7])
            opening = (day + number) * DAY_S + first * HOUR_S - self.offset_s
            starts = sorted(opening + chance.random() * (last - first) * HOUR_S for _ in range(sittings))
            for start in starts:
                size = 1 + int(chance.expovariate(1.0) * max(self.size - 1, 0.0) + 0.5)
                gap_s = self.gap_s or self.arrivals.read("session_gap_s", chance.random())
                start = max(start, free_s)
                length = min(size * gap_s, end_s - start)
                if length > 0:
                    yield start, length, float(size)
                    free_s = start + length


def _draw_poisson(chance: Random, mean: float) -> int:
    if mean > 30:
        return max(0, round(chance.gauss(mean, math.sqrt(mean))))
    level, number = chance.random(), 0
    limit = math.exp(-mean)
    while level > limit:
        level *= chance.random()
        number += 1
    return number
