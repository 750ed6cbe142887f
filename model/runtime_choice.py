"""Which runtime serves a bundle on this machine: the fastest of those that compute the same, measured at load.

The first is the one to beat. Another is taken where its extraction logits agree on the bundle's probes and on invented
windows, and it is at least a tenth faster on the sum of the windows' median times.

Whoever loads a scorer without saying which runtime and how many threads leaves both to the environment; the service
does not, it has settings for them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from statistics import median
from typing import Literal, get_args

import numpy as np

from stillwatch.data.errors import BundleError, ConfigError
from stillwatch.model.bundle import Bundle, probe_ids
from stillwatch.model.runtimes import IntArray, OnnxRuntime, Runtime

RuntimeSetting = Literal["auto", "onnxruntime", "openvino"]
RuntimeName = Literal[RuntimeSetting, "torch"]

RUNTIME_VARIABLE, THREADS_VARIABLE = "STILLWATCH_RUNTIME", "STILLWATCH_THREADS"
"""Environment variables with the runtime of scorers and the threads inside one call, where nobody says otherwise."""

PARITY_TOLERANCE = 0.25
"""Largest difference of an extraction logit between two runtimes; as of a bundle's probes."""
LEAST_GAIN = 0.9
"""Share of the first runtime's time that another may take at most; less of a gain is noise."""

_RUNTIMES: tuple[RuntimeName, ...] = get_args(RuntimeName)
_MOST_THREADS = 1024
_NUM_TOKENS = (32, 128)
_NUM_REPEATS = 5


@dataclass(frozen=True, slots=True)
class RuntimeChoice:
    """What was chosen and why.

    Attributes:
        runtime: what runs the network.
        reason: `forced`, `only`, `fastest`, `other_differs`, `other_fails` or `other_not_faster`.
        milliseconds: of each runtime that was timed, by name.
    """

    runtime: Runtime
    reason: str
    milliseconds: dict[str, float]


def open_runtime(
    bundle: Bundle, setting: RuntimeSetting, *, num_threads: int = 1, num_callers: int = 1
) -> RuntimeChoice:
    """The runtime for a bundle, by the setting.

    Args:
        bundle: whose network runs.
        setting: `auto` measures where OpenVINO is installed; others are forced.
        num_threads: threads inside one call.
        num_callers: threads that call at once.

    Raises:
        BundleError: the network cannot be opened.
        ConfigError: OpenVINO is asked for and not installed.
    """
    portable = OnnxRuntime(bundle.onnx_model, num_threads=num_threads)
    if setting == "onnxruntime":
        return RuntimeChoice(portable, "forced", {})
    if find_spec("openvino") is None:
        if setting == "openvino":
            raise ConfigError("runtime: openvino is not installed; pip install 'stillwatch[openvino]', or use auto")
        return RuntimeChoice(portable, "only", {})

    def build() -> Runtime:
        from stillwatch.model.openvino_runtime import OpenVinoRuntime

        return OpenVinoRuntime(bundle.onnx_model, num_threads=num_threads, num_callers=num_callers)

    return RuntimeChoice(build(), "forced", {}) if setting == "openvino" else choose_runtime(bundle, portable, build)


def read_runtime(environment: Mapping[str, str] = os.environ) -> RuntimeName:
    """The runtime that the environment names, `onnxruntime` where it names none.

    Raises:
        ConfigError: it is none of the four.
    """
    return find_runtime(environment.get(RUNTIME_VARIABLE, "onnxruntime"), RUNTIME_VARIABLE)


def find_runtime(told: str, field: str) -> RuntimeName:
    """The runtime of that name.

    Args:
        told: the name.
        field: where it stood, for the error.

    Raises:
        ConfigError: there is none.
    """
    for name in _RUNTIMES:
        if told == name:
            return name
    raise ConfigError(f"{field}: no such runtime; use one of {', '.join(_RUNTIMES)}")


def read_threads(environment: Mapping[str, str] = os.environ) -> int:
    """The threads inside one call that the environment asks for, one where it does not.

    Raises:
        ConfigError: it is no whole number above 0.
    """
    told = environment.get(THREADS_VARIABLE, "1")
    if not (told.isascii() and told.isdecimal() and 0 < int(told[:9]) <= _MOST_THREADS):
        raise ConfigError(f"{THREADS_VARIABLE}: no number of threads; use 1 to {_MOST_THREADS}")
    return int(told)


def choose_runtime(bundle: Bundle, first: Runtime, build: Callable[[], Runtime]) -> RuntimeChoice:
    """The faster of two runtimes that agree.

    Args:
        bundle: its probes are compared.
        first: the one to beat.
        build: makes the other; where it fails, the first is taken.
    """
    try:
        other = build()
        windows = [*(probe_ids(probe) for probe in bundle.probes), *_invent_windows(bundle)]
        differs = not all(_agree(first, other, *window) for window in windows)
    except (BundleError, RuntimeError):
        return RuntimeChoice(first, "other_fails", {})
    if differs:
        return RuntimeChoice(first, "other_differs", {})
    invented = _invent_windows(bundle)
    times = [_time_windows(runtime, invented) for runtime in (first, other)]
    told = {first.name: round(times[0], 3), other.name: round(times[1], 3)}
    if times[1] > LEAST_GAIN * times[0]:
        return RuntimeChoice(first, "other_not_faster", told)
    return RuntimeChoice(other, "fastest", told)


def _agree(first: Runtime, other: Runtime, ids: IntArray, mask: IntArray) -> bool:
    difference = first.run(ids, mask).extraction - other.run(ids, mask).extraction
    return bool(np.all(np.abs(difference) <= PARITY_TOLERANCE))  # not-a-number does not agree


def _invent_windows(bundle: Bundle) -> list[tuple[IntArray, IntArray]]:
    """Windows of tokens that are in every probe's vocabulary, of several lengths."""
    known = [token for probe in bundle.probes for token in probe.ids]
    lengths = [min(length, bundle.manifest.max_tokens) for length in _NUM_TOKENS]
    ids = [np.resize(np.array(known, np.int64), (1, length)) for length in lengths]
    return [(each, np.ones_like(each)) for each in ids]


def _time_windows(runtime: Runtime, windows: Sequence[tuple[IntArray, IntArray]]) -> float:
    total_s = 0.0
    for window in windows:
        runtime.run(*window)
        spent_s = []
        for _ in range(_NUM_REPEATS):
            started_s = time.perf_counter()
            runtime.run(*window)
            spent_s.append(time.perf_counter() - started_s)
        total_s += median(spent_s)
    return total_s * 1000
