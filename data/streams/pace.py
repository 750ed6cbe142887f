"""Arrival habits as persona and operator files declare them, and what one account makes of a habit.

`arrival: {process: production | sessions | steady, ...}` and `requests:` say how often; `settle` draws what one
account will do: its rhythm and its count. Counts follow the length of the horizon.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from stillwatch.data.streams.arrivals import Arrivals, load_arrivals
from stillwatch.data.streams.entries import Entry
from stillwatch.data.streams.rhythms import DAY_S, HOUR_S, Production, Rhythm, Sessions, Steady

_WEEK_DAYS = 7.0


class Process(StrEnum):
    """How an account's requests arrive."""

    PRODUCTION = "production"
    SESSIONS = "sessions"
    STEADY = "steady"


@dataclass(frozen=True, slots=True)
class ArrivalConfig:
    """A habit of sending.

    Attributes:
        process: which rhythm.
        size: mean requests of a sitting (sessions).
        gap_s: mean seconds between requests of a sitting; None means the traces' session gaps (sessions).
        hours: first and last hour of the local day (sessions).
        weekdays: relative weight of the seven days from Monday (sessions).
        cv: coefficient of variation of the gaps (sessions, steady).
    """

    process: Process
    size: float
    gap_s: float | None
    hours: tuple[float, float]
    weekdays: tuple[float, ...]
    cv: float

    def settle(self, chance: Random) -> tuple[Rhythm, float]:
        """Draw one account's rhythm, and the requests a second that the traces give it over its whole life."""
        arrivals = load_arrivals()
        client = arrivals.draw_client(chance)
        offset_s = chance.randint(-8, 9) * HOUR_S  # where on earth it lives
        rate_rps = client.rate_rps * min(client.active_share, 1.0)
        if self.process is Process.PRODUCTION:
            return Production(client, arrivals, offset_s), rate_rps
        return self._settle_alone(arrivals, offset_s), rate_rps

    def _settle_alone(self, arrivals: Arrivals, offset_s: float) -> Rhythm:
        if self.process is Process.STEADY:
            return Steady(self.cv)
        return Sessions(self.size, self.gap_s, self.hours, self.weekdays, self.cv, arrivals, offset_s)


@dataclass(frozen=True, slots=True)
class CountConfig:
    """How many requests an account sends.

    Attributes:
        a_week: median of a week; None takes the rate of the traces' clients.
        of_traces: thinning of the traces' rate, where `a_week` is None.
        spread: standard deviation of the logarithm, around `a_week`.
        most: never more than these, whatever was drawn.
    """

    a_week: float | None
    of_traces: float
    spread: float
    most: int

    def draw(self, chance: Random, rate_rps: float, days: float) -> int:
        """Draw the count of one account over a horizon; at least 1."""
        if self.a_week is None:
            wanted = rate_rps * days * DAY_S * self.of_traces
        else:
            wanted = self.a_week * days / _WEEK_DAYS * math.exp(self.spread * chance.gauss(0.0, 1.0))
        return max(1, min(self.most, round(wanted)))


def read_arrival(entry: Entry) -> ArrivalConfig:
    """Read the field `arrival`.

    Raises:
        ConfigError: it is missing or not usable.
    """
    if not entry.has("arrival"):
        raise entry.refuse("arrival", f"give a mapping with process: {', '.join(Process)}")
    nested = entry.nested("arrival")
    name = nested.text("process")
    if name not in tuple(Process):
        raise nested.refuse("process", f"use {', '.join(Process)}")
    process, sits = Process(name), name == Process.SESSIONS
    hours = nested.numbers("hours", 2, (0.0, 24.0)) if sits else (0.0, 24.0)
    if hours[0] >= hours[1] or hours[1] > 24:
        raise nested.refuse("hours", "give first and last hour, such as [8, 23]")
    weekdays = nested.numbers("weekdays", 7, (1.0,) * 7) if sits else ()
    if sits and not any(weekdays):
        raise nested.refuse("weekdays", "let one day at least be above 0")
    config = ArrivalConfig(
        process,
        size=nested.number("size", 1, 1e6) if sits else 1.0,
        gap_s=nested.number("gap_s", 0.01, 1e5) if sits and nested.has("gap_s") else None,
        hours=(hours[0], hours[1]),
        weekdays=weekdays,
        cv=nested.number("cv", 0.05, 10, 1.0) if process is not Process.PRODUCTION else 1.0,
    )
    nested.finish()
    return config


def read_count(entry: Entry) -> CountConfig:
    """Read the field `requests`: `{a_week, spread, most}` or `{of_traces, most}`.

    Raises:
        ConfigError: it is missing or not usable.
    """
    nested = entry.nested("requests")
    by_week = nested.has("a_week")
    config = CountConfig(
        a_week=nested.number("a_week", 0.01, 1e9) if by_week else None,
        of_traces=0.0 if by_week else nested.number("of_traces", 1e-9, 1),
        spread=nested.number("spread", 0, 3, 0.8) if by_week else 0.0,
        most=nested.count("most", 1, 10**9),
    )
    nested.finish()
    return config
