"""From the logits of a request's windows to the logits of the request: a smooth maximum.

A request is as suspicious as its most suspicious window. Each window is weighted by the softmax of its own extraction
logit times `SHARPNESS` (self-attentive pooling in multiple-instance learning, after Ilse, Tomczak and Welling, ICML
2018). One window pools to itself. The weight is sharp so that a demand does
not drown in innocent text: with sharpness 1, sixty windows at -2 pulled one at +2 down to -0.1. The torch twin of
this function stands in `model/network.py`; a test holds them equal.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

SHARPNESS = 4.0
"""0 would be the mean over windows, infinity their maximum. Part of what a bundle was trained with."""


def pool_windows(extraction: FloatArray, others: FloatArray) -> tuple[float, FloatArray]:
    """Pool one request's windows.

    Args:
        extraction: extraction logits, shape (windows,).
        others: outputs beside them, such as technique logits, shape (windows, outputs).

    Returns:
        The request's extraction logit, and its other outputs, shape (outputs,).
    """
    weights = softmax(SHARPNESS * extraction)
    return float(weights @ extraction), weights @ others


def softmax(logits: FloatArray) -> FloatArray:
    """Softmax along the last axis, in float32."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True), dtype=np.float32)
