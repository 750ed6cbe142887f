"""The stream model at run time: from an account's kept vectors to a logit, by onnxruntime, and on to a verdict.

A bundle may carry it beside the request model:

    stream.onnx    inputs `vectors` float32 (accounts, WINDOW, WIDTH), oldest first from place 0, zeros after the
                   newest, and `lengths` int64 (accounts,), each 1 to WINDOW; output `logits` float32 (accounts,)
    stream.json    `StreamModel`: versions, projection, calibration, thresholds and what was promised for them
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stillwatch.data.errors import BundleError
from stillwatch.data.records import Request
from stillwatch.model.bundle import STREAM_JSON, STREAM_ONNX
from stillwatch.model.calibration import ThresholdPair
from stillwatch.model.logits import RequestLogits
from stillwatch.model.pooling import FloatArray
from stillwatch.model.runtimes import open_session
from stillwatch.model.streams.accounts import AccountCounter, Others, count_others
from stillwatch.model.streams.allow_list import AllowList
from stillwatch.model.streams.fingerprint import FINGERPRINT_VERSION
from stillwatch.model.streams.layout import (
    LAYOUT_VERSION,
    NUM_ATTRIBUTE_SLOTS,
    NUM_EMBEDDING_SLOTS,
    WIDTH,
    WINDOW,
)
from stillwatch.model.streams.observation import Observation, Projection, observe_request
from stillwatch.model.streams.state import AccountState
from stillwatch.model.streams.store import StateStore
from stillwatch.model.streams.verdict import StreamCalibration, StreamVerdict, allow_listed, judge

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

    def digest_layout(self, network: str) -> str:
        """A digest of what an account's state means: all but thresholds and provenance.

        Args:
            network: digest of the network's file.
        """
        told = self.model_dump_json(exclude={"calibration", "trained"}) + network
        return sha256(told.encode()).hexdigest()[:16]

    def build_projection(self) -> Projection:
        """The maps as arrays.

        Raises:
            BundleError: a matrix has another shape.
        """
        return Projection(
            attribute_offset=np.array(self.attribute_offset, np.float32),
            attribute_matrix=_read_rows(self.attribute_matrix, NUM_ATTRIBUTE_SLOTS),
            embedding_offset=np.array(self.embedding_offset, np.float32),
            embedding_matrix=_read_rows(self.embedding_matrix, NUM_EMBEDDING_SLOTS),
        )


class StreamDetector:
    """Steps and judges accounts. Thread-safe; keeps no state of an account."""

    def __init__(self, model: StreamModel, network: Path, *, num_threads: int = 1) -> None:
        """Open the network.

        Args:
            model: what `stream.json` says.
            network: the ONNX file.
            num_threads: threads inside one call.

        Raises:
            BundleError: of another version, or a part is not readable.
        """
        versions = (model.format_version, model.layout_version, model.fingerprint_version)
        if versions != (STREAM_FORMAT_VERSION, LAYOUT_VERSION, FINGERPRINT_VERSION):
            raise BundleError(
                f"{STREAM_JSON}: versions {versions} are not those of this release; train the stream model again"
            )
        self.model = model
        self.projection = model.build_projection()
        self._session = open_session(network, num_threads)
        shapes = {put.name: put.shape[1:] for put in self._session.get_inputs()}
        if shapes != {"vectors": [WINDOW, WIDTH], "lengths": []} or self._session.get_outputs()[0].name != "logits":
            raise BundleError(f"{network.name}: other inputs or outputs than this release's; train the stream again")

    @classmethod
    def load(cls, folder: Path, *, num_threads: int = 1) -> StreamDetector:
        """Open the stream part of a bundle's folder.

        Raises:
            BundleError: a file is missing, of another version, or not readable.
        """
        try:
            model = StreamModel.model_validate_json((folder / STREAM_JSON).read_bytes())
        except OSError as error:
            raise BundleError(f"{STREAM_JSON}: missing or unreadable; name a bundle with a stream model") from error
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            field = ".".join(map(str, first["loc"])) or "top level"
            raise BundleError(f"{STREAM_JSON}: {field}: {first['msg']}; build the bundle again") from error
        return cls(model, folder / STREAM_ONNX, num_threads=num_threads)

    def check_widths(self, num_attributes: int, embedding_width: int) -> None:
        """Refuse a request model of other outputs than the projection was fitted for.

        Args:
            num_attributes: attribute outputs of the request model.
            embedding_width: numbers in its embedding.

        Raises:
            BundleError: they differ.
        """
        if (num_attributes, embedding_width) != (
            len(self.projection.attribute_offset),
            len(self.projection.embedding_offset),
        ):
            raise BundleError(
                f"{STREAM_JSON}: was trained for another request model; train the stream model again on this bundle"
            )

    def observe(self, request: Request, logits: RequestLogits) -> Observation:
        """What a request shows without its account; see `observe_request`."""
        return observe_request(request, logits, self.projection)

    def step(self, state: AccountState) -> float:
        """The stream logit after the request that was last taken in; the state is not changed."""
        return float(self.run([state.read_window()])[0])

    def run(self, windows: Sequence[FloatArray]) -> FloatArray:
        """Stream logits of several accounts at once.

        Args:
            windows: kept vectors of each, oldest first, shape (1 to WINDOW, WIDTH).

        Returns:
            shape (accounts,).
        """
        vectors = np.zeros((len(windows), WINDOW, WIDTH), np.float32)
        for number, window in enumerate(windows):
            vectors[number, : len(window)] = window
        lengths = np.array([len(window) for window in windows], np.int64)
        (logits,) = self._session.run(["logits"], {"vectors": vectors, "lengths": lengths})
        return np.asarray(logits, np.float32)

    def advance(
        self,
        state: AccountState,
        observation: Observation,
        time_s: float | None,
        others: Others | None,
        thresholds: ThresholdPair | None = None,
    ) -> StreamVerdict:
        """Take a request into its account's state, step, and judge the account.

        Args:
            state: the account's; changed.
            observation: what the request shows.
            time_s: Unix time in seconds, or None.
            others: counts over accounts, or None.
            thresholds: in place of the model's own.
        """
        calibration = self.model.calibration.replace_thresholds(thresholds)
        vector = state.update(observation, time_s, others)
        logit = self.step(state)
        state.record_logit(logit, review_logit=calibration.review_logit)
        return judge(calibration, state, logit, vector)

    def follow(
        self,
        observation: Observation,
        account: str,
        time_s: float | None,
        *,
        states: StateStore,
        counter: AccountCounter | None = None,
        allow_list: AllowList | None = None,
        thresholds: ThresholdPair | None = None,
    ) -> StreamVerdict:
        """Take a request into the account's kept state and judge the account.

        A kept state that cannot be read, such as one of another release, is dropped and counted by the store: the
        account starts anew.

        Args:
            observation: what the request shows.
            account: who sent it.
            time_s: Unix time in seconds; without one, nothing is counted over accounts.
            states: where states are kept.
            counter: where accounts are counted; None leaves the slots of `Group.OTHERS` at zero.
            allow_list: accounts that are never more than noted; their states and counts go on all the same.
            thresholds: in place of the model's own.

        Raises:
            StoreError: states or counts lie elsewhere, and that is away or too busy.
        """
        others = None
        if counter is not None and time_s is not None:
            others = count_others(counter, observation.fingerprints, account, time_s)

        def change(kept: bytes | None) -> tuple[bytes, StreamVerdict]:
            state = AccountState() if kept is None else AccountState.from_bytes(kept)
            verdict = self.advance(state, observation, time_s, others, thresholds)
            return state.to_bytes(), verdict

        verdict = states.change(account, change)
        entry = allow_list.find(account) if allow_list is not None else None
        return verdict if entry is None else allow_listed(verdict, entry)


def _read_rows(rows: Rows, num_columns: int) -> FloatArray:
    if any(len(row) != num_columns for row in rows):
        raise BundleError(f"{STREAM_JSON}: a matrix without {num_columns} columns; train the stream model again")
    return np.array(rows, np.float32).reshape(len(rows), num_columns)
