"""From the torch classifier to int8 ONNX, with a parity check that refuses a bad export.

The graph scores windows; pooling over a request's windows stays in `model/pooling.py`, where both runtimes use it.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process
from scipy.stats import spearmanr
from torch import Tensor, nn

from stillwatch.data.errors import ExportError
from stillwatch.model.bundle import Probe
from stillwatch.model.network import RequestClassifier
from stillwatch.model.runtimes import OUTPUTS, OnnxRuntime, Runtime
from stillwatch.model.torch_runtime import TorchRuntime

OPSET = 18
MAX_MEAN_DIFFERENCE = 0.25
MIN_RANK_CORRELATION = 0.99
GOOD_MEAN_DIFFERENCE = 0.2
"""Above it, products that lose most by int8 are left in fp32, one after the other."""
MAX_SPARED = 2
"""How many products at most: each adds a fifteenth to the file, and some time."""

Window = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Parity:
    """How an export agrees with the network it came from, on real windows.

    Attributes:
        num_windows: windows compared.
        mean_difference: mean absolute difference of extraction logits.
        max_difference: the largest.
        rank_correlation: Spearman's, between the two sets of logits.
    """

    num_windows: int
    mean_difference: float
    max_difference: float
    rank_correlation: float


class _Windows(nn.Module):
    """The exported signature: ids and mask in, the tensors that `OUTPUTS` names out."""

    def __init__(self, model: RequestClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.model.forward_windows(input_ids, attention_mask))


def export_int8(model: RequestClassifier, path: Path, windows: Sequence[Window]) -> Parity:
    """Write the int8 model and compare it with the network.

    Args:
        model: the classifier.
        path: the file to write.
        windows: real windows to compare on, at least 20 for a meaningful rank correlation.

    Raises:
        ExportError: a weight is not finite, or the export does not agree; nothing is left at `path`.
    """
    model = model.eval().cpu()
    if broken := [name for name, p in model.named_parameters() if not bool(p.isfinite().all())]:
        raise ExportError(f"{broken[0]}: holds NaN or infinity; the fit diverged, lower fit.learning_rate")
    with TemporaryDirectory() as folder:
        exported, prepared = Path(folder) / "model.onnx", Path(folder) / "prepared.onnx"
        _export(model, exported, windows[0])
        _quiet(quant_pre_process, exported, prepared, skip_symbolic_shape=True)
        parity = _quantise_best(model, prepared, path, windows)
    # `not (a <= b)` also refuses a NaN.
    if not (parity.mean_difference <= MAX_MEAN_DIFFERENCE and parity.rank_correlation >= MIN_RANK_CORRELATION):
        path.unlink()
        raise ExportError(
            f"int8 export: mean logit difference {parity.mean_difference:.3f} (limit {MAX_MEAN_DIFFERENCE}), rank "
            f"correlation {parity.rank_correlation:.4f} (limit {MIN_RANK_CORRELATION}) over {parity.num_windows} "
            "windows; nothing was written. Train longer or with more label smoothing, so that the logits do not "
            "hang on rounding"
        )
    return parity


def _quantise_best(model: RequestClassifier, prepared: Path, path: Path, windows: Sequence[Window]) -> Parity:
    """Quantise all of it; while that costs too much, spare the narrowing product whose sparing helps most.

    Narrowing products (the second half of a feed-forward block) read activations with rare, very large values, which
    stretch the one scale that dynamic quantisation has for a tensor (Bondarenko et al., EMNLP 2021).
    """
    spared: list[str] = []
    _quantise(prepared, path, spared)
    parity = compare(model, path, windows)
    candidates = _narrowing_products(prepared, model.encoder.config.hidden_size)
    while parity.mean_difference > GOOD_MEAN_DIFFERENCE and len(spared) < MAX_SPARED and candidates:
        tried: dict[str, Parity] = {}
        for name in candidates:
            _quantise(prepared, path, [*spared, name])
            tried[name] = compare(model, path, windows)
        best = min(tried, key=lambda name: tried[name].mean_difference)
        spared.append(best)
        candidates.remove(best)
        parity = tried[best]
        _quantise(prepared, path, spared)
    return parity


def _quantise(prepared: Path, path: Path, spared: Sequence[str]) -> None:
    _quiet(
        quantize_dynamic,
        prepared,
        path,
        weight_type=QuantType.QInt8,
        per_channel=True,
        op_types_to_quantize=["MatMul", "Gather"],
        nodes_to_exclude=list(spared),
    )


def _narrowing_products(prepared: Path, width: int) -> list[str]:
    """Names of products whose weight narrows at least twice the encoder's width to that width."""
    graph = onnx.load(str(prepared)).graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    weights = {node.name: shapes.get(node.input[1], ()) for node in graph.node if node.op_type == "MatMul"}
    return [name for name, shape in weights.items() if len(shape) == 2 and shape[0] >= 2 * width == 2 * shape[1]]


def compare(model: RequestClassifier, path: Path, windows: Sequence[Window]) -> Parity:
    """Compare an ONNX file with the network, a window at a time, as serving runs it."""
    reference, exported = TorchRuntime(model), OnnxRuntime(path, num_threads=2)
    expected, found = (np.array([_score(r, w) for w in windows]) for r in (reference, exported))
    difference = np.abs(expected - found)
    return Parity(
        len(windows),
        float(difference.mean()),
        float(difference.max()),
        float(spearmanr(expected, found).statistic),
    )


def make_probes(model: RequestClassifier, path: Path, *, lengths: Sequence[int] = (16, 32, 64)) -> tuple[Probe, ...]:
    """Windows of random tokens with the logits that the network and its export give them here.

    Random, because a bundle is given away: no text of a data set may travel in it, not even as token ids.
    """
    network, exported = TorchRuntime(model), OnnxRuntime(path)
    rng = np.random.default_rng(0)
    vocabulary = model.encoder.config.vocab_size
    windows = [tuple(rng.integers(vocabulary, size=length).tolist()) for length in lengths]
    return tuple(Probe(ids=w, int8=_score(exported, w), fp32=_score(network, w)) for w in windows)


def _score(runtime: Runtime, window: Window) -> float:
    ids = np.array([window], np.int64)
    return float(runtime.run(ids, np.ones_like(ids)).extraction[0])


def _export(model: RequestClassifier, path: Path, window: Window) -> None:
    ids = torch.tensor([window, window])
    dims = {0: torch.export.Dim("windows", max=4096), 1: torch.export.Dim("tokens", min=2, max=8192)}
    _quiet(
        torch.onnx.export,
        _Windows(model),
        (ids, torch.ones_like(ids)),
        str(path),
        input_names=["input_ids", "attention_mask"],
        output_names=[f"output.{name}" for name in OUTPUTS],
        dynamic_shapes={"input_ids": dims, "attention_mask": dims},
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
        external_data=False,
    )
    exported = onnx.load(str(path))
    del exported.graph.value_info[:]  # the exporter's inner shapes contradict those that the quantiser infers
    name_outputs(exported)
    strip_metadata(exported)
    onnx.checker.check_model(exported)
    onnx.save(exported, str(path))


def name_outputs(exported: onnx.ModelProto) -> None:
    """Take `output.` off the outputs' names; values inside the graph, named by the exporter, make way for them."""
    names = {f"output.{name}": name for name in OUTPUTS} | {name: f"inner.{name}" for name in OUTPUTS}
    for node in exported.graph.node:
        for values in (node.input, node.output):
            values[:] = [names.get(value, value) for value in values]
    for output in exported.graph.output:
        output.name = names[output.name]


def strip_metadata(exported: onnx.ModelProto) -> None:
    """Remove what the exporter notes beside the computation: stack traces name files of the machine it ran on."""
    parts = (exported, exported.graph, *exported.graph.node, *exported.graph.input, *exported.graph.output)
    for part in (*parts, *exported.graph.initializer, *exported.functions):
        del part.metadata_props[:]
        part.doc_string = ""
    for function in exported.functions:
        for node in function.node:
            del node.metadata_props[:]


def _quiet(function: Callable[..., object], *args: object, **kwargs: object) -> None:
    """Call an exporter without its progress chatter; its errors still come through."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            function(*args, **kwargs)
    finally:
        logging.disable(previous)
