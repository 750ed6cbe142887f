"""Tiny real objects of streams: outputs of a request model, a projection, a network that anyone can compute."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from stillwatch.data.attributes import ATTRIBUTES
from stillwatch.data.labels import TECHNIQUES
from stillwatch.model.bundle import STREAM_JSON, STREAM_ONNX
from stillwatch.model.logits import RequestLogits
from stillwatch.model.streams.detector import StreamModel
from stillwatch.model.streams.layout import NUM_ATTRIBUTE_SLOTS, NUM_EMBEDDING_SLOTS
from stillwatch.model.streams.observation import Observation, Projection, observe_request
from tiny_streams import build_calibration, build_mean_of_first_slot, build_stream_model

EMBEDDING_WIDTH = 24


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
    attributes = rng.normal(size=(len(ATTRIBUTES), NUM_ATTRIBUTE_SLOTS))
    embedding = rng.normal(size=(EMBEDDING_WIDTH, NUM_EMBEDDING_SLOTS))
    return build_stream_model(build_calibration(review_logit=1.0, flag_logit=2.0), attributes, embedding)


@pytest.fixture(scope="session")
def projection(stream_model: StreamModel) -> Projection:
    """Its maps."""
    return stream_model.build_projection()


@pytest.fixture(scope="session")
def stream_folder(stream_model: StreamModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a stream part: its logit is the mean of the window's extraction logits."""
    folder = tmp_path_factory.mktemp("stream")
    (folder / STREAM_JSON).write_text(stream_model.model_dump_json(), "utf-8")
    onnx.save(build_mean_of_first_slot(), str(folder / STREAM_ONNX))
    return folder


@pytest.fixture(scope="session")
def mean_network() -> onnx.ModelProto:
    """A network whose logit is the mean of the window's extraction logits."""
    return build_mean_of_first_slot()


@pytest.fixture(scope="session")
def build_network() -> Callable[[int], onnx.ModelProto]:
    """Builds that network for rows of any width."""
    return build_mean_of_first_slot
