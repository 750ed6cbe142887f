"""Stream models of a few kilobytes whose answer can be counted on fingers.

The network says the number of requests in the window, the mean of one slot over them, or the mean over them of all
that is kept of each. It is onnxruntime that runs it, as in any bundle; nothing of it was trained.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper

from stillwatch.model.bundle import STREAM_JSON, STREAM_ONNX, Bundle, seal_bundle
from stillwatch.model.streams.detector import STREAM_FORMAT_VERSION, StreamModel
from stillwatch.model.streams.fingerprint import FINGERPRINT_VERSION
from stillwatch.model.streams.layout import LAYOUT_VERSION, NUM_ATTRIBUTE_SLOTS, NUM_EMBEDDING_SLOTS, WIDTH, WINDOW
from stillwatch.model.streams.verdict import Promise, StreamCalibration

PROMISE = Promise(account_fpr=0.01, upper_bound=0.02, confidence=0.95, horizon_requests=100, num_accounts=500)


def build_calibration(*, review_logit: float, flag_logit: float) -> StreamCalibration:
    """Thresholds on the network's own logit; an account is judged from its fourth request on."""
    return StreamCalibration(
        slope=1.0,
        intercept=0.0,
        review_logit=review_logit,
        flag_logit=flag_logit,
        review_promise=PROMISE,
        flag_promise=PROMISE,
        min_requests=4,
        min_suspicious=3,
    )


def build_stream_model(
    calibration: StreamCalibration, attributes: NDArray[np.float64], embedding: NDArray[np.float64]
) -> StreamModel:
    """What a `stream.json` says.

    Args:
        calibration: thresholds.
        attributes: map of attribute logits, shape (attributes, NUM_ATTRIBUTE_SLOTS).
        embedding: map of the embedding, shape (embedding width, NUM_EMBEDDING_SLOTS).
    """
    return StreamModel(
        format_version=STREAM_FORMAT_VERSION,
        layout_version=LAYOUT_VERSION,
        fingerprint_version=FINGERPRINT_VERSION,
        attribute_offset=(0.0,) * len(attributes),
        attribute_matrix=tuple(map(tuple, attributes.tolist())),
        embedding_offset=(0.0,) * len(embedding),
        embedding_matrix=tuple(map(tuple, embedding.tolist())),
        calibration=calibration,
    )


def add_stream(
    bundle: Bundle, folder: Path, network: onnx.ModelProto, *, review_logit: float, flag_logit: float
) -> Bundle:
    """A sealed copy of a bundle with a stream model; it keeps half of the sum of attributes, and of the embedding.

    Args:
        bundle: stays as it is.
        folder: of the copy; must not be there yet.
        network: of one of the functions below.
        review_logit: threshold for review.
        flag_logit: threshold to flag.
    """
    shutil.copytree(bundle.folder, folder)
    model = build_stream_model(
        build_calibration(review_logit=review_logit, flag_logit=flag_logit),
        np.full((len(bundle.manifest.attributes), NUM_ATTRIBUTE_SLOTS), 0.5),
        np.full((bundle.manifest.embedding_width, NUM_EMBEDDING_SLOTS), 0.5),
    )
    (folder / STREAM_JSON).write_text(model.model_dump_json(), "utf-8")
    onnx.save(network, str(folder / STREAM_ONNX))
    return seal_bundle(folder, bundle.manifest)


def build_count() -> onnx.ModelProto:
    """A network whose logit is the number of requests in the window."""
    return _build([helper.make_node("Cast", ["lengths"], ["logits"], to=TensorProto.FLOAT)], WIDTH)


def build_mean_of_first_slot(width: int = WIDTH) -> onnx.ModelProto:
    """A network whose logit is the mean of slot 0, the extraction logit, over the requests, for rows of any width."""
    column = helper.make_node("Gather", ["vectors", "first"], ["column"], axis=2)
    return _build([_put("first", [], [0]), column, *_divide_sums_of("column", [1])], width)


def build_mean_of_all() -> onnx.ModelProto:
    """A network whose logit is the mean, over the requests, of the sum of all that is kept of each."""
    return _build(_divide_sums_of("vectors", [1, 2]), WIDTH)


def _divide_sums_of(name: str, axes: list[int]) -> list[NodeProto]:
    return [
        _put("axes", [len(axes)], axes),
        helper.make_node("ReduceSum", [name, "axes"], ["sums"], keepdims=0),
        helper.make_node("Cast", ["lengths"], ["counts"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["sums", "counts"], ["logits"]),
    ]


def _put(name: str, shape: list[int], values: list[int]) -> NodeProto:
    return helper.make_node("Constant", [], [name], value=helper.make_tensor(name, TensorProto.INT64, shape, values))


def _build(nodes: list[NodeProto], width: int) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["accounts", WINDOW, width]),
            helper.make_tensor_value_info("lengths", TensorProto.INT64, ["accounts"]),
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["accounts"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model
