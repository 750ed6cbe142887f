"""Measures the budgets that hold on any machine: ratios of times, taken by turns in one run.

Run it with `make bench`, or on another bundle: `.venv/bin/python tests/bench/ratios.py --bundle runs/demo/bundle`.
Exits with 1 when a budget is missed. A budget of work that is still to come is marked `later`: it is measured and
shown, and fails nothing. Only the start of a process is held to seconds and megabytes.

It measures neither quality nor a server under many clients.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from stillwatch.model.bundle import DEFAULT_BUNDLE
from stillwatch.serve import Scorer, StillwatchError

LONG_REQUEST = "100,000 characters, against 1,000"
LONG_CONVERSATION = "turn 50, against turn 2"
LATER = {
    LONG_CONVERSATION: "every turn is read again until encodings are cached",
}
"""Budgets of later work, and what they wait for."""

START = """
import json, resource, sys
from stillwatch.serve import Scorer

Scorer.load(sys.argv[1]).score({"messages": [{"role": "user", "content": "Which plants like shade?"}]})
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps({"peak_mb": peak / 1e6, "has_torch": "torch" in sys.modules}))
"""
"""What a fresh process runs: load, score once, tell its peak of resident memory."""

PROSE = "The lamp in the hall went out again, so we read by the window until supper was ready. "

Body = dict[str, object]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One budget, what was measured, and whether that keeps it."""

    name: str
    budget: str
    measured: str
    keeps: bool

    @property
    def outcome(self) -> str:
        """`met`, `missed`, or `later` with what it would be today."""
        outcome = "met" if self.keeps else "missed"
        return f"later ({outcome} today)" if self.name in LATER else outcome


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
    for name, reason in LATER.items():
        print(f"later: {name}: {reason}")
    missed = [one for one in measurements if one.outcome == "missed"]
    print(f"{len(missed)} of {len(measurements) - len(LATER)} due budgets missed")
    return 1 if missed else 0


def measure(bundle: Path) -> list[Measurement]:
    """All measurements. The start comes first: a child's peak memory counts from that of its parent."""
    start = measure_start(bundle)
    scorer = Scorer.load(bundle)
    print(f"{scorer.bundle.version}, {scorer.runtime.name}, one thread")
    return [*start, measure_reference(scorer), measure_long_request(scorer), measure_long_conversation(scorer)]


def measure_start(bundle: Path, *, rounds: int = 5) -> list[Measurement]:
    """From starting Python to the first score: the median time, the largest memory, and whether torch came along."""
    times_s: list[float] = []
    told: list[dict[str, float]] = []
    for _ in range(rounds):
        begin = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", START, str(bundle)], stdout=subprocess.PIPE, text=True, check=True)
        times_s.append(time.perf_counter() - begin)
        told.append(json.loads(done.stdout))
    time_s, peak_mb = statistics.median(times_s), max(one["peak_mb"] for one in told)
    has_torch = any(one["has_torch"] for one in told)
    return [
        Measurement("start to first score", "<= 1.5 s", f"{time_s:.2f} s", time_s <= 1.5),
        Measurement("its resident memory", "<= 400 MB", f"{peak_mb:.0f} MB", peak_mb <= 400),
        Measurement("torch in that process", "absent", "loaded" if has_torch else "absent", not has_torch),
    ]


def measure_reference(scorer: Scorer) -> Measurement:
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
    body = body_of_tokens(scorer, 256)

    def run_reference() -> None:
        with torch.inference_mode():
            reference(input_ids=ids, attention_mask=torch.ones_like(ids))

    theirs_ms, ours_ms = time_by_turns(run_reference, lambda: scorer.score(body), rounds=15)
    measured = f"{theirs_ms / ours_ms:.1f}x faster ({ours_ms:.1f} ms, {theirs_ms:.0f} ms)"
    return Measurement("256 tokens, against DeBERTa", ">= 8x faster", measured, theirs_ms >= 8 * ours_ms)


def measure_long_request(scorer: Scorer) -> Measurement:
    """A request of 100,000 characters against one of 1,000, both read whole: by the first stage, where there is one."""
    return _compare(scorer, LONG_REQUEST, 12.0, chat(text_of(1_000)), chat(text_of(100_000)))


def measure_long_conversation(scorer: Scorer) -> Measurement:
    """The 50th message of a conversation against its 2nd, 300 characters each."""
    return _compare(scorer, LONG_CONVERSATION, 1.5, chat(*[text_of(300)] * 2), chat(*[text_of(300)] * 50))


def _compare(scorer: Scorer, name: str, limit: float, short: Body, long: Body) -> Measurement:
    short_ms, long_ms = time_by_turns(lambda: scorer.score(short), lambda: scorer.score(long), rounds=5)
    ratio = long_ms / short_ms
    measured = f"{ratio:.1f}x ({long_ms:.0f} ms, {short_ms:.1f} ms)"
    return Measurement(name, f"<= {limit:g}x", measured, ratio <= limit)


def time_by_turns(first: Callable[[], object], second: Callable[[], object], *, rounds: int) -> tuple[float, float]:
    """Median milliseconds of two calls that take turns, after one call of each that is not counted."""
    first(), second()
    times_ms: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for call, taken in zip((first, second), times_ms, strict=True):
            begin = time.perf_counter()
            call()
            taken.append((time.perf_counter() - begin) * 1000)
    return statistics.median(times_ms[0]), statistics.median(times_ms[1])


def text_of(num_characters: int) -> str:
    """Plain prose of exactly so many characters, no two sentences alike: equal windows would be read once."""
    rng, words = Random(num_characters), PROSE.split()
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
