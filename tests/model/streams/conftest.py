"""Tiny real objects of streams: outputs of a request model, a projection, a network that anyone can compute."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from stillwatch.data.attributes import ATTRIBUTES
from stillwatch.data.labels import TECHNIQUES
from stillwatch.model.bundle import STREAM_JSON, STREAM_ONNX
from stillwatch.model.logits import RequestLogits
from stillwatch.model.streams.detector import STREAM_FORMAT_VERSION, StreamModel
from stillwatch.model.streams.fingerprint import FINGERPRINT_VERSION
from stillwatch.model.streams.layout import (
    LAYOUT_VERSION,
    NUM_ATTRIBUTE_SLOTS,
    NUM_EMBEDDING_SLOTS,
    WIDTH,
    WINDOW,
)
from stillwatch.model.streams.observation import Observation, Projection, observe_request
from stillwatch.model.streams.verdict import Promise, StreamCalibration

EMBEDDING_WIDTH = 24
PROMISE = Promise(account_fpr=0.01, upper_bound=0.02, confidence=0.95, horizon_requests=100, num_accounts=500)
STREAM_CALIBRATION = StreamCalibration(
    slope=1.0,
    intercept=0.0,
    review_logit=1.0,
    flag_logit=2.0,
    review_promise=PROMISE,
    flag_promise=PROMISE,
    min_requests=4,
    min_suspicious=3,
)


def say(extraction: float = 0.0, seed: int = 0) -> RequestLogits:
    """What a request model could have said."""
    rng = np.random.default_rng(seed)
    return RequestLogits(
        extraction=extraction,
        techniques=rng.normal(size=len(TECHNIQUES)).astype(np.float32),
        attributes=rng.normal(size=len(ATTRIBUTES)).astype(np.float32),
        embedding=rng.normal(size=EMBEDDING_WIDTH).astype(np.float32),
        top_window=0,
    )


@pytest.fixture(scope="session")
def make_logits() -> Callable[..., RequestLogits]:
    """Makes what a request model could have said: `make_logits(extraction, seed)`."""
    return say


@pytest.fixture(scope="session")
def observe(projection: Projection) -> Callable[..., Observation]:
    """Observes a request with outputs made up for it: `observe(request, extraction, seed)`."""
    return lambda request, extraction=0.0, seed=0: observe_request(request, say(extraction, seed), projection)


@pytest.fixture(scope="session")
def stream_model() -> StreamModel:
    """What a `stream.json` says that fits `make_logits`."""
    rng = np.random.default_rng(7)
    return StreamModel(
        format_version=STREAM_FORMAT_VERSION,
        layout_version=LAYOUT_VERSION,
        fingerprint_version=FINGERPRINT_VERSION,
        attribute_offset=(0.0,) * len(ATTRIBUTES),
        attribute_matrix=tuple(map(tuple, rng.normal(size=(len(ATTRIBUTES), NUM_ATTRIBUTE_SLOTS)).tolist())),
        embedding_offset=(0.0,) * EMBEDDING_WIDTH,
        embedding_matrix=tuple(map(tuple, rng.normal(size=(EMBEDDING_WIDTH, NUM_EMBEDDING_SLOTS)).tolist())),
        calibration=STREAM_CALIBRATION,
    )


@pytest.fixture(scope="session")
def projection(stream_model: StreamModel) -> Projection:
    """Its maps."""
    return stream_model.build_projection()


@pytest.fixture(scope="session")
def stream_folder(stream_model: StreamModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a stream part: its logit is the mean of the window's extraction logits."""
    folder = tmp_path_factory.mktemp("stream")
    (folder / STREAM_JSON).write_text(stream_model.model_dump_json(), "utf-8")
    onnx.save(build_mean_of_first_slot(WIDTH), str(folder / STREAM_ONNX))
    return folder


@pytest.fixture(scope="session")
def mean_network() -> onnx.ModelProto:
    """A network whose logit is the mean of the window's extraction logits."""
    return build_mean_of_first_slot(WIDTH)


@pytest.fixture(scope="session")
def build_network() -> Callable[[int], onnx.ModelProto]:
    """Builds that network for rows of any width."""
    return build_mean_of_first_slot


def build_mean_of_first_slot(width: int) -> onnx.ModelProto:
    """A network of the stream's shape that gives the mean of slot 0 over the requests there are."""
    nodes = [
        helper.make_node("Gather", ["vectors", "first"], ["column"], axis=2),
        helper.make_node("ReduceSum", ["column", "axis"], ["sums"], keepdims=0),
        helper.make_node("Cast", ["lengths"], ["counts"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["sums", "counts"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "mean",
        [
            helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["accounts", WINDOW, width]),
            helper.make_tensor_value_info("lengths", TensorProto.INT64, ["accounts"]),
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["accounts"])],
        [
            helper.make_tensor("first", TensorProto.INT64, [], [0]),
            helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model
