"""What came back in one run of the load generator: times and statuses in columns, and the figures made of them.

Latency counts from when a call was due, so a generator that falls behind makes figures worse, never better.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from traffic import KINDS

LOST, REFUSED_CONNECTION, CUT = 0, -1, -2
"""Statuses of calls without a whole reply: the connection ended, was never made, or ended within the reply."""

_LATE_START_S = 0.02


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles in milliseconds; 0 of nothing."""

    p50_ms: float
    p95_ms: float
    p99_ms: float

    @classmethod
    def measure(cls, seconds: NDArray[np.float64]) -> Latency:
        """Of so many seconds each."""
        return cls(*(float(1000 * np.percentile(seconds, rank)) if len(seconds) else 0.0 for rank in (50, 95, 99)))


@dataclass(frozen=True, slots=True)
class Summary:
    """One run, or a part of it.

    Attributes:
        num_sent: calls.
        statuses: how many ended with each status; see `LOST` and its like.
        scored_per_s: replies with a verdict a second.
        scored: latency of those.
        refused: latency of 429 and 503, from when they were due.
        refused_at_once: of 429 alone.
        late_starts: share of calls that the generator sent more than 20 ms after they were due.
        generator_share: of one processor, what the generator took.
    """

    num_sent: int
    statuses: dict[int, int]
    scored_per_s: float
    scored: Latency
    refused: Latency
    refused_at_once: Latency
    late_starts: float
    generator_share: float

    def share(self, *statuses: int) -> float:
        """Of all calls, those that ended with one of the statuses."""
        return sum(self.statuses.get(status, 0) for status in statuses) / max(self.num_sent, 1)

    @property
    def num_unanswered(self) -> int:
        """Calls whose connection ended without a whole reply."""
        return self.statuses.get(LOST, 0) + self.statuses.get(CUT, 0)

    @property
    def error_share(self) -> float:
        """Of all calls, those that ended with anything but a verdict or a refusal by 429 or 503."""
        return 1.0 - self.share(200, 429, 503) if self.num_sent else 0.0


@dataclass(frozen=True, slots=True)
class Replies:
    """Columns of one length, a row a call; seconds are those of `time.monotonic`, one clock for all processes."""

    due_s: NDArray[np.float64]
    sent_s: NDArray[np.float64]
    ended_s: NDArray[np.float64]
    status: NDArray[np.int64]
    kind: NDArray[np.int64]
    began_s: float
    generator_share: float

    @classmethod
    def load(cls, path: Path) -> Replies:
        """Read what the locustfile wrote."""
        kept = json.loads(path.read_text())
        due_s, sent_s, ended_s = (np.array(kept[name], np.float64) for name in ("due_s", "sent_s", "ended_s"))
        status, kind = (np.array(kept[name], np.int64) for name in ("status", "kind"))
        return cls(due_s, sent_s, ended_s, status, kind, kept["began_s"], kept["generator_share"])

    def select(self, rows: NDArray[np.bool_]) -> Replies:
        """Some of the calls."""
        times = self.due_s[rows], self.sent_s[rows], self.ended_s[rows]
        return Replies(*times, self.status[rows], self.kind[rows], self.began_s, self.generator_share)

    def skip(self, warm_s: float) -> Replies:
        """Without the calls that were due in the first seconds."""
        return self.select(self.due_s >= self.began_s + warm_s)

    def list_kinds(self) -> dict[str, Replies]:
        """The calls of each kind that there is."""
        return {name: self.select(self.kind == n) for n, name in enumerate(KINDS) if (self.kind == n).any()}

    def summarise(self) -> Summary:
        """The figures. A second counts from the first call due to the last that was due."""
        spent_s = self.ended_s - self.due_s
        is_scored, is_refused = self.status == 200, np.isin(self.status, (429, 503))
        values, counts = np.unique(self.status, return_counts=True)
        long_s = float(self.due_s.max() - self.due_s.min()) if len(self.due_s) > 1 else 1.0
        return Summary(
            num_sent=len(self.status),
            statuses={int(value): int(count) for value, count in zip(values, counts, strict=True)},
            scored_per_s=float(is_scored.sum()) / long_s,
            scored=Latency.measure(spent_s[is_scored]),
            refused=Latency.measure(spent_s[is_refused]),
            refused_at_once=Latency.measure(spent_s[self.status == 429]),
            late_starts=float((self.sent_s - self.due_s > _LATE_START_S).mean()) if len(self.due_s) else 0.0,
            generator_share=self.generator_share,
        )
