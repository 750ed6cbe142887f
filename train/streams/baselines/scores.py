"""The plainest detectors of streams: the mean and the maximum of what the request model says of each request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from stillwatch.train.streams.arrays import Floats, StreamArrays
from stillwatch.train.streams.baselines.detector import require_fitted, require_requests


@dataclass(slots=True, eq=False)
class MeanScoreDetector:
    """Mean logit of the account so far, drawn towards that of honest accounts while requests are few.

    Attributes:
        num_prior: honest requests that every account is thought to have sent before its first; without them the
            running maximum of the mean would be the first request's score.
    """

    num_prior: float = 10.0
    _benign_mean: float | None = field(init=False, default=None, repr=False)

    @property
    def name(self) -> str:
        """`mean-score`."""
        return "mean-score"

    def fit(self, benign_streams: Sequence[StreamArrays], extraction_streams: Sequence[StreamArrays] | None) -> None:
        """Take the mean of honest accounts' means; extraction is not read."""
        require_requests(benign_streams, 1, "the mean of honest logits")
        self._benign_mean = float(np.mean([stream.logits.mean() for stream in benign_streams if len(stream)]))

    def score_stream(self, stream: StreamArrays) -> Floats:
        """The mean after each request, in logits."""
        prior = require_fitted(self._benign_mean, self.name)
        counts = np.arange(1, len(stream) + 1)
        means: Floats = (np.cumsum(stream.logits) + self.num_prior * prior) / (counts + self.num_prior)
        return means


@dataclass(slots=True, eq=False)
class MaxScoreDetector:
    """Highest logit of the account so far: the request model alone, told of accounts."""

    @property
    def name(self) -> str:
        """`max-score`."""
        return "max-score"

    def fit(self, benign_streams: Sequence[StreamArrays], extraction_streams: Sequence[StreamArrays] | None) -> None:
        """Nothing to learn."""

    def score_stream(self, stream: StreamArrays) -> Floats:
        """The highest logit after each request."""
        highest: Floats = np.maximum.accumulate(np.asarray(stream.logits, dtype=np.float64))
        return highest
