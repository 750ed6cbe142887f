"""What traffic looked like where a bundle was calibrated: shares of scores and techniques, to tell drift against.

A few dozen numbers and what they rest on; no request, account or time can be read from them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from stillwatch.data.labels import TECHNIQUES

PROBABILITY_EDGES = (0.01, 0.03, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.97, 0.99)
"""Bounds between the bins of the probability."""

LEAST_REFERENCE_REQUESTS = 1_000
"""Requests of a reference below which its shares are too noisy to tell drift against."""

Source = Literal["calibrate", "training"]

FloatArray = NDArray[np.float64]


class TrafficReference(BaseModel):
    """Shares over the requests of a calibration."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    source: Source
    """`calibrate`: an operator's own honest logs, by `stillwatch calibrate`. `training`: benign requests that a
    training held out, which are no traffic of anybody's."""
    num_requests: int = Field(ge=1)
    """Requests behind the shares."""
    edges: tuple[float, ...]
    """Bounds between the bins, as `PROBABILITY_EDGES` of the release that wrote it."""
    scores: tuple[float, ...]
    """Share of each bin of the probability, one more than `edges`."""
    techniques: tuple[float, ...]
    """Mean probability of each technique, in the order of the bundle's manifest."""

    @property
    def is_own_traffic(self) -> bool:
        """Whether drift is told against it: an operator's own logs, enough of them, in the bins of this release."""
        is_enough = self.num_requests >= LEAST_REFERENCE_REQUESTS
        return self.source == "calibrate" and is_enough and self.edges == PROBABILITY_EDGES

    @model_validator(mode="after")
    def _has_shares(self) -> TrafficReference:
        if len(self.scores) != len(self.edges) + 1 or len(self.techniques) != len(TECHNIQUES):
            raise ValueError("scores need one share more than edges, and techniques one for each")
        for shares in (self.scores, self.techniques):
            if min(shares) < 0 or not math.isclose(sum(shares), 1.0, abs_tol=1e-6):
                raise ValueError("shares must not be negative and must sum to one")
        return self


class TrafficTally:
    """Adds requests up to a reference."""

    def __init__(self) -> None:
        """Begin with none."""
        self._num_requests = 0
        self._scores, self._techniques = np.zeros(len(PROBABILITY_EDGES) + 1), np.zeros(len(TECHNIQUES))

    def add(self, probability: float, techniques: Sequence[float]) -> None:
        """Take a request in.

        Args:
            probability: calibrated, of extraction.
            techniques: that of each technique, in their order, summing to one.
        """
        self._num_requests += 1
        self._scores += mark_bin(probability)
        self._techniques += np.asarray(techniques, np.float64)

    def build_reference(self, source: Source) -> TrafficReference | None:
        """The shares of what was taken in; None where that is nothing."""
        if not self._num_requests:
            return None
        scores, techniques = self._scores / self._num_requests, self._techniques / self._techniques.sum()
        return TrafficReference(
            source=source,
            num_requests=self._num_requests,
            edges=PROBABILITY_EDGES,
            scores=tuple(scores.tolist()),
            techniques=tuple(techniques.tolist()),
        )


def mark_bin(probability: float) -> FloatArray:
    """Zeros, with a one in the bin of a probability."""
    marked = np.zeros(len(PROBABILITY_EDGES) + 1)
    marked[np.searchsorted(PROBABILITY_EDGES, probability, side="right")] = 1.0
    return marked
