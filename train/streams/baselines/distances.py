"""Distances between requests of an account, block by block, so that a long account never needs a square matrix.

All of them are Euclidean distances between embeddings scaled to length 1, as the published detectors of text
queries use them (arXiv 2606.05725): the length of an embedding says little about its meaning.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stillwatch.train.streams.arrays import Floats

ROWS_AT_ONCE = 256
"""Requests of a block: its distances to 1,000 earlier requests fill 1 MiB."""

Rows = NDArray[np.float32]
"""Embeddings of length 1, shape `(requests, width)`."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Some requests against themselves and the requests before them.

    Attributes:
        start: number of the first request of the block.
        first: number of the first request that it is measured against.
        squares: squared distances, shape `(requests of the block, start - first + requests of the block)`.
        is_earlier: where the other request came before and within reach, the same shape.
    """

    start: int
    first: int
    squares: Rows
    is_earlier: NDArray[np.bool_]

    @property
    def stop(self) -> int:
        """One more than the number of its last request."""
        return self.start + len(self.squares)


def scale_rows(embeddings: NDArray[np.float32]) -> Rows:
    """Embeddings scaled to length 1; one of length 0 stays as it is.

    Args:
        embeddings: shape `(requests, width)`.
    """
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    scaled: Rows = (embeddings / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return scaled


def square_distances(left: Rows, right: Rows) -> Rows:
    """Squared distances between rows of length 1, shape `(left, right)`, from 0 to 4."""
    squares: Rows = 2 - 2 * (left @ right.T)
    return np.clip(squares, 0, 4, out=squares)


def iter_blocks(rows: Rows, reach: int | None = None) -> Iterator[Block]:
    """The distances of each request to those before it.

    Args:
        rows: the requests of an account in time order.
        reach: how many requests back to look; None means all.
    """
    num_requests = len(rows)
    reach = num_requests if reach is None else reach
    for start in range(0, num_requests, ROWS_AT_ONCE):
        stop = min(start + ROWS_AT_ONCE, num_requests)
        first = max(0, start - reach)
        numbers = np.arange(stop, dtype=np.int32)
        back = numbers[start:, None] - numbers[None, first:]
        yield Block(start, first, square_distances(rows[start:stop], rows[first:stop]), (back > 0) & (back <= reach))


def sum_windows(values: Floats, window: int) -> Floats:
    """Sums over the last `window` values, of every full window.

    Args:
        values: shape `(requests,)`, or `(requests, width)` for sums of each column.
        window: how many values, at most `requests`.

    Returns:
        Shape `(requests - window + 1, ...)`.
    """
    sums = np.concatenate([np.zeros_like(values[:1], dtype=np.float64), np.cumsum(values, axis=0, dtype=np.float64)])
    windows: Floats = sums[window:] - sums[:-window]
    return windows
