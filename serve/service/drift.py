"""Whether what comes has changed: scores and techniques of late against a reference, as a number each.

The number is the population stability index, sum((p - q) * ln(p / q)) over bins: below 0.1 is calm, above 0.25 is a
change worth a look (Siddiqi, Credit Risk Scorecards, 2006). Late is an exponentially weighted mean over some thousand
requests. The reference is the operator's own honest traffic where `stillwatch calibrate` left it in the bundle: then a
change shows for as long as it lasts, a creep, too. Elsewhere it is the past, a mean over twenty thousand requests: a
jump shows, and fades as it becomes the past; a creep slower than the past's memory does not. What a training held out
is nobody's traffic, and no reference. It begins afresh with another bundle.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

import numpy as np

from stillwatch.data.labels import TECHNIQUES
from stillwatch.model.reference import PROBABILITY_EDGES, FloatArray, TrafficReference, mark_bin
from stillwatch.model.verdict import Verdict

LATE_REQUESTS, PAST_REQUESTS = 1_000, 20_000
LEAST_REQUESTS = 2 * LATE_REQUESTS
"""Requests before which nothing is said against the past: both means would be of the same ones. Against a bundle's
reference `LATE_REQUESTS` are enough."""

CALIBRATED, SLIDING = "calibrated", "sliding"

_LEAST_SHARE = 0.005  # of a bin; an empty one would make the index infinite, a rare one noisy


@dataclass(frozen=True, slots=True)
class Drift:
    """Population stability indices, not-a-number before there are enough requests.

    Attributes:
        score: of the probability.
        techniques: of the mix of techniques.
        num_requests: requests seen since the bundle was loaded.
        reference: what they are against, `calibrated` or `sliding`.
    """

    score: float
    techniques: float
    num_requests: int
    reference: str


def choose_reference(reference: TrafficReference | None) -> TrafficReference | None:
    """A bundle's reference, where drift is to be told against that; else None, for the past."""
    return reference if reference is not None and reference.is_own_traffic else None


@dataclass(slots=True)
class _Shares:
    """Shares of bins, late and of the reference; that slides where none is given."""

    late: FloatArray
    past: FloatArray
    slides: bool

    def add(self, shares: FloatArray, number: int) -> None:
        self.late += (shares - self.late) / min(number, LATE_REQUESTS)
        if self.slides:
            self.past += (shares - self.past) / min(number, PAST_REQUESTS)

    def measure(self) -> float:
        late, past = np.maximum(self.late, _LEAST_SHARE), np.maximum(self.past, _LEAST_SHARE)
        return float(((late - past) * np.log(late / past)).sum())


class DriftMeter:
    """Takes the verdicts of one bundle in; thread-safe, of fixed size."""

    def __init__(self, model_version: str, reference: TrafficReference | None = None) -> None:
        """Begin with no request.

        Args:
            model_version: of the bundle; verdicts of another, such as one that was just replaced, are passed over.
            reference: as `choose_reference` gives it.
        """
        self._version, self._num_requests = model_version, 0
        self._reference = SLIDING if reference is None else CALIBRATED
        self._least_requests = LEAST_REQUESTS if reference is None else LATE_REQUESTS
        self._score = _begin(len(PROBABILITY_EDGES) + 1, None if reference is None else reference.scores)
        self._techniques = _begin(len(TECHNIQUES), None if reference is None else reference.techniques)
        self._lock = Lock()

    def add(self, verdict: Verdict) -> None:
        """Take a verdict in."""
        if verdict.model_version != self._version:
            return
        score, techniques = mark_bin(verdict.probability), np.array(list(verdict.techniques.values()))
        with self._lock:
            self._num_requests += 1
            self._score.add(score, self._num_requests)
            self._techniques.add(techniques, self._num_requests)

    def measure(self) -> Drift:
        """How far the late is from the reference."""
        with self._lock:
            number, reference = self._num_requests, self._reference
            if number < self._least_requests:
                return Drift(float("nan"), float("nan"), number, reference)
            return Drift(self._score.measure(), self._techniques.measure(), number, reference)


def _begin(num_shares: int, given: tuple[float, ...] | None) -> _Shares:
    past = np.zeros(num_shares) if given is None else np.array(given)
    return _Shares(np.zeros(num_shares), past, slides=given is None)
