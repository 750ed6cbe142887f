"""Maximum mean discrepancy of a window of requests against honest traffic, as in arXiv 2606.05725.

From the paper: windows of 1,500 requests (and 100), a sentence encoder, an RBF kernel at four bandwidths, a
threshold from windows of honest traffic alone. The statistic is the unbiased estimate of MMD^2 of Gretton et al.
(JMLR 13, 2012), equation 3, with the mean of the four kernels.
Ours where the paper leaves it open or where an account asks for it: the bandwidths are 1/2, 1, 2 and 4 times the
median distance within the reference (the median heuristic of Gretton et al., section 8); the window slides request
by request instead of jumping; the encoder is the request model's; the reference draws every honest account alike.
The paper's own protocol, windows drawn from pooled traffic and the 95th percentile, is in `windows.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from stillwatch.train.streams.arrays import Floats, StreamArrays
from stillwatch.train.streams.baselines.detector import NOT_YET, require_fitted, require_requests
from stillwatch.train.streams.baselines.distances import (
    Rows,
    iter_blocks,
    scale_rows,
    square_distances,
    sum_windows,
)
from stillwatch.train.streams.baselines.drawing import draw_embeddings

PUBLISHED_WINDOW = 1_500
_FEWEST = 50
"""Requests of a reference that is too small to stand for honest traffic."""


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """Honest traffic, ready to be compared with.

    Attributes:
        rows: its embeddings.
        median_square: median squared distance between two of them.
        within: mean kernel of two different ones.
    """

    rows: Rows
    median_square: float
    within: float


@dataclass(slots=True, eq=False)
class MmdDetector:
    """MMD^2 of the last `window` requests; silent until there are that many.

    Attributes:
        window: requests of a window.
        num_reference: honest requests to compare with.
        seed: of the draw of the reference.
    """

    window: int = 100
    num_reference: int = PUBLISHED_WINDOW
    seed: int = 0
    _reference: Reference | None = field(init=False, default=None, repr=False)

    @property
    def name(self) -> str:
        """`mmd-100` for windows of 100."""
        return f"mmd-{self.window}"

    def fit(self, benign_streams: Sequence[StreamArrays], extraction_streams: Sequence[StreamArrays] | None) -> None:
        """Draw the reference; extraction is not read."""
        require_requests(benign_streams, _FEWEST, "the reference of MMD")
        self._reference = build_reference(draw_embeddings(benign_streams, self.num_reference, self.seed))

    def score_stream(self, stream: StreamArrays) -> Floats:
        """MMD^2 after each request; below 0 by chance when the window is like the reference."""
        reference = require_fitted(self._reference, self.name)
        statistic = np.full(len(stream), NOT_YET)
        if len(stream) < self.window:
            return statistic
        rows = scale_rows(stream.embeddings)
        pairs = _sum_pairs(rows, self.window, reference.median_square)
        across = sum_windows(_mean_kernel_to(rows, reference), self.window)
        mean_pairs = 2 * pairs / (self.window * (self.window - 1))
        statistic[self.window - 1 :] = mean_pairs + reference.within - 2 * across / self.window
        return statistic


def build_reference(rows: Rows) -> Reference:
    """Measure honest traffic against itself.

    Args:
        rows: embeddings of length 1.
    """
    squares = square_distances(rows, rows)
    apart = squares[np.triu_indices(len(rows), 1)]
    median_square = max(float(np.median(apart)), 1e-4)  # traffic of one text repeated has no width
    return Reference(rows, median_square, float(_kernel(apart, median_square).mean(dtype=np.float64)))


def _kernel(squares: Rows, median_square: float) -> Rows:
    # The widest kernel is an exponential; each narrower one, of half the bandwidth, is its fourth power.
    one: Rows = np.exp(squares * np.float32(-1 / (2 * 4**2 * median_square)))
    total = one.copy()
    for _ in range(3):
        one *= one
        one *= one
        total += one
    total /= 4
    return total


def _mean_kernel_to(rows: Rows, reference: Reference) -> Floats:
    squares = square_distances(rows, reference.rows)
    means: Floats = _kernel(squares, reference.median_square).mean(axis=1, dtype=np.float64)
    return means


def _sum_pairs(rows: Rows, window: int, median_square: float) -> Floats:
    # Pairs less than a window apart up to each request, less those whose earlier request has left the window.
    as_later, as_earlier = np.zeros(len(rows)), np.zeros(len(rows))
    for block in iter_blocks(rows, window - 1):
        kernel = np.where(block.is_earlier, _kernel(block.squares, median_square), 0)
        as_later[block.start : block.stop] = kernel.sum(axis=1, dtype=np.float64)
        as_earlier[block.first : block.stop] += kernel.sum(axis=0, dtype=np.float64)
    left = np.concatenate([[0.0], np.cumsum(as_earlier)])[: len(rows) - window + 1]
    pairs: Floats = np.cumsum(as_later)[window - 1 :] - left
    return pairs
