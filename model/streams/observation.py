"""What one request shows without its account: the request model's outputs projected, shape, fingerprints, turns.

Pure: equal requests and outputs give equal observations, so training computes each once however many simulated
accounts send it. Holds no text.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from math import log1p

import numpy as np

from stillwatch.data.errors import BundleError
from stillwatch.data.labels import Role
from stillwatch.data.records import Message, Request
from stillwatch.model.logits import RequestLogits
from stillwatch.model.pooling import FloatArray, softmax
from stillwatch.model.streams.fingerprint import Fingerprints, fingerprint_request
from stillwatch.model.streams.layout import INDEX, NUM_ATTRIBUTE_SLOTS, NUM_EMBEDDING_SLOTS, WIDTH

_MOST_ATTRIBUTE_LOGIT = 8.0
_MOST_TEMPERATURE = 1e6  # far above what its slot keeps, and still a float of 32 bits
_FIRST_TECHNIQUE = INDEX["extraction"] + 1
_FIRST_ATTRIBUTE = INDEX["attribute_00"]
_FIRST_EMBEDDING = INDEX["embedding_00"]


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

    def __post_init__(self) -> None:
        """Refuse matrices of other shapes.

        Raises:
            BundleError: naming the field.
        """
        maps = {
            "attribute": (self.attribute_offset, self.attribute_matrix, NUM_ATTRIBUTE_SLOTS),
            "embedding": (self.embedding_offset, self.embedding_matrix, NUM_EMBEDDING_SLOTS),
        }
        for name, (offset, matrix, num_columns) in maps.items():
            if offset.ndim != 1 or matrix.shape != (len(offset), num_columns):
                raise BundleError(
                    f"{name}_matrix: not a row for each number of {name}_offset and {num_columns} columns; "
                    "train the stream model again with this release"
                )

    def project(self, logits: RequestLogits) -> tuple[FloatArray, FloatArray]:
        """Projected attribute logits of shape (NUM_ATTRIBUTE_SLOTS,) and embedding of (NUM_EMBEDDING_SLOTS,).

        Raises:
            BundleError: the request model gives other numbers of attributes or another width.
        """
        if len(logits.attributes) != len(self.attribute_offset) or len(logits.embedding) != len(self.embedding_offset):
            raise BundleError(
                "stream.json: was trained for another request model (attributes or width of the embedding differ); "
                "train the stream model again on this bundle"
            )
        attributes = np.clip(logits.attributes, -_MOST_ATTRIBUTE_LOGIT, _MOST_ATTRIBUTE_LOGIT) - self.attribute_offset
        embedding = logits.embedding / max(float(np.linalg.norm(logits.embedding)), 1e-6) - self.embedding_offset
        return (
            np.asarray(attributes @ self.attribute_matrix, np.float32),
            np.asarray(embedding @ self.embedding_matrix, np.float32),
        )


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
        asked: place among the turns of the last one by the user, -1 where there is none.
    """

    row: FloatArray
    embedding: FloatArray
    techniques: FloatArray
    fingerprints: Fingerprints
    prefixes: tuple[int, ...]
    answers: tuple[int | None, ...]
    asked: int


def observe_request(request: Request, logits: RequestLogits, projection: Projection) -> Observation:
    """What `request` shows.

    Args:
        request: the request.
        logits: the request model's outputs for it.
        projection: of the stream model that will read the vectors.

    Raises:
        BundleError: the outputs are not those that the projection was fitted for.
    """
    attributes, embedding = projection.project(logits)
    techniques = softmax(logits.techniques)
    turns = [message for message in request.messages if message.role is not Role.SYSTEM]
    row = np.zeros(WIDTH, np.float32)
    row[INDEX["extraction"]] = logits.extraction
    row[_FIRST_TECHNIQUE : _FIRST_TECHNIQUE + len(techniques)] = techniques
    row[_FIRST_ATTRIBUTE : _FIRST_ATTRIBUTE + NUM_ATTRIBUTE_SLOTS] = attributes
    row[_FIRST_EMBEDDING : _FIRST_EMBEDDING + NUM_EMBEDDING_SLOTS] = embedding
    for name, value in _measure_shape(request, turns).items():
        row[INDEX[name]] = value
    prefixes, answers = _hash_turns(turns)
    asked = max((place for place, message in enumerate(turns) if message.role is Role.USER), default=-1)
    return Observation(row, embedding, techniques, fingerprint_request(request), prefixes, answers, asked)


def _measure_shape(request: Request, turns: list[Message]) -> dict[str, float]:
    asked = next((message for message in reversed(turns) if message.role is Role.USER), None)
    sampling = request.sampling
    return {
        "turns": log1p(len(turns)),
        "characters": log1p(request.num_characters),
        "asked_characters": log1p(len(asked.content)) if asked is not None else 0.0,
        "tools": log1p(len(request.tools)),
        "temperature": -1.0 if sampling.temperature is None else _bound(sampling.temperature, _MOST_TEMPERATURE),
        "max_tokens": log1p(max(sampling.max_tokens or 0, 0)),
        "num_answers": log1p(max(sampling.n or 0, 0)),
        "top_p_given": float(sampling.top_p is not None),
    }


def _bound(value: float, most: float) -> float:
    return max(-most, min(value, most))


def _hash_turns(turns: list[Message]) -> tuple[tuple[int, ...], tuple[int | None, ...]]:
    chain = blake2b(digest_size=8)
    prefixes: list[int] = []
    answers: list[int | None] = []
    for message in turns:
        parts = (message.role.value, message.content, *message.other_parts)
        parts += tuple(f"{call.name}\x01{call.arguments}" for call in message.tool_calls)
        words = "\x00".join(parts).encode("utf-8", "surrogatepass")
        chain.update(len(words).to_bytes(8, "little") + words)
        prefixes.append(_to_int(chain.digest()))
        spoken = message.role is Role.ASSISTANT
        answers.append(_to_int(blake2b(words, digest_size=8).digest()) if spoken else None)
    return tuple(prefixes), tuple(answers)


def _to_int(digest: bytes) -> int:
    return int.from_bytes(digest, "little")
