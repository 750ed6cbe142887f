"""The fixed maps from the request model's outputs to the few numbers that an account's state keeps of them.

Principal components of unit embeddings and of attribute logits over the training contents, each with one common
factor that puts nearly all of them between -4 and 4 (Jolliffe, "Principal Component Analysis", 2002).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stillwatch.model.logits import RequestLogits
from stillwatch.model.streams.layout import NUM_ATTRIBUTE_SLOTS, NUM_EMBEDDING_SLOTS
from stillwatch.model.streams.observation import Projection

_WITHIN = 0.999  # share of all numbers that the common factor keeps in range
_RANGE = 4.0
_CLIP = 8.0


def fit_projection(outputs: Sequence[RequestLogits]) -> Projection:
    """Fit both maps.

    Args:
        outputs: of contents to learn from, many more than there are slots.
    """
    embeddings = np.stack([each.embedding for each in outputs]).astype(np.float64)
    embeddings /= np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
    attributes = np.clip(np.stack([each.attributes for each in outputs]).astype(np.float64), -_CLIP, _CLIP)
    return Projection(*_fit(attributes, NUM_ATTRIBUTE_SLOTS), *_fit(embeddings, NUM_EMBEDDING_SLOTS))


def _fit(rows: NDArray[np.float64], num_slots: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Offset and matrix, with zero columns where there are fewer outputs than slots."""
    offset = rows.mean(0)
    matrix = np.zeros((rows.shape[1], num_slots))
    if rows.shape[1]:
        _, _, axes = np.linalg.svd(rows - offset, full_matrices=False)
        axes = axes[:num_slots] * np.sign(axes[:num_slots].sum(1, keepdims=True) + 1e-12)
        matrix[:, : len(axes)] = axes.T
        matrix *= _RANGE / max(float(np.quantile(np.abs((rows - offset) @ matrix), _WITHIN)), 1e-6)
    return offset.astype(np.float32), matrix.astype(np.float32)
