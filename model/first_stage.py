"""The first stage of the cascade: a linear score of every window and passage of a long request, in numpy alone.

Hashed uni- and bigrams of token ids (feature hashing after Weinberger et al., ICML 2009) against one table of weights;
a piece's score is the sum of its weights over the square root of their number, so that pieces of any length compare.
It decides where the encoder looks, and nothing else: no score of it enters a verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stillwatch.data.errors import BundleError
from stillwatch.model.pooling import FloatArray

NUM_BUCKETS = 2**18
"""Weights in the table of a bundle, half a megabyte of them."""

_SHIFT = np.uint32(32 - 18)
_UNIGRAM, _FIRST, _SECOND = np.uint32(0x9E3779B1), np.uint32(0x85EBCA6B), np.uint32(0xC2B2AE35)

Buckets = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class FirstStage:
    """Weights of the first stage, shape (NUM_BUCKETS,)."""

    weights: FloatArray

    @classmethod
    def load(cls, path: Path) -> FirstStage:
        """Read a table written by `save`.

        Raises:
            BundleError: the file holds something else.
        """
        try:
            weights = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise BundleError(f"{path.name}: not a readable table of weights; build the bundle again") from error
        if weights.shape != (NUM_BUCKETS,) or weights.dtype != np.float16 or not np.isfinite(weights).all():
            raise BundleError(f"{path.name}: not {NUM_BUCKETS} finite weights of 16 bits; build the bundle again")
        return cls(weights.astype(np.float32))

    def save(self, path: Path) -> None:
        """Write the table in 16 bits, without pickle."""
        with path.open("wb") as file:
            np.save(file, self.weights.astype(np.float16), allow_pickle=False)

    def sum_weights(self, pieces: Sequence[Sequence[int]]) -> tuple[FloatArray, FloatArray]:
        """The sum of each piece's weights and the number of its features, both of shape (pieces,); sums may be added.

        Args:
            pieces: token ids of each piece.
        """
        buckets, owners = hash_pieces(pieces)
        sums = np.bincount(owners, self.weights[buckets], minlength=len(pieces))
        counts = np.bincount(owners, minlength=len(pieces))
        return sums.astype(np.float32), counts.astype(np.float32)

    def score(self, pieces: Sequence[Sequence[int]]) -> FloatArray:
        """Scores of shape (pieces,), higher where a demand is likelier; comparable within one request."""
        return scale(*self.sum_weights(pieces))


def scale(sums: FloatArray, counts: FloatArray) -> FloatArray:
    """From sums of weights to scores."""
    return np.asarray(sums / np.sqrt(np.maximum(counts, 1)), np.float32)


def hash_pieces(pieces: Sequence[Sequence[int]]) -> tuple[Buckets, NDArray[np.int64]]:
    """The features of pieces: buckets of tokens and of pairs of neighbours within a piece, and whose they are.

    Args:
        pieces: token ids of each piece.

    Returns:
        Bucket and index of the piece for each feature, both of shape (features,).
    """
    lengths = np.array([len(piece) for piece in pieces], np.int64)
    tokens = np.fromiter((token for piece in pieces for token in piece), np.uint32, int(lengths.sum()))
    owners = np.repeat(np.arange(len(pieces)), lengths)
    within = owners[1:] == owners[:-1]
    pairs = ((tokens[:-1] * _FIRST) ^ ((tokens[1:] + np.uint32(1)) * _SECOND))[within]
    hashed = np.concatenate([tokens + np.uint32(1), pairs]) * _UNIGRAM
    return hashed >> _SHIFT, np.concatenate([owners, owners[1:][within]])
