from __future__ import annotations

from dataclasses import dataclass
from random import Random

import numpy as np
import pytest
from numpy.testing import assert_allclose

from stillwatch.data.labels import TECHNIQUES
from stillwatch.model.bundle import Bundle
from stillwatch.model.logits import RequestLogits, compute_logits
from stillwatch.model.network import RequestClassifier
from stillwatch.model.runtimes import IntArray, OnnxRuntime, Precision, Runtime, WindowOutputs
from stillwatch.model.torch_runtime import TorchRuntime
from stillwatch.model.windows import Windows


def draw_requests(num_requests: int, seed: int = 0) -> list[Windows]:
    rng = Random(seed)
    requests = []
    for _ in range(num_requests):
        ids = tuple((2, *rng.choices((4, 5), k=rng.randint(1, 30)), 3) for _ in range(rng.randint(1, 5)))
        requests.append(Windows(ids, sum(map(len, ids)), 1))
    return requests


@pytest.fixture(params=["onnxruntime", "torch"])
def runtime(request: pytest.FixtureRequest, tiny_bundle: Bundle, tiny_network: RequestClassifier) -> Runtime:
    return (
        OnnxRuntime(tiny_bundle.onnx_model)
        if request.param == "onnxruntime"
        else TorchRuntime(tiny_network, max_batch=7)
    )


def extraction(logits: list[RequestLogits]) -> list[float]:
    return [each.extraction for each in logits]


def test_a_requests_score_depends_on_no_other_request_and_no_order(runtime: Runtime) -> None:
    requests = draw_requests(40)
    together = compute_logits(runtime, requests, pad_id=0)
    alone = [compute_logits(runtime, [request], pad_id=0)[0] for request in requests]
    assert_allclose(extraction(together), extraction(alone), atol=1e-4)
    order = Random(1).sample(range(40), 40)
    shuffled = compute_logits(runtime, [requests[i] for i in order], pad_id=0)
    assert_allclose(extraction(shuffled), [alone[i].extraction for i in order], atol=1e-4)
    for name in ("techniques", "attributes", "embedding"):
        assert_allclose([getattr(each, name) for each in together], [getattr(each, name) for each in alone], atol=1e-4)


def test_onnxruntime_gives_every_bit_the_same_alone_and_in_company(tiny_bundle: Bundle) -> None:
    runtime, requests = OnnxRuntime(tiny_bundle.onnx_model), draw_requests(30)
    together = compute_logits(runtime, requests, pad_id=0)
    for request, expected in zip(requests, together, strict=True):
        [alone] = compute_logits(runtime, [request], pad_id=0)
        assert alone.extraction == expected.extraction
        assert np.array_equal(alone.techniques, expected.techniques)
        assert np.array_equal(alone.attributes, expected.attributes)
        assert np.array_equal(alone.embedding, expected.embedding)


def test_the_top_window_is_the_one_with_the_highest_logit(runtime: Runtime) -> None:
    for request in draw_requests(10, seed=3):
        [logits] = compute_logits(runtime, [request], pad_id=0)
        singles = [compute_logits(runtime, [Windows((ids,), 1, 1)], pad_id=0)[0].extraction for ids in request.ids]
        assert singles[logits.top_window] == pytest.approx(max(singles), abs=1e-5)


def test_one_result_a_request_and_progress_counts_every_window(runtime: Runtime) -> None:
    requests, done = draw_requests(25), list[int]()
    results = compute_logits(runtime, requests, pad_id=0, on_progress=done.append)
    assert len(results) == 25
    assert all(each.techniques.shape == (len(TECHNIQUES),) for each in results)
    assert sum(done) == sum(len(request.ids) for request in requests)


@dataclass(frozen=True)
class Counted:
    """A runtime that notes how many windows it is given."""

    inner: Runtime
    given: list[int]

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def precision(self) -> Precision:
        return self.inner.precision

    @property
    def max_batch(self) -> int:
        return self.inner.max_batch

    def run(self, input_ids: IntArray, attention_mask: IntArray) -> WindowOutputs:
        self.given.append(len(input_ids))
        return self.inner.run(input_ids, attention_mask)


def test_equal_windows_are_read_once_and_score_as_if_read_each_time(tiny_bundle: Bundle) -> None:
    counted = Counted(OnnxRuntime(tiny_bundle.onnx_model), [])
    shared, other = (2, 5, 5, 4, 3), (2, 4, 4, 3)
    requests = [Windows((shared, other), 9, 9), Windows((other, shared, other), 13, 13), Windows((shared,), 5, 5)]
    together = compute_logits(counted, requests, pad_id=0)
    assert sum(counted.given) == 2
    for request, expected in zip(requests, together, strict=True):
        [alone] = compute_logits(counted.inner, [request], pad_id=0)
        assert (alone.extraction, alone.top_window) == (expected.extraction, expected.top_window)
        assert np.array_equal(alone.embedding, expected.embedding)


def test_attributes_and_embedding_are_weighted_as_techniques_are(tiny_bundle: Bundle) -> None:
    runtime, [request] = OnnxRuntime(tiny_bundle.onnx_model), draw_requests(1, seed=9)
    [logits] = compute_logits(runtime, [request], pad_id=0)
    share = logits.techniques[0] / 4
    assert len(request.ids) > 1
    assert_allclose(logits.attributes, [6 * share, 2 * share], atol=1e-5)
    assert_allclose(logits.embedding, [share, 0, -share], atol=1e-5)


def test_no_requests_give_no_results(runtime: Runtime) -> None:
    assert compute_logits(runtime, [], pad_id=0) == []
