"""Measures every budget that exists as a ratio, its two sides by turns in one run.

Run it with `make bench`, or on another bundle: `.venv/bin/python tests/bench/ratios.py --bundle runs/demo/bundle`.
Exits with 1 when a budget is missed. Budgets are judged by processor time, all threads of the process together: on a
busy machine the clock on the wall tells about the neighbours. Wall time stands beside it.

It measures neither quality, nor a server under many clients, nor the time of a recipe.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import numpy as np

from stillwatch.data.dialects import parse_request
from stillwatch.model.bundle import DEFAULT_BUNDLE, STREAM_ONNX, Bundle
from stillwatch.model.streams.accounts import MemoryAccountCounter
from stillwatch.model.streams.detector import StreamDetector
from stillwatch.model.streams.layout import NUM_ATTRIBUTE_SLOTS, NUM_EMBEDDING_SLOTS
from stillwatch.model.streams.observation import Projection
from stillwatch.model.streams.state import MAX_STATE_BYTES
from stillwatch.model.streams.store import MemoryStateStore
from stillwatch.model.streams.verdict import Promise, StreamCalibration
from stillwatch.serve import Scorer, StillwatchError

START = """
import json, resource, sys, time
from stillwatch.serve import Scorer

Scorer.load(sys.argv[1]).score({"messages": [{"role": "user", "content": "Which plants like shade?"}]})
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps({"cpu_s": time.process_time(), "peak_mb": peak / 1e6, "has_torch": "torch" in sys.modules}))
"""
"""What a fresh process runs: load, score once, tell its processor time and its peak of resident memory."""

PROSE = "The lamp in the hall went out again, so we read by the window until supper was ready. "

Body = dict[str, list[dict[str, str]]]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One budget, what was measured, and whether that keeps it."""

    name: str
    budget: str
    measured: str
    keeps: bool

    @property
    def outcome(self) -> str:
        """`met` or `missed`."""
        return "met" if self.keeps else "missed"


@dataclass(frozen=True, slots=True)
class Cost:
    """Medians of one side of a ratio, in milliseconds."""

    cpu_ms: float
    wall_ms: float

    def __str__(self) -> str:
        """Processor time, and wall time behind it."""
        return f"{self.cpu_ms:.2f} ms (wall {self.wall_ms:.2f})"


class Stopwatch:
    """Collects what calls cost."""

    def __init__(self) -> None:
        self._taken: list[tuple[float, float]] = []

    def time(self, call: Callable[[], object]) -> None:
        """Call once and note what it cost."""
        cpu, wall = time.process_time(), time.perf_counter()
        call()
        self._taken.append((time.process_time() - cpu, time.perf_counter() - wall))

    def read(self, *, calls: int = 1) -> Cost:
        """The medians; where each that was timed made several calls, of one of those."""
        cpu_s, wall_s = map(statistics.median, zip(*self._taken, strict=True))
        return Cost(cpu_s * 1000 / calls, wall_s * 1000 / calls)


def main() -> int:
    """Measure and print the table; 1 when a budget is missed, 2 when there is no bundle."""
    parser = argparse.ArgumentParser(description="Measure the budgets as ratios within one run.")
    parser.add_argument(
        "--bundle", type=Path, default=DEFAULT_BUNDLE, help="bundle folder; the shipped one if left out"
    )
    bundle = parser.parse_args().bundle
    if not bundle.is_dir():
        print(f"{bundle}: no bundle here; train one and name its folder with --bundle", file=sys.stderr)
        return 2
    try:
        measurements = measure(bundle)
    except StillwatchError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    print(format_table(measurements))
    missed = [one for one in measurements if not one.keeps]
    print(f"{len(missed)} of {len(measurements)} budgets missed")
    return 1 if missed else 0


def measure(folder: Path) -> list[Measurement]:
    """All measurements. The start comes first: a child's peak memory counts from that of its parent."""
    start = measure_start(folder)
    fresh = Scorer.load(folder, cache_bytes=0)
    load = " ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"{fresh.bundle.version}, {fresh.runtime.name}, one thread")
    print(f"{os.cpu_count()} processors, load {load}, niceness {os.nice(0)}")
    return [
        *start,
        measure_reference(fresh),
        measure_long_request(fresh),
        measure_long_conversation(folder),
        *measure_stream(fresh),
    ]


def measure_start(bundle: Path, *, rounds: int = 5) -> list[Measurement]:
    """From starting Python to the first score: the median time, the largest memory, and whether torch came along."""
    walls_s: list[float] = []
    told: list[dict[str, float]] = []
    for _ in range(rounds):
        begin = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", START, str(bundle)], stdout=subprocess.PIPE, text=True, check=True)
        walls_s.append(time.perf_counter() - begin)
        told.append(json.loads(done.stdout))
    cpu_s, peak_mb = statistics.median(one["cpu_s"] for one in told), max(one["peak_mb"] for one in told)
    has_torch = any(one["has_torch"] for one in told)
    measured = f"{cpu_s:.2f} s (wall {statistics.median(walls_s):.2f})"
    return [
        Measurement("start to first score", "<= 1.5 s", measured, cpu_s <= 1.5),
        Measurement("its resident memory", "<= 400 MB", f"{peak_mb:.0f} MB", peak_mb <= 400),
        Measurement("torch in that process", "absent", "loaded" if has_torch else "absent", not has_torch),
    ]


def measure_reference(fresh: Scorer) -> Measurement:
    """A request of 256 tokens, against transformers in float32 on the shape of Prompt Guard 2 22M, random weights."""
    import torch
    from transformers import DebertaV2Config, DebertaV2ForSequenceClassification

    torch.set_num_threads(1)
    config = DebertaV2Config.from_dict(
        {
            "vocab_size": 128100,
            "hidden_size": 384,
            "num_hidden_layers": 12,
            "num_attention_heads": 6,
            "intermediate_size": 1536,
            "type_vocab_size": 0,
            "relative_attention": True,
            "position_buckets": 256,
            "pos_att_type": ["p2c", "c2p"],
            "share_att_key": True,
            "position_biased_input": False,
            "norm_rel_ebd": "layer_norm",
        }
    )
    reference = DebertaV2ForSequenceClassification(config).eval()
    ids = torch.randint(128100, (1, 256), generator=torch.Generator().manual_seed(7))
    body = body_of_tokens(fresh, 256)

    def run_reference() -> None:
        with torch.inference_mode():
            reference(input_ids=ids, attention_mask=torch.ones_like(ids))

    theirs, ours = time_by_turns(run_reference, lambda: fresh.score(body), rounds=15)
    ratio = theirs.cpu_ms / ours.cpu_ms
    print_floor(fresh)
    return Measurement("256 tokens, against DeBERTa", ">= 8x faster", f"{ratio:.1f}x: {theirs}, {ours}", ratio >= 8)


def print_floor(fresh: Scorer) -> None:
    """How near a request of 256 tokens comes to the bare network, and to the same products in numpy's float32."""
    body = body_of_tokens(fresh, 256)
    width = fresh.bundle.manifest.embedding_width
    ids = np.full((1, 256), 7, np.int64)
    rows, weights = np.ones((256, width), np.float32), np.ones((width, 12 * width), np.float32)
    network, whole = time_by_turns(
        lambda: fresh.runtime.run(ids, np.ones_like(ids)), lambda: fresh.score(body), rounds=9
    )
    product, _ = time_by_turns(lambda: rows @ weights, lambda: None, rounds=9)
    print(f"256 tokens: {whole}, the network alone {network}, its products in float32 {6 * product.cpu_ms:.1f} ms")
    print("(the products of six layers of that width, in numpy: the processor's own pace)")


def measure_long_request(fresh: Scorer) -> Measurement:
    """A request of 100,000 characters against one of 1,000, both read whole: by the first stage, where there is one."""
    short, long = chat(text_of(1_000)), chat(text_of(100_000))
    brief, lengthy = time_by_turns(lambda: fresh.score(short), lambda: fresh.score(long), rounds=7)
    coverage = fresh.score(long).coverage
    ratio = lengthy.cpu_ms / brief.cpu_ms
    is_whole = coverage.characters == 100_000
    measured = f"{ratio:.1f}x: {lengthy}, {brief}"
    return Measurement("100,000 characters, against 1,000", "<= 12x", measured, ratio <= 12 and is_whole)


def measure_long_conversation(folder: Path, *, rounds: int = 5) -> Measurement:
    """Turns 49 to 51 of a conversation that was scored turn by turn, against the second turn of fresh ones.

    300 characters each. Three turns, because the last window fills from turn to turn and then starts anew.
    """
    scorer = Scorer.load(folder)
    texts = (text_of(300, seed) for seed in range(10_000, 20_000))
    early, late = Stopwatch(), Stopwatch()
    for _ in range(rounds):
        turns = [next(texts) for _ in range(51)]
        for turn in range(1, 49):
            scorer.score(chat(*turns[:turn]))
        others = [chat(next(texts), next(texts)) for _ in range(3)]
        grown = [chat(*turns[:turn]) for turn in (49, 50, 51)]
        scorer.score_many([{"messages": other["messages"][:1]} for other in others])
        for watch, bodies in ((early, others), (late, grown)):
            watch.time(lambda bodies=bodies: [scorer.score(body) for body in bodies])  # type: ignore[misc]
    second, fiftieth = early.read(calls=3), late.read(calls=3)
    use = scorer.cache.stats()
    print(f"conversations: {use.windows.hit_rate:.0%} of windows from the cache, which took {use.num_bytes:,} bytes")
    ratio = fiftieth.cpu_ms / second.cpu_ms
    return Measurement("turn 50, against turn 2", "<= 1.5x", f"{ratio:.2f}x: {fiftieth}, {second}", ratio <= 1.5)


def measure_stream(fresh: Scorer) -> list[Measurement]:
    """What an account's state takes, and what following its stream adds to a request of 256 tokens."""
    with TemporaryDirectory() as scratch:
        detector = load_stream(fresh.bundle, Path(scratch))
    states, counter = MemoryStateStore(), MemoryAccountCounter()
    request = parse_request(body_of_tokens(fresh, 256))
    (logits,) = fresh.encode([request])
    clock = iter(range(1_700_000_000, 1_800_000_000, 60))

    def follow() -> int:
        detector.follow(detector.observe(request, logits), "one", next(clock), states=states, counter=counter)
        return states.change("one", lambda kept: (kept or b"", len(kept or b"")))

    most = max(follow() for _ in range(150))
    step, whole = time_by_turns(follow, lambda: fresh.score(request), rounds=25)
    share = step.cpu_ms / whole.cpu_ms
    return [
        Measurement("state of an account", f"<= {MAX_STATE_BYTES} bytes", f"{most} bytes", most <= MAX_STATE_BYTES),
        Measurement("stream step, of a request", "<= 10%", f"{share:.1%}: {step}, {whole}", share <= 0.1),
    ]


def load_stream(bundle: Bundle, scratch: Path) -> StreamDetector:
    """The bundle's stream model, or one of the default shape with random weights."""
    if bundle.has_stream_model:
        print("stream model: the bundle's")
        return StreamDetector.load(bundle.folder)
    from stillwatch.train.streams.network import StreamNetwork
    from stillwatch.train.streams.sealing import build_model, export_network

    print("stream model: random weights of the default shape, for the bundle has none")
    num_attributes, width = len(bundle.manifest.attributes), bundle.manifest.embedding_width
    rng = np.random.default_rng(7)
    projection = Projection(
        attribute_offset=np.zeros(num_attributes, np.float32),
        attribute_matrix=rng.normal(size=(num_attributes, NUM_ATTRIBUTE_SLOTS)).astype(np.float32),
        embedding_offset=np.zeros(width, np.float32),
        embedding_matrix=rng.normal(size=(width, NUM_EMBEDDING_SLOTS)).astype(np.float32),
    )
    promise = Promise(account_fpr=0.01, upper_bound=0.02, confidence=0.95, horizon_requests=100, num_accounts=500)
    calibration = StreamCalibration(
        slope=1.0, intercept=0.0, review_logit=1.0, flag_logit=2.0, review_promise=promise, flag_promise=promise
    )
    export_network(StreamNetwork(), scratch / STREAM_ONNX)
    return StreamDetector(build_model(projection, calibration, {}), scratch / STREAM_ONNX)


def time_by_turns(first: Callable[[], object], second: Callable[[], object], *, rounds: int) -> tuple[Cost, Cost]:
    """What two calls that take turns cost, after one call of each that is not counted."""
    first(), second()
    watches = Stopwatch(), Stopwatch()
    for _ in range(rounds):
        watches[0].time(first)
        watches[1].time(second)
    return watches[0].read(), watches[1].read()


def text_of(num_characters: int, seed: int | None = None) -> str:
    """Plain prose of exactly so many characters, no two sentences alike: equal windows would be read once."""
    rng, words = Random(num_characters if seed is None else seed), PROSE.split()
    sentences = [" ".join(rng.sample(words, len(words))) for _ in range(num_characters // len(PROSE) + 1)]
    return "\n\n".join(f"{sentence} " for sentence in sentences)[:num_characters]


def chat(*texts: str) -> Body:
    """A conversation in which user and assistant take turns."""
    return {"messages": [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]}


def body_of_tokens(scorer: Scorer, num_tokens: int) -> Body:
    """A request of `num_tokens` tokens, its marker and the two special tokens of one window included."""
    words = PROSE.split()
    count = num_tokens // 2
    while scorer.score(chat(" ".join((words * count)[:count]))).coverage.tokens < num_tokens - 2:
        count += 1
    return chat(" ".join((words * count)[:count]))


def format_table(measurements: list[Measurement]) -> str:
    """The measurements as aligned columns."""
    rows = [("what", "budget", "measured", "outcome")]
    rows += [(one.name, one.budget, one.measured, one.outcome) for one in measurements]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


if __name__ == "__main__":
    sys.exit(main())
