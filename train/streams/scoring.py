"""Logits after every request of whole streams, the same as a gateway computes step by step from its kept windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from stillwatch.model.streams.layout import WINDOW
from stillwatch.train.streams.network import StreamNetwork

_STRETCH = 192  # new requests of one row of a batch; those before are looked at and not scored again
_ROWS = 64


@torch.no_grad()
def score_streams(
    network: StreamNetwork, streams: Sequence[NDArray[np.floating]], *, blind: Sequence[int] = ()
) -> list[NDArray[np.float64]]:
    """Score streams.

    Args:
        network: the network.
        streams: vectors of each account, shape (requests, WIDTH).
        blind: slots that are set to their mean of training: what is a group of them worth?

    Returns:
        for each account the logit after each request, shape (requests,).
    """
    network.eval()
    overlap, hidden = WINDOW - 1, list(blind)
    pieces = [
        (number, start, min(start + _STRETCH, len(stream)))
        for number, stream in enumerate(streams)
        for start in range(0, len(stream), _STRETCH)
    ]
    pieces.sort(key=lambda piece: min(piece[1], overlap) + piece[2] - piece[1])
    logits = [np.empty(len(stream)) for stream in streams]
    for first in range(0, len(pieces), _ROWS):
        part = pieces[first : first + _ROWS]
        begins = [max(0, start - overlap) for _, start, _ in part]
        longest = max(stop - begin for (_, _, stop), begin in zip(part, begins, strict=True))
        batch = torch.zeros(len(part), longest, streams[0].shape[1])
        for row, ((number, _, stop), begin) in enumerate(zip(part, begins, strict=True)):
            batch[row, : stop - begin] = torch.from_numpy(streams[number][begin:stop].astype(np.float32))
        batch[:, :, hidden] = network.mean[hidden]
        scored = network.conclude(network(network.normalise(batch)), batch).double().numpy()
        for row, ((number, start, stop), begin) in enumerate(zip(part, begins, strict=True)):
            logits[number][start:stop] = scored[row, start - begin : stop - begin]
    return logits
