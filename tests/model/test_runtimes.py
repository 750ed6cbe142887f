"""The contract of a runtime, as a list of small checks that every runtime passes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from stillwatch.data.errors import BundleError
from stillwatch.data.labels import TECHNIQUES
from stillwatch.model.bundle import Bundle
from stillwatch.model.network import RequestClassifier
from stillwatch.model.runtimes import IntArray, OnnxRuntime, Runtime
from stillwatch.model.torch_runtime import TorchRuntime

MakeRuntime = Callable[[pytest.FixtureRequest], Runtime]


def make_onnx(request: pytest.FixtureRequest) -> Runtime:
    bundle: Bundle = request.getfixturevalue("tiny_bundle")
    return OnnxRuntime(bundle.onnx_model)


def make_onnx_of_export(request: pytest.FixtureRequest) -> Runtime:
    bundle: Bundle = request.getfixturevalue("trained_bundle")
    return OnnxRuntime(bundle.onnx_model)


def make_torch(request: pytest.FixtureRequest) -> Runtime:
    return TorchRuntime(request.getfixturevalue("tiny_network"))


def make_torch_of_bundle(request: pytest.FixtureRequest) -> Runtime:
    bundle: Bundle = request.getfixturevalue("trained_bundle")
    assert bundle.torch_folder is not None
    return TorchRuntime.load(bundle.torch_folder)


RUNTIMES = [
    make_onnx,
    make_torch,
    pytest.param(make_onnx_of_export, marks=pytest.mark.slow),
    pytest.param(make_torch_of_bundle, marks=pytest.mark.slow),
]


def windows(num_windows: int, num_tokens: int, seed: int = 0) -> tuple[IntArray, IntArray]:
    """Windows of tokens that the vocabularies of all test bundles know."""
    ids = np.random.default_rng(seed).integers(4, 6, (num_windows, num_tokens))
    ids[:, 0], ids[:, -1] = 2, 3
    return ids, np.ones_like(ids)


def check_shapes_and_types(runtime: Runtime) -> None:
    extraction, techniques = runtime.run(*windows(1, 7))
    assert (extraction.shape, techniques.shape) == ((1,), (1, len(TECHNIQUES)))
    assert {extraction.dtype.name, techniques.dtype.name} == {"float32"}


def check_a_full_batch_is_taken(runtime: Runtime) -> None:
    extraction, techniques = runtime.run(*windows(runtime.max_batch, 9))
    assert (len(extraction), len(techniques)) == (runtime.max_batch, runtime.max_batch)


def check_scores_are_finite_and_not_all_equal(runtime: Runtime) -> None:
    scores = [float(runtime.run(*windows(1, 11, seed))[0][0]) for seed in range(8)]
    assert np.isfinite(scores).all()
    assert len(set(scores)) > 1


def check_the_same_window_scores_the_same(runtime: Runtime) -> None:
    first, again = runtime.run(*windows(1, 20)), runtime.run(*windows(1, 20))
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])


def check_the_shortest_window_is_scored(runtime: Runtime) -> None:
    assert np.isfinite(runtime.run(*windows(1, 3))[0]).all()


def check_inputs_are_left_alone(runtime: Runtime) -> None:
    ids, mask = windows(1, 12)
    before = ids.copy(), mask.copy()
    runtime.run(ids, mask)
    assert np.array_equal(ids, before[0])
    assert np.array_equal(mask, before[1])


def check_neighbours_and_padding_hardly_matter(runtime: Runtime) -> None:
    ids, mask = windows(1, 10)
    other, _ = windows(1, 16, seed=1)
    both = np.concatenate([np.pad(ids, ((0, 0), (0, 6))), other])[: runtime.max_batch]
    masks = np.concatenate([np.pad(mask, ((0, 0), (0, 6))), np.ones_like(other)])[: runtime.max_batch]
    tolerance = 1e-4 if "fp32" in runtime.name else 0.25
    assert_allclose(runtime.run(both, masks)[0][0], runtime.run(ids, mask)[0][0], atol=tolerance)


def check_threads_get_what_one_thread_gets(runtime: Runtime) -> None:
    batches = [windows(1, 8 + i % 5, seed=i) for i in range(64)]
    serial = [float(runtime.run(*batch)[0][0]) for batch in batches]
    with ThreadPoolExecutor(8) as pool:
        assert [float(scores[0][0]) for scores in pool.map(lambda batch: runtime.run(*batch), batches)] == serial


CHECKS: list[Callable[[Runtime], None]] = [
    check_shapes_and_types,
    check_a_full_batch_is_taken,
    check_scores_are_finite_and_not_all_equal,
    check_the_same_window_scores_the_same,
    check_the_shortest_window_is_scored,
    check_inputs_are_left_alone,
    check_neighbours_and_padding_hardly_matter,
    check_threads_get_what_one_thread_gets,
]


@pytest.mark.parametrize("make", RUNTIMES)
@pytest.mark.parametrize("check", CHECKS)
def test_every_runtime_keeps_the_contract(
    make: MakeRuntime, check: Callable[[Runtime], None], request: pytest.FixtureRequest
) -> None:
    check(make(request))


@pytest.mark.parametrize("content", [b"", b"no model", None])
def test_a_file_that_onnxruntime_cannot_open_is_a_bundle_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BundleError, match=r"model\.onnx: onnxruntime cannot open it"):
        OnnxRuntime(path)


def test_a_network_in_half_precision_stays_near_single(tiny_network: RequestClassifier) -> None:
    single, half = TorchRuntime(tiny_network), TorchRuntime(tiny_network, bf16=True)
    assert_allclose(half.run(*windows(4, 12))[0], single.run(*windows(4, 12))[0], atol=0.3)
