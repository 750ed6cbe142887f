"""From windows to the logits of requests, through any runtime: the one path of training, evaluation and serving."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np

from stillwatch.model.pooling import FloatArray, pool_windows
from stillwatch.model.runtimes import IntArray, Runtime, WindowOutputs


class HasWindows(Protocol):
    """A request cut to windows, or the selection of them that is to be read."""

    @property
    def ids(self) -> tuple[tuple[int, ...], ...]:
        """Token ids of each window."""
        ...

    @property
    def margins(self) -> tuple[float, ...]:
        """What is taken off the extraction logit of each window."""
        ...


@dataclass(frozen=True, slots=True)
class RequestLogits:
    """Uncalibrated scores of one request.

    Attributes:
        extraction: the extraction logit.
        techniques: technique logits, shape (techniques,).
        attributes: attribute logits, shape (attributes,); empty where none were trained.
        embedding: the encoder's view of the request, shape (width,).
        top_window: index of the window with the highest extraction logit.
    """

    extraction: float
    techniques: FloatArray
    attributes: FloatArray
    embedding: FloatArray
    top_window: int


def compute_logits(
    runtime: Runtime,
    requests: Sequence[HasWindows],
    *,
    pad_id: int,
    on_progress: Callable[[int], None] | None = None,
) -> list[RequestLogits]:
    """Score requests.

    Args:
        runtime: what runs the network.
        requests: the windows of each request; equal ones are read once.
        pad_id: token id of padding.
        on_progress: called with the number of windows done since the last call.
    """
    owners = np.repeat(np.arange(len(requests)), [len(request.ids) for request in requests])
    places: dict[tuple[int, ...], int] = {}
    rows = np.array([places.setdefault(ids, len(places)) for request in requests for ids in request.ids], np.int64)
    windows = list(places)
    if not windows:
        return []
    repeats = np.bincount(rows)
    order = sorted(range(len(windows)), key=lambda i: len(windows[i]))
    found: list[WindowOutputs] = []
    for start in range(0, len(order), runtime.max_batch):
        batch = order[start : start + runtime.max_batch]
        found.append(runtime.run(*_pad([windows[i] for i in batch], pad_id)))
        if on_progress is not None:
            on_progress(int(repeats[batch].sum()))
    place = np.argsort(order)[rows]
    margins = np.array([margin for request in requests for margin in request.margins], np.float32)
    extraction = np.concatenate([each.extraction for each in found])[place] - margins
    others = np.concatenate([np.hstack((each.techniques, each.attributes, each.embedding)) for each in found])[place]
    ends = np.cumsum([found[0].techniques.shape[1], found[0].attributes.shape[1]])
    bounds = np.searchsorted(owners, np.arange(len(requests) + 1))
    results = []
    for first, last in pairwise(bounds):
        logit, pooled = pool_windows(extraction[first:last], others[first:last])
        techniques, attributes, embedding = np.split(pooled, ends)
        top_window = int(extraction[first:last].argmax())
        results.append(RequestLogits(logit, techniques, attributes, embedding, top_window))
    return results


def _pad(windows: Sequence[tuple[int, ...]], pad_id: int) -> tuple[IntArray, IntArray]:
    length = max(map(len, windows))
    input_ids = np.full((len(windows), length), pad_id, np.int64)
    attention_mask = np.zeros((len(windows), length), np.int64)
    for row, ids in enumerate(windows):
        input_ids[row, : len(ids)] = ids
        attention_mask[row, : len(ids)] = 1
    return input_ids, attention_mask
