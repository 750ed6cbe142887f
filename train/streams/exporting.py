"""From a fitted stream network to its ONNX file, compared with the network before anyone reads it."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from stillwatch.data.errors import ExportError
from stillwatch.model.streams.layout import WIDTH, WINDOW
from stillwatch.train.export import strip_metadata
from stillwatch.train.streams.network import LastLogit, StreamNetwork

_TOLERANCE = 1e-3


def export_network(network: StreamNetwork, path: Path) -> None:
    """Write `stream.onnx` and compare it with the network on drawn vectors.

    Raises:
        ExportError: the two do not agree; nothing is left at `path`.
    """
    last = LastLogit(network).eval()
    accounts = torch.export.Dim("accounts")
    example = (torch.zeros(2, WINDOW, WIDTH), torch.tensor([1, WINDOW]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch about itself
        quiet = logging.getLogger("torch.onnx")
        level = quiet.level
        quiet.setLevel(logging.ERROR)
        torch.onnx.export(
            last,
            example,
            str(path),
            input_names=["vectors", "lengths"],
            output_names=["logits"],
            dynamic_shapes=({0: accounts}, {0: accounts}),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        quiet.setLevel(level)
    exported = onnx.load(str(path))
    strip_metadata(exported)
    onnx.save(exported, str(path))
    _check_parity(last, path)


def _check_parity(last: LastLogit, path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(16, WINDOW, WIDTH)).astype(np.float32)
    lengths = rng.integers(1, WINDOW + 1, 16)
    with torch.no_grad():
        expected = last(torch.from_numpy(vectors), torch.from_numpy(lengths)).numpy()
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(["logits"], {"vectors": vectors, "lengths": lengths})
    if not np.abs(found - expected).max() <= _TOLERANCE:  # refuses NaN, too
        path.unlink()
        raise ExportError(f"{path.name}: does not say what the network says; the fit diverged, lower learning_rate")
