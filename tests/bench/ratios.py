"""Measures every budget as a ratio, its sides by turns in one run, and beside them peers and this machine's floor.

Run it with `make bench`, or on another bundle: `.venv/bin/python tests/bench/ratios.py --bundle runs/demo/bundle`.
Exits with 1 when a budget is missed; peers and floors decide nothing. All is judged by processor time, all threads of
the process together: on a busy machine the clock on the wall tells about the neighbours. Wall time stands beside it.
The runtime is onnxruntime, the portable one, whatever else is installed.

It measures neither quality, nor a server under many clients (`make load`), nor the time of a recipe.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from budgets import measure_long_conversation, measure_long_request, measure_reference, measure_start
from floor import measure_floors
from following import measure_stream
from peers import measure_peers
from rows import Floor, Measurement, Peer, format_budgets, format_floors, format_peers
from stillwatch.model.bundle import DEFAULT_BUNDLE
from stillwatch.serve import Scorer, StillwatchError


def main() -> int:
    """Measure and print the tables; 1 when a budget is missed, 2 when there is no bundle."""
    parser = argparse.ArgumentParser(description="Measure the budgets as ratios within one run, beside peers.")
    parser.add_argument(
        "--bundle", type=Path, default=DEFAULT_BUNDLE, help="bundle folder; the shipped one if left out"
    )
    parser.add_argument("--json", type=Path, help="a file for all figures")
    arguments = parser.parse_args()
    if not arguments.bundle.is_dir():
        print(f"{arguments.bundle}: no bundle here; train one and name its folder with --bundle", file=sys.stderr)
        return 2
    try:
        return measure(arguments.bundle, arguments.json)
    except StillwatchError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code


def measure(folder: Path, report: Path | None) -> int:
    """All measurements. The start comes first: a child's peak memory counts from that of its parent."""
    start = measure_start(folder)
    fresh = Scorer.load(folder, runtime="onnxruntime", cache_bytes=0)
    load = " ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"{fresh.bundle.version}, {fresh.runtime.name}, one thread")
    print(f"{os.cpu_count()} processors, load {load}, niceness {os.nice(0)}")
    budgets = [
        *start,
        measure_reference(fresh),
        measure_long_request(fresh),
        measure_long_conversation(folder),
        *measure_stream(fresh),
    ]
    print(f"\n{format_budgets(budgets)}")
    missed = [one for one in budgets if not one.keeps]
    print(f"{len(missed)} of {len(budgets)} budgets missed; the service's budget is measured by `make load`\n")
    peers = measure_peers(fresh)
    print(f"{format_peers(peers)}\n")
    floors = measure_floors(fresh)
    print(format_floors(floors))
    if report is not None:
        report.write_text(json.dumps(tell(fresh, budgets, peers, floors), indent=2), "utf-8")
    return 1 if missed else 0


def tell(fresh: Scorer, budgets: list[Measurement], peers: list[Peer], floors: list[Floor]) -> dict[str, object]:
    """All figures as plain values."""
    return {
        "bundle": fresh.bundle.version,
        "runtime": fresh.runtime.name,
        "budgets": [asdict(one) for one in budgets],
        "peers": [asdict(one) | {"ratio": one.ratio} for one in peers],
        "floors": [asdict(one) | {"multiply_adds_per_s": one.rate, "ratio": one.ratio} for one in floors],
    }


if __name__ == "__main__":
    sys.exit(main())
