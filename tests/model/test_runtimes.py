"""The contract of a runtime, as a list of small checks that every runtime passes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.testing import assert_allclose

from stillwatch.data.errors import BundleError
from stillwatch.data.labels import TECHNIQUES
from stillwatch.model.bundle import Bundle
from stillwatch.model.network import RequestClassifier
from stillwatch.model.pooling import FloatArray
from stillwatch.model.runtimes import OUTPUTS, IntArray, OnnxRuntime, Runtime
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


def outputs(runtime: Runtime, num_windows: int, num_tokens: int, seed: int = 0) -> dict[str, FloatArray]:
    """What a runtime says of such windows, by the name of the output."""
    found = runtime.run(*windows(num_windows, num_tokens, seed))
    return {name: getattr(found, name) for name in OUTPUTS}


def check_shapes_and_types(runtime: Runtime) -> None:
    found = outputs(runtime, 1, 7)
    assert found["extraction"].shape == (1,)
    assert found["techniques"].shape == (1, len(TECHNIQUES))
    assert [len(found[name]) for name in ("attributes", "embedding")] == [1, 1]
    assert found["embedding"].shape[1] > 0
    assert {output.dtype.name for output in found.values()} == {"float32"}


def check_a_full_batch_is_taken(runtime: Runtime) -> None:
    assert {len(output) for output in outputs(runtime, runtime.max_batch, 9).values()} == {runtime.max_batch}


def check_scores_are_finite_and_not_all_equal(runtime: Runtime) -> None:
    scores = [float(outputs(runtime, 1, 11, seed)["extraction"][0]) for seed in range(8)]
    assert np.isfinite(scores).all()
    assert len(set(scores)) > 1


def check_the_same_window_scores_the_same(runtime: Runtime) -> None:
    first, again = outputs(runtime, 1, 20), outputs(runtime, 1, 20)
    assert all(np.array_equal(first[name], again[name]) for name in OUTPUTS)


def check_the_shortest_window_is_scored(runtime: Runtime) -> None:
    assert all(np.isfinite(output).all() for output in outputs(runtime, 1, 3).values())


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
    together, alone = runtime.run(both, masks), runtime.run(ids, mask)
    assert_allclose(together.extraction[0], alone.extraction[0], atol=tolerance)
    assert_allclose(together.embedding[0], alone.embedding[0], atol=tolerance)


def check_threads_get_what_one_thread_gets(runtime: Runtime) -> None:
    batches = [windows(1, 8 + i % 5, seed=i) for i in range(64)]
    serial = [float(runtime.run(*batch).extraction[0]) for batch in batches]
    with ThreadPoolExecutor(8) as pool:
        found = [float(scores.extraction[0]) for scores in pool.map(lambda batch: runtime.run(*batch), batches)]
    assert found == serial


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
    assert_allclose(half.run(*windows(4, 12)).extraction, single.run(*windows(4, 12)).extraction, atol=0.3)


def test_a_graph_without_an_output_is_refused_by_its_name(tiny_bundle: Bundle, tmp_path: Path) -> None:
    graph = onnx.load(tiny_bundle.onnx_model)
    del graph.graph.output[-1]
    onnx.save(graph, tmp_path / "model.onnx")
    with pytest.raises(BundleError, match=r"model\.onnx: no output embedding"):
        OnnxRuntime(tmp_path / "model.onnx")
