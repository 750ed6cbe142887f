"""The stream model at run time: from an account's kept vectors to a logit, by onnxruntime.

A bundle may carry it beside the request model:

    stream.onnx    inputs `vectors` float32 (accounts, WINDOW, WIDTH), oldest first from place 0, zeros after the
                   newest, and `lengths` int64 (accounts,), each 1 to WINDOW; output `logits` float32 (accounts,)
    stream.json    `StreamModel`: versions, projection, calibration, thresholds and what was promised for them
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from stillwatch.model.streams.observation import Projection
from stillwatch.model.streams.state import AccountState
from stillwatch.model.streams.verdict import StreamCalibration

STREAM_ONNX = "stream.onnx"
STREAM_JSON = "stream.json"


STREAM_FORMAT_VERSION = 1

Rows = tuple[tuple[float, ...], ...]


class StreamModel(BaseModel):
    """What `stream.json` says."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format_version: int
    layout_version: int
    fingerprint_version: int
    attribute_offset: tuple[float, ...]
    attribute_matrix: Rows
    """Shape (attributes, NUM_ATTRIBUTE_SLOTS); see `Projection`."""
    embedding_offset: tuple[float, ...]
    embedding_matrix: Rows
    """Shape (embedding width, NUM_EMBEDDING_SLOTS)."""
    calibration: StreamCalibration
    trained: dict[str, str] = Field(default_factory=dict)
    """Where it came from: configuration, digests, seed, commit."""


class StreamDetector:
    """Steps accounts. Thread-safe; keeps no state of an account."""

    projection: Projection

    @classmethod
    def load(cls, folder: Path, *, num_threads: int = 1) -> StreamDetector:
        """Open the stream part of a bundle's folder.

        Raises:
            BundleError: a file is missing, of another layout, or not readable.
        """
        raise NotImplementedError

    def step(self, state: AccountState) -> float:
        """The stream logit after the request that was last taken in; the state is not changed."""
        raise NotImplementedError
