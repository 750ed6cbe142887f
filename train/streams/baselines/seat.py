"""SEAT: how many of an account's requests are all but equal to an earlier one of it?

Zhang, Chen and Wagner (AISec 2021): a similarity encoder; two queries of an account closer than a threshold are a
similar pair; the account is cancelled when it has made more than N of them. As in public code of the paper, a query
counts once, however many earlier ones it resembles.
Adapted from images: the paper trains its encoder on adversarially perturbed images, which have no counterpart for
texts; the request model's sentence embedding takes its place (arXiv 2606.05725 does the same with another encoder).
Ours where the paper tunes on images: the threshold on distance is a small quantile of distances between honest
requests of different accounts, which should not be all but equal; N is set like every detector's threshold
(`conformal.py`). With a window, the share of such requests in it is taken instead of their count over the account's
life, as windows of traffic ask for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from stillwatch.train.streams.arrays import Floats, StreamArrays
from stillwatch.train.streams.baselines.detector import NOT_YET, require_fitted, require_requests
from stillwatch.train.streams.baselines.distances import (
    iter_blocks,
    scale_rows,
    square_distances,
    sum_windows,
)
from stillwatch.train.streams.baselines.drawing import draw_embeddings

_FEWEST = 50


@dataclass(slots=True, eq=False)
class SeatDetector:
    """Requests that resemble an earlier one: their count, or their share of the last `window`.

    Attributes:
        window: None counts over the account's whole life, as the paper does.
        similar_share: share of pairs of honest requests, of different accounts, that may count as similar.
        num_reference: honest requests that are paired.
        seed: of their draw.
    """

    window: int | None = None
    similar_share: float = 1e-3
    num_reference: int = 2_000
    seed: int = 0
    _square: float | None = field(init=False, default=None, repr=False)

    @property
    def name(self) -> str:
        """`seat`, or `seat-100` for the share of the last 100."""
        return "seat" if self.window is None else f"seat-{self.window}"

    def fit(self, benign_streams: Sequence[StreamArrays], extraction_streams: Sequence[StreamArrays] | None) -> None:
        """Find how near is similar; extraction is not read."""
        require_requests(benign_streams, _FEWEST, "the similar pairs of SEAT")
        halves = benign_streams[::2], benign_streams[1::2]
        if not halves[1]:  # a single account is paired with itself
            rows = draw_embeddings(benign_streams, self.num_reference, self.seed)
            squares = square_distances(rows, rows)[np.triu_indices(len(rows), 1)]
        else:
            left, right = (draw_embeddings(half, self.num_reference // 2, self.seed) for half in halves)
            squares = square_distances(left, right).ravel()
        self._square = float(np.quantile(squares, self.similar_share))

    def score_stream(self, stream: StreamArrays) -> Floats:
        """The count (or share) after each request."""
        square = require_fitted(self._square, self.name)
        is_similar = np.zeros(len(stream))
        for block in iter_blocks(scale_rows(stream.embeddings)):
            near = (block.squares <= square) & block.is_earlier
            is_similar[block.start : block.stop] = near.any(axis=1)
        if self.window is None:
            counts: Floats = np.cumsum(is_similar)
            return counts
        statistic = np.full(len(stream), NOT_YET)
        if len(stream) >= self.window:
            statistic[self.window - 1 :] = sum_windows(is_similar, self.window) / self.window
        return statistic
