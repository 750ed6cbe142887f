"""The budgets of a request: start, size, length, a growing conversation."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from clocks import Stopwatch, time_by_turns
from peers import PROMPT_GUARD_22M, build_prompt_guard
from prompts import body_of_tokens, chat, text_of
from rows import Measurement
from stillwatch.serve import Scorer

START = """
import json, resource, sys, time
from stillwatch.serve import Scorer

scorer = Scorer.load(sys.argv[1], runtime="onnxruntime")
scorer.score({"messages": [{"role": "user", "content": "Which plants like shade?"}]})
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps({"cpu_s": time.process_time(), "peak_mb": peak / 1e6, "has_torch": "torch" in sys.modules}))
"""
"""What a fresh process runs: load, score once, tell its processor time and its peak of resident memory."""


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
    """A request of 256 tokens, against the network alone of Prompt Guard 2 22M's shape in float32."""
    body = body_of_tokens(fresh, 256)
    theirs, ours = time_by_turns(build_prompt_guard(PROMPT_GUARD_22M, 256), lambda: fresh.score(body), rounds=15)
    ratio = theirs.cpu_ms / ours.cpu_ms
    name = "256 tokens, against Prompt Guard 2 22M's shape"
    return Measurement(name, ">= 8x faster", f"{ratio:.1f}x: {theirs}, {ours}", ratio >= 8)


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
    scorer = Scorer.load(folder, runtime="onnxruntime")
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
