"""Requests an hour, as rate limits see an account: against all accounts, or against its own past.

No paper: the rule that every gateway has. It stands here to show that volume tells little (DESIGN.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stillwatch.train.streams.arrays import Floats, StreamArrays
from stillwatch.train.streams.baselines.detector import NOT_YET

HOUR_S = 3600.0


@dataclass(slots=True, eq=False)
class RateDetector:
    """Requests of the last hour.

    Attributes:
        against_own_past: the logarithm of their ratio to the account's requests an hour before that hour, one
            request added to both; silent during the account's first hour. Otherwise the plain count.
    """

    against_own_past: bool = False

    @property
    def name(self) -> str:
        """`rate` or `rate-own-past`."""
        return "rate-own-past" if self.against_own_past else "rate"

    def fit(self, benign_streams: Sequence[StreamArrays], extraction_streams: Sequence[StreamArrays] | None) -> None:
        """Nothing to learn."""

    def score_stream(self, stream: StreamArrays) -> Floats:
        """The count, or the logarithm of the ratio, after each request."""
        numbers = np.arange(len(stream))
        past = np.searchsorted(stream.times_s, stream.times_s - HOUR_S, side="right")
        counts: Floats = (numbers + 1 - past).astype(np.float64)
        if not self.against_own_past or len(stream) == 0:
            return counts
        past_hours = (stream.times_s - HOUR_S - stream.times_s[0]) / HOUR_S
        usual = past / np.maximum(past_hours, 1.0)
        return np.where(past_hours > 0, np.log((counts + 1) / (usual + 1)), NOT_YET)
