"""The faster of two runtimes that agree is taken; one that differs, fails or gains nothing is not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from stillwatch.data.errors import BundleError, ConfigError
from stillwatch.data.labels import Role
from stillwatch.data.records import Message, Request
from stillwatch.model.bundle import Bundle, probe_ids
from stillwatch.model.openvino_runtime import OpenVinoRuntime
from stillwatch.model.runtime_choice import (
    RUNTIME_VARIABLE,
    THREADS_VARIABLE,
    choose_runtime,
    open_runtime,
    read_threads,
)
from stillwatch.model.runtimes import IntArray, OnnxRuntime, Runtime, WindowOutputs
from stillwatch.model.scorer import Scorer


class Laden(OnnxRuntime):
    """The real runtime with more to do: it reads every window a number of times, and may err."""

    def __init__(self, bundle: Bundle, name: str, *, num_reads: int, error: float = 0.0) -> None:
        super().__init__(bundle.onnx_model)
        self.name, self._num_reads, self._error = name, num_reads, np.float32(error)

    def run(self, input_ids: IntArray, attention_mask: IntArray) -> WindowOutputs:
        for _ in range(self._num_reads - 1):
            super().run(input_ids, attention_mask)
        found = super().run(input_ids, attention_mask)
        return WindowOutputs(found.extraction + self._error, found.techniques, found.attributes, found.embedding)


@pytest.mark.parametrize(
    ("first_reads", "other_reads", "error", "reason", "chosen"),
    [
        (40, 1, 0.0, "fastest", "other"),
        (40, 1, 0.2, "fastest", "other"),
        (40, 1, 0.3, "other_differs", "first"),
        (40, 1, float("nan"), "other_differs", "first"),
        (1, 40, 0.0, "other_not_faster", "first"),
    ],
)
def test_the_faster_of_two_that_agree_is_taken(
    tiny_bundle: Bundle, first_reads: int, other_reads: int, error: float, reason: str, chosen: str
) -> None:
    first = Laden(tiny_bundle, "first", num_reads=first_reads)
    choice = choose_runtime(tiny_bundle, first, lambda: Laden(tiny_bundle, "other", num_reads=other_reads, error=error))
    assert (choice.reason, choice.runtime.name) == (reason, chosen)
    assert set(choice.milliseconds) == (set() if reason == "other_differs" else {"first", "other"})


def test_a_runtime_that_cannot_be_had_leaves_the_portable_one(tiny_bundle: Bundle) -> None:
    def fail() -> Runtime:
        raise BundleError("model: cannot be compiled")

    choice = choose_runtime(tiny_bundle, OnnxRuntime(tiny_bundle.onnx_model), fail)
    assert (choice.reason, choice.runtime.name) == ("other_fails", "onnxruntime-int8")


def test_the_environment_says_which_runtime_and_how_many_threads_where_nobody_else_does(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(RUNTIME_VARIABLE, raising=False)
    assert Scorer.load(tiny_bundle.folder).runtime.name == "onnxruntime-int8"
    monkeypatch.setenv(RUNTIME_VARIABLE, "openvino")
    assert Scorer.load(tiny_bundle.folder).runtime.name == "openvino-int8"
    assert Scorer.load(tiny_bundle.folder, runtime="onnxruntime").runtime.name == "onnxruntime-int8"
    monkeypatch.setenv(RUNTIME_VARIABLE, "tensorflow")
    with pytest.raises(ConfigError, match=r"^STILLWATCH_RUNTIME: no such runtime; use one of auto, onnxruntime, "):
        Scorer.load(tiny_bundle.folder)
    assert Scorer.load(tiny_bundle.folder, runtime="onnxruntime")
    monkeypatch.delenv(RUNTIME_VARIABLE)
    monkeypatch.setenv(THREADS_VARIABLE, "none")
    with pytest.raises(ConfigError, match=r"^STILLWATCH_THREADS: no number of threads; use 1 to"):
        Scorer.load(tiny_bundle.folder)
    assert Scorer.load(tiny_bundle.folder, num_threads=1)


@pytest.mark.parametrize("wrong", ["", "0", "-1", "1.5", "two", "9" * 30, "²", "1025"])
def test_threads_that_are_no_number_of_threads_are_refused(wrong: str) -> None:
    assert (read_threads({}), read_threads({THREADS_VARIABLE: "3"})) == (1, 3)
    with pytest.raises(ConfigError, match=THREADS_VARIABLE):
        read_threads({THREADS_VARIABLE: wrong})


@pytest.mark.parametrize("build", [lambda b: OpenVinoRuntime(b.onnx_model)])
def test_openvino_says_what_onnxruntime_says(tiny_bundle: Bundle, build: Callable[[Bundle], Runtime]) -> None:
    ids, mask = probe_ids(tiny_bundle.probes[0])
    expected, found = OnnxRuntime(tiny_bundle.onnx_model).run(ids, mask), build(tiny_bundle).run(ids, mask)
    for name in ("extraction", "techniques", "attributes", "embedding"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=0.05)


def test_a_forced_runtime_scores_and_auto_tells_why_it_chose(tiny_bundle: Bundle) -> None:
    request = Request((Message(Role.USER, "hello reasoning"),))
    logits = []
    for setting in ("onnxruntime", "openvino"):
        choice = open_runtime(tiny_bundle, setting)
        assert (choice.reason, choice.runtime.name) == ("forced", f"{setting}-int8")
        logits.append(Scorer(tiny_bundle, choice.runtime).score(request).logit)
    assert logits[0] == pytest.approx(logits[1], abs=0.2)
    auto = open_runtime(tiny_bundle, "auto")
    assert auto.reason in ("fastest", "other_not_faster")
    assert len(auto.milliseconds) == 2
