"""OpenVINO behind the runtime protocol: the same ONNX file, compiled for this processor. Needs the extra `openvino`.

It computes what the int8 file says in the precision that OpenVINO takes for the processor, so scores differ in the
second or third decimal from onnxruntime's; `choose_runtime` tells whether they are near enough, and whether it pays.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock

import numpy as np
import openvino

from stillwatch.data.errors import BundleError
from stillwatch.model.runtimes import OUTPUTS, IntArray, Precision, WindowOutputs


class OpenVinoRuntime:
    """One window a call, as `OnnxRuntime`; callers take turns with as many requests as there were at once."""

    def __init__(self, path: Path, *, num_threads: int = 1, num_callers: int = 1) -> None:
        """Compile an ONNX model; takes seconds.

        Args:
            path: the model file.
            num_threads: threads inside one call.
            num_callers: calls that run at once; more of them wait for each other.

        Raises:
            BundleError: OpenVINO cannot read or compile it, or it lacks one of `OUTPUTS`.
        """
        settings = {"INFERENCE_NUM_THREADS": num_threads * num_callers, "NUM_STREAMS": num_callers}
        try:
            core = openvino.Core()
            self._model = core.compile_model(core.read_model(path), "CPU", settings)
            names = {name for output in self._model.outputs for name in output.get_names()}
        except RuntimeError as error:
            raise BundleError(f"{path.name}: OpenVINO cannot compile it; use the onnxruntime runtime") from error
        if missing := set(OUTPUTS) - names:
            raise BundleError(f"{path.name}: no output {min(missing)}; build the bundle again with this release")
        self.precision: Precision = "int8" if "int8" in path.name else "fp32"
        self.name = f"openvino-{self.precision}"
        self.max_batch = 1
        self._idle: list[openvino.InferRequest] = []
        self._lock = Lock()

    def run(self, input_ids: IntArray, attention_mask: IntArray) -> WindowOutputs:
        """Score windows; see `Runtime.run`."""
        with self._lock:
            request = self._idle.pop() if self._idle else self._model.create_infer_request()
        try:
            request.infer({"input_ids": input_ids, "attention_mask": attention_mask})
            found = [np.array(request.get_tensor(name).data, np.float32) for name in OUTPUTS]
        finally:
            with self._lock:
                self._idle.append(request)
        return WindowOutputs(*found)
