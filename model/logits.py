"""From windows to the logits of requests, through any runtime: the one path of training, evaluation and serving."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from stillwatch.model.pooling import FloatArray, pool_windows
from stillwatch.model.runtimes import IntArray, Runtime
from stillwatch.model.windows import Windows


@dataclass(frozen=True, slots=True)
class RequestLogits:
    """Uncalibrated scores of one request.

    Attributes:
        extraction: the extraction logit.
        techniques: technique logits, shape (techniques,).
        top_window: index of the window with the highest extraction logit.
    """

    extraction: float
    techniques: FloatArray
    top_window: int


def compute_logits(
    runtime: Runtime,
    requests: Sequence[Windows],
    *,
    pad_id: int,
    on_progress: Callable[[int], None] | None = None,
) -> list[RequestLogits]:
    """Score requests.

    Args:
        runtime: what runs the network.
        requests: windows of each request.
        pad_id: token id of padding.
        on_progress: called with the number of windows done since the last call.
    """
    owners = np.repeat(np.arange(len(requests)), [len(r.ids) for r in requests])
    windows = [ids for request in requests for ids in request.ids]
    extraction = np.empty(len(windows), np.float32)
    techniques: FloatArray | None = None
    order = sorted(range(len(windows)), key=lambda i: len(windows[i]))
    for start in range(0, len(order), runtime.max_batch):
        batch = order[start : start + runtime.max_batch]
        scores, technique_scores = runtime.run(*_pad([windows[i] for i in batch], pad_id))
        if techniques is None:
            techniques = np.empty((len(windows), technique_scores.shape[1]), np.float32)
        extraction[batch], techniques[batch] = scores, technique_scores
        if on_progress is not None:
            on_progress(len(batch))
    if techniques is None:
        return []
    results = []
    bounds = np.searchsorted(owners, np.arange(len(requests) + 1))
    for first, last in pairwise(bounds):
        logit, technique_logits = pool_windows(extraction[first:last], techniques[first:last])
        results.append(RequestLogits(logit, technique_logits, int(extraction[first:last].argmax())))
    return results


def _pad(windows: Sequence[tuple[int, ...]], pad_id: int) -> tuple[IntArray, IntArray]:
    length = max(map(len, windows))
    input_ids = np.full((len(windows), length), pad_id, np.int64)
    attention_mask = np.zeros((len(windows), length), np.int64)
    for row, ids in enumerate(windows):
        input_ids[row, : len(ids)] = ids
        attention_mask[row, : len(ids)] = 1
    return input_ids, attention_mask
