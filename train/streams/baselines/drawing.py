"""Honest requests to compare with, drawn so that a busy account does not stand for all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stillwatch.train.streams.arrays import Floats, StreamArrays
from stillwatch.train.streams.baselines.distances import Rows, scale_rows


def draw_embeddings(streams: Sequence[StreamArrays], num_requests: int, seed: int) -> Rows:
    """Embeddings of drawn requests, scaled to length 1, shape `(at most num_requests, width)`."""
    owners, places = draw_requests(streams, num_requests, seed)
    return scale_rows(np.stack([streams[owner].embeddings[place] for owner, place in zip(owners, places, strict=True)]))


def draw_logits(streams: Sequence[StreamArrays], num_requests: int, seed: int) -> Floats:
    """Logits of drawn requests, shape `(at most num_requests,)`."""
    owners, places = draw_requests(streams, num_requests, seed)
    return np.array([streams[owner].logits[place] for owner, place in zip(owners, places, strict=True)])


def draw_requests(
    streams: Sequence[StreamArrays], num_requests: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw requests without replacement, every account as likely as any other at each draw.

    Args:
        streams: the accounts.
        num_requests: how many to draw; all of them when there are no more.
        seed: the same seed draws the same requests.

    Returns:
        The number of each drawn request's account and its place within it, in the order of the accounts.
    """
    lengths = np.array([len(stream) for stream in streams])
    waits = np.repeat(lengths, lengths)  # a request of a long account waits longer (Efraimidis and Spirakis, 2006)
    turns = np.random.default_rng(seed).exponential(size=waits.size) * waits
    drawn = np.sort(np.argsort(turns)[:num_requests])
    owners = np.repeat(np.arange(len(streams)), lengths)[drawn]
    return owners, drawn - (np.cumsum(lengths) - lengths)[owners]
