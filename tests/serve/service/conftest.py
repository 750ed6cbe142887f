"""A bundle with a stream model whose answer can be counted on fingers."""

from __future__ import annotations

import shutil
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from stillwatch.model.bundle import STREAM_JSON, STREAM_ONNX, Bundle, seal_bundle
from stillwatch.model.streams.detector import STREAM_FORMAT_VERSION, StreamModel
from stillwatch.model.streams.fingerprint import FINGERPRINT_VERSION
from stillwatch.model.streams.layout import (
    LAYOUT_VERSION,
    NUM_ATTRIBUTE_SLOTS,
    NUM_EMBEDDING_SLOTS,
    WIDTH,
    WINDOW,
)
from stillwatch.model.streams.verdict import Promise, StreamCalibration

PROMISE = Promise(account_fpr=0.01, upper_bound=0.02, confidence=0.95, horizon_requests=100, num_accounts=500)
CALIBRATION = StreamCalibration(
    slope=1.0,
    intercept=0.0,
    review_logit=2.0,
    flag_logit=4.0,
    review_promise=PROMISE,
    flag_promise=PROMISE,
    min_requests=4,
    min_suspicious=3,
)


def build_counting_network() -> onnx.ModelProto:
    """A stream network whose logit is the number of requests in the window."""
    graph = helper.make_graph(
        [helper.make_node("Cast", ["lengths"], ["logits"], to=TensorProto.FLOAT)],
        "count",
        [
            helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["accounts", WINDOW, WIDTH]),
            helper.make_tensor_value_info("lengths", TensorProto.INT64, ["accounts"]),
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["accounts"])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.fixture
def stream_bundle(tiny_bundle: Bundle, tmp_path: Path) -> Bundle:
    """The tiny bundle with a stream model: the logit is the number of requests; 2 is for review, 4 flags."""
    folder = Path(shutil.copytree(tiny_bundle.folder, tmp_path / "stream-bundle"))
    num_attributes, width = len(tiny_bundle.manifest.attributes), tiny_bundle.manifest.embedding_width
    model = StreamModel(
        format_version=STREAM_FORMAT_VERSION,
        layout_version=LAYOUT_VERSION,
        fingerprint_version=FINGERPRINT_VERSION,
        attribute_offset=(0.0,) * num_attributes,
        attribute_matrix=((0.5,) * NUM_ATTRIBUTE_SLOTS,) * num_attributes,
        embedding_offset=(0.0,) * width,
        embedding_matrix=((0.5,) * NUM_EMBEDDING_SLOTS,) * width,
        calibration=CALIBRATION,
    )
    (folder / STREAM_JSON).write_text(model.model_dump_json())
    onnx.save(build_counting_network(), str(folder / STREAM_ONNX))
    return seal_bundle(folder, tiny_bundle.manifest)
