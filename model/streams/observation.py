"""What one request shows without its account: the request model's outputs projected, shape, fingerprints, turns.

Pure: equal requests and outputs give equal observations, so training computes each once however many simulated
accounts send it. Holds no text.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stillwatch.data.records import Request
from stillwatch.model.logits import RequestLogits
from stillwatch.model.pooling import FloatArray
from stillwatch.model.streams.fingerprint import Fingerprints


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """Fixed affine maps, fitted once in training and sealed in the stream model's file.

    Give each map one common factor, not one a column, such that nearly all outputs lie within -4 to 4: angles
    between projected embeddings then follow those between embeddings.

    Attributes:
        attribute_offset: subtracted from attribute logits (clipped to -8 to 8), shape (attributes,).
        attribute_matrix: shape (attributes, NUM_ATTRIBUTE_SLOTS); no rows where the bundle trains no attributes.
        embedding_offset: subtracted from the embedding at unit length, shape (width,).
        embedding_matrix: shape (width, NUM_EMBEDDING_SLOTS).
    """

    attribute_offset: FloatArray
    attribute_matrix: FloatArray
    embedding_offset: FloatArray
    embedding_matrix: FloatArray

    def project(self, logits: RequestLogits) -> tuple[FloatArray, FloatArray]:
        """Projected attribute logits of shape (NUM_ATTRIBUTE_SLOTS,) and embedding of (NUM_EMBEDDING_SLOTS,)."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """One request without its account.

    Attributes:
        row: the request vector, shape (WIDTH,); slots that need the account are zero.
        embedding: the projected embedding, shape (NUM_EMBEDDING_SLOTS,), not rounded.
        techniques: technique probabilities, shape (techniques,).
        fingerprints: its skeletons.
        prefixes: a hash of all turns up to and with each one, system texts left out; the last is the whole's.
        answers: for each turn the hash of its words where the assistant spoke them, else None.
    """

    row: FloatArray
    embedding: FloatArray
    techniques: FloatArray
    fingerprints: Fingerprints
    prefixes: tuple[int, ...]
    answers: tuple[int | None, ...]


def observe_request(request: Request, logits: RequestLogits, projection: Projection) -> Observation:
    """What `request` shows.

    Args:
        request: the request.
        logits: the request model's outputs for it.
        projection: of the stream model that will read the vectors.
    """
    raise NotImplementedError
