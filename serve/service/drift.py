"""Whether what comes has changed: scores and techniques of late against those of the longer past, as a number each.

The number is the population stability index, sum((p - q) * ln(p / q)) over bins: below 0.1 is calm, above 0.25 is a
change worth a look (Siddiqi, Credit Risk Scorecards, 2006). Late is an exponentially weighted mean over some thousand
requests, the past one over twenty thousand: a sliding reference, since bundles carry none. So a jump shows, and fades
as it becomes the past; a creep slower than the past's memory does not. It begins afresh with another bundle.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from stillwatch.model.verdict import Verdict

LATE_REQUESTS, PAST_REQUESTS = 1_000, 20_000
LEAST_REQUESTS = 2 * LATE_REQUESTS
"""Requests before which nothing is said: both means would be of the same ones."""

_PROBABILITY_EDGES = (0.01, 0.03, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.97, 0.99)
_LEAST_SHARE = 0.005  # of a bin; an empty one would make the index infinite, a rare one noisy

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Drift:
    """Population stability indices, not-a-number before `LEAST_REQUESTS`.

    Attributes:
        score: of the probability.
        techniques: of the mix of techniques.
        num_requests: requests seen since the bundle was loaded.
    """

    score: float
    techniques: float
    num_requests: int


@dataclass(slots=True)
class _Shares:
    """Shares of bins, late and past."""

    late: FloatArray
    past: FloatArray

    def add(self, shares: FloatArray, number: int) -> None:
        for mean, memory in ((self.late, LATE_REQUESTS), (self.past, PAST_REQUESTS)):
            mean += (shares - mean) / min(number, memory)

    def measure(self) -> float:
        late, past = np.maximum(self.late, _LEAST_SHARE), np.maximum(self.past, _LEAST_SHARE)
        return float(((late - past) * np.log(late / past)).sum())


@dataclass(slots=True)
class DriftMeter:
    """Takes verdicts in; thread-safe, of fixed size."""

    _num_requests: int = 0
    _version: str = ""
    _score: _Shares | None = None
    _techniques: _Shares | None = None
    _lock: Lock = field(default_factory=Lock)

    def add(self, verdict: Verdict) -> None:
        """Take a verdict in."""
        score = np.zeros(len(_PROBABILITY_EDGES) + 1)
        score[np.searchsorted(_PROBABILITY_EDGES, verdict.probability, side="right")] = 1.0
        techniques = np.array(list(verdict.techniques.values()))
        with self._lock:
            if self._score is None or self._techniques is None or verdict.model_version != self._version:
                self._version, self._num_requests = verdict.model_version, 0
                self._score = _Shares(np.zeros_like(score), np.zeros_like(score))
                self._techniques = _Shares(np.zeros_like(techniques), np.zeros_like(techniques))
            self._num_requests += 1
            self._score.add(score, self._num_requests)
            self._techniques.add(techniques, self._num_requests)

    def measure(self) -> Drift:
        """How far the late is from the past."""
        with self._lock:
            if self._score is None or self._techniques is None or self._num_requests < LEAST_REQUESTS:
                return Drift(float("nan"), float("nan"), self._num_requests)
            return Drift(self._score.measure(), self._techniques.measure(), self._num_requests)
