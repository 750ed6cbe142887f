"""Mahalanobis distance of a window's mean from honest requests.

Lee et al. (NeurIPS 2018), equation 2, takes the distance of one input's features to the mean of the nearest class
under a shared covariance. Here honest traffic is one class, the marginal variant that arXiv 2606.05725 compares with;
that a window is measured by its mean embedding is our reading of it. Adapted from images: features are the sentence
embedding of a text; only the last layer is used; the covariance is shrunk as Ledoit and Wolf (2004) do, because
embeddings are wide and few.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf

from stillwatch.train.streams.arrays import Floats, StreamArrays
from stillwatch.train.streams.baselines.detector import NOT_YET, require_fitted, require_requests
from stillwatch.train.streams.baselines.distances import scale_rows, sum_windows
from stillwatch.train.streams.baselines.drawing import draw_embeddings

_LEAST_VARIANCE = 1e-6  # traffic of one text repeated has none
_FEWEST = 50


@dataclass(frozen=True, slots=True, eq=False)
class Whitening:
    """Turns honest requests into requests of mean 0 and covariance 1.

    Attributes:
        mean: of honest embeddings, shape `(width,)`.
        factor: `factor @ factor.T` is the inverse covariance, shape `(width, width)`.
    """

    mean: NDArray[np.float32]
    factor: NDArray[np.float32]


@dataclass(slots=True, eq=False)
class MahalanobisDetector:
    """Squared distance of the mean of the last `window` requests, times `window`; silent until there are that many.

    Attributes:
        window: requests of a window.
        num_reference: honest requests behind mean and covariance.
        seed: of their draw.
    """

    window: int = 100
    num_reference: int = 10_000
    seed: int = 0
    _whitening: Whitening | None = field(init=False, default=None, repr=False)

    @property
    def name(self) -> str:
        """`mahalanobis-100` for windows of 100."""
        return f"mahalanobis-{self.window}"

    def fit(self, benign_streams: Sequence[StreamArrays], extraction_streams: Sequence[StreamArrays] | None) -> None:
        """Take mean and covariance of honest requests; extraction is not read."""
        require_requests(benign_streams, _FEWEST, "the covariance of Mahalanobis")
        rows = draw_embeddings(benign_streams, self.num_reference, self.seed).astype(np.float64)
        estimate = LedoitWolf().fit(rows)
        variances, axes = np.linalg.eigh(estimate.covariance_)
        factor = axes / np.sqrt(np.maximum(variances, max(_LEAST_VARIANCE, _LEAST_VARIANCE * variances.max())))
        self._whitening = Whitening(estimate.location_.astype(np.float32), factor.astype(np.float32))

    def score_stream(self, stream: StreamArrays) -> Floats:
        """The squared distance after each request; its mean is the width when requests are drawn as honest ones."""
        whitening = require_fitted(self._whitening, self.name)
        statistic = np.full(len(stream), NOT_YET)
        if len(stream) < self.window:
            return statistic
        white = (scale_rows(stream.embeddings) - whitening.mean) @ whitening.factor
        means = sum_windows(white.astype(np.float64), self.window) / self.window
        statistic[self.window - 1 :] = self.window * np.square(means).sum(axis=1)
        return statistic
