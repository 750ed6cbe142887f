"""What runs the network: one protocol, an onnxruntime behind it here and torch in `model/torch_runtime.py`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as onnx_errors

from stillwatch.data.errors import BundleError
from stillwatch.model.pooling import FloatArray

IntArray = NDArray[np.int64]

Precision = Literal["int8", "fp32", "bf16"]

UNREADABLE = (  # onnxruntime's errors have no parent of their own
    onnx_errors.Fail,
    onnx_errors.InvalidArgument,
    onnx_errors.InvalidGraph,
    onnx_errors.InvalidProtobuf,
    onnx_errors.NoSuchFile,
    onnx_errors.NotImplemented,
    onnx_errors.RuntimeException,
)
"""What onnxruntime raises for a file that it cannot open."""


def open_session(path: Path, num_threads: int) -> onnxruntime.InferenceSession:
    """Open an ONNX file on the processor, with `num_threads` threads inside one call.

    Raises:
        BundleError: onnxruntime cannot read the file.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), sess_options=options, providers=["CPUExecutionProvider"])
    except UNREADABLE as error:
        raise BundleError(f"{path.name}: onnxruntime cannot open it; build the bundle again") from error


OUTPUTS = ("extraction", "techniques", "attributes", "embedding")
"""The outputs of an exported graph, by name; fields of `WindowOutputs`."""


@dataclass(frozen=True, slots=True)
class WindowOutputs:
    """What the network says of windows.

    Attributes:
        extraction: extraction logits, shape (windows,).
        techniques: technique logits, shape (windows, techniques).
        attributes: attribute logits, shape (windows, attributes); no columns where none were trained.
        embedding: the encoder's output averaged over the tokens of each window, shape (windows, width).
    """

    extraction: FloatArray
    techniques: FloatArray
    attributes: FloatArray
    embedding: FloatArray


class Runtime(Protocol):
    """Scores windows of tokens. Implementations are thread-safe and keep no state between calls."""

    @property
    def name(self) -> str:
        """Name and precision, such as `onnxruntime-int8`."""
        ...

    @property
    def precision(self) -> Precision:
        """What it computes in."""
        ...

    @property
    def max_batch(self) -> int:
        """How many windows one call should hold."""
        ...

    def run(self, input_ids: IntArray, attention_mask: IntArray) -> WindowOutputs:
        """Score windows.

        Args:
            input_ids: token ids, shape (windows, tokens).
            attention_mask: 1 for tokens and 0 for padding, same shape.
        """
        ...


class OnnxRuntime:
    """The portable runtime of serving.

    One window a call: int8 activations are scaled over the whole batch, so only a window on its own gets the same
    score every time, whatever came with it.
    """

    def __init__(self, path: Path, *, num_threads: int = 1) -> None:
        """Open an ONNX model.

        Args:
            path: the model file.
            num_threads: threads inside one call.

        Raises:
            BundleError: onnxruntime cannot read the file, or it lacks one of `OUTPUTS`.
        """
        self._session = open_session(path, num_threads)
        if missing := set(OUTPUTS) - {output.name for output in self._session.get_outputs()}:
            raise BundleError(f"{path.name}: no output {min(missing)}; build the bundle again with this release")
        self.precision: Precision = "int8" if "int8" in path.name else "fp32"
        self.name = f"onnxruntime-{self.precision}"
        self.max_batch = 1

    def run(self, input_ids: IntArray, attention_mask: IntArray) -> WindowOutputs:
        """Score windows; see `Runtime.run`."""
        found = self._session.run(OUTPUTS, {"input_ids": input_ids, "attention_mask": attention_mask})
        return WindowOutputs(*(np.asarray(output, np.float32) for output in found))
