"""Loads a real `stillwatch serve` on loopback, prints one table and writes it as JSON; `make load`.

    .venv/bin/python tests/load/measure.py --phases closed overload --seconds 20

closed: clients that wait for their reply, 32 and 256 of them. steady: memory over many minutes at half of what 32
clients got. overload: three times of that, with a deadline of 150 ms. drain: SIGTERM under load. peer: against one
request at a time, the same bundle. quick: 8 clients and a SIGTERM, in seconds. Exits with 1 when a goal is missed.

The load generator runs on the processors of the service and takes its share of them, which is told; a service with the
machine for itself does better. Requests are invented (`traffic.py`), so nothing here tells of quality.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from memory import Trend, draw_picture, sample_until_over
from processes import Generator, Load, Server, read_others_s, start_peer, start_service
from replies import Replies, Summary
from traffic import build_stock

WARM_S = 5.0
OVERLOAD_S = 60.0
DEADLINE_MS = 150
NUM_CLIENTS = 32


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; `keeps` is None where there is no goal."""

    what: str
    measured: str
    goal: str = ""
    keeps: bool | None = None

    @property
    def outcome(self) -> str:
        """`met`, `missed` or nothing."""
        return "" if self.keeps is None else "met" if self.keeps else "missed"


class Session:
    """One load test: its folder, what it was told, and what it found so far."""

    def __init__(self, out: Path, *, seconds: float, minutes: float, capacity_per_s: float) -> None:
        """Make the folder and the sentences.

        Args:
            out: folder of logs, replies, picture and results.
            seconds: length of a closed run, and of each turn against the peer.
            minutes: length of the steady run.
            capacity_per_s: what 32 clients get, where it is known; 0 to measure it.
        """
        out.mkdir(parents=True, exist_ok=True)
        self.out, self.seconds, self.minutes = out, seconds, minutes
        self._capacity_per_s = capacity_per_s
        self._stock = out / "stock.json"
        build_stock(self._stock)
        self.rows: list[Row] = []
        self.runs: dict[str, Summary] = {}
        self.trend: Trend | None = None

    def run(self, phase: str) -> None:
        """Run a phase, and note what the machine did beside it."""
        print(f"{phase} ...", flush=True)
        began_s, others_s = time.monotonic(), read_others_s()
        self.rows.append(Row(phase, ""))
        PHASES[phase](self)
        share = (read_others_s() - others_s) / (time.monotonic() - began_s)
        self.rows.append(Row("  other work on this machine", f"{share:.2f} processors"))

    def ask(self, server: Server, name: str, load: Load) -> Generator:
        """Start the generator on a server."""
        return Generator(server.url, self._stock, self.out, name, load)

    def note(self, name: str, replies: Replies) -> Summary:
        """Keep the figures of a run."""
        summary = self.runs[name] = replies.summarise()
        return summary

    def find_capacity(self) -> float:
        """Verdicts a second of 32 clients."""
        if not self._capacity_per_s:
            with start_service(self.out, "capacity") as server:
                load = Load("mixed", self.seconds + WARM_S, num_clients=NUM_CLIENTS)
                replies = self.ask(server, "capacity", load).wait().skip(WARM_S)
            self._capacity_per_s = self.note("capacity", replies).scored_per_s
        return self._capacity_per_s

    def measure_closed(self) -> None:
        """Clients in a closed loop, 32, 256 that wait as Retry-After says, and 256 that do not."""
        with start_service(self.out, "closed") as server:
            for num_clients, is_patient in ((NUM_CLIENTS, True), (256, True), (256, False)):
                load = Load("mixed", self.seconds + WARM_S, num_clients=num_clients, is_patient=is_patient)
                name = f"closed_{num_clients}{'' if is_patient else '_impatient'}"
                replies = self.ask(server, name, load).wait().skip(WARM_S)
                summary = self.note(name, replies)
                what = f"{num_clients} clients{'' if is_patient else ', at once again'}"
                self.rows.append(Row(what, _tell(summary), "no error", summary.error_share == 0))
                if num_clients == NUM_CLIENTS:
                    self._capacity_per_s = self._capacity_per_s or summary.scored_per_s
                    for kind, part in replies.list_kinds().items():
                        self.rows.append(Row(f"  {kind}", _tell_latency(self.note(f"{name}_{kind}", part))))

    def measure_steady(self) -> None:
        """Memory over minutes at half of the capacity."""
        per_s = self.find_capacity() / 2
        with start_service(self.out, "steady") as server:
            generator = self.ask(server, "steady", Load("mixed", 60 * self.minutes, per_s=per_s))
            samples = sample_until_over(server, generator)
            replies = generator.wait()
        summary, trend = self.note("steady", replies.skip(WARM_S)), Trend.measure(samples)
        self.trend = trend
        draw_picture(samples, replies, self.out / "steady.png")
        self.rows += [
            Row(
                f"{self.minutes:g} min at {per_s:.0f}/s",
                f"{_tell(summary)}; {trend.cpu_share:.2f} processors",
                "no error",
                summary.error_share == 0,
            ),
            Row(
                "  resident memory",
                f"{trend.first_mb:.0f} MB, {trend.last_mb:.0f} MB in first and last third; "
                f"{trend.slope_mb_per_min:+.2f} MB/min, {trend.late_slope_mb_per_min:+.2f} in the last third; "
                f"caches {trend.cache_growth_mb:+.0f} MB",
            ),
        ]

    def measure_overload(self) -> None:
        """Three times the capacity, whatever becomes of it."""
        per_s = 3 * self.find_capacity()
        with start_service(self.out, "overload") as server:
            load = Load("mixed", OVERLOAD_S + WARM_S, per_s=per_s, deadline_ms=DEADLINE_MS)
            before = _count_answers(server)
            whole = self.ask(server, "overload", load).wait()
            answers = {status: num - before.get(status, 0) for status, num in _count_answers(server).items()}
        summary, sent = self.note("overload", whole.skip(WARM_S)), whole.summarise()
        p99_ms, is_whole = summary.scored.p99_ms, answers == sent.statuses
        at_once, refused = summary.refused_at_once, summary.refused
        counts = f"{sent.num_sent} sent, {sent.num_unanswered} unanswered, {sum(answers.values())} in /metrics"
        self.rows += [
            Row(f"{per_s:.0f}/s, {DEADLINE_MS} ms", _tell(summary), "p99 < 200 ms", p99_ms < 200),
            Row("  429 at once", f"p50 {at_once.p50_ms:.0f} ms, p99 {at_once.p99_ms:.0f} ms"),
            Row("  429 or 503", f"p50 {refused.p50_ms:.0f} ms, p99 {refused.p99_ms:.0f} ms"),
            Row("  calls", counts, "both sides alike", is_whole),
        ]

    def measure_drain(self, *, rounds: int = 3, num_clients: int = NUM_CLIENTS, seconds: float = 12.0) -> None:
        """SIGTERM in the middle of a closed run, on a service of its own each time."""
        for number in range(1, rounds + 1):
            with start_service(self.out, f"drain_{number}") as server:
                load = Load("mixed", seconds, num_clients=num_clients, is_patient=True)
                generator = self.ask(server, f"drain_{number}", load)
                time.sleep(seconds / 2)
                began_s = time.monotonic()
                code = server.end()
                ended_s = time.monotonic() - began_s
                events = {event["event"] for event in server.read_events()}
                replies = generator.wait()
            summary = self.note(f"drain_{number}", replies)
            late = int((replies.ended_s[replies.status > 0] > began_s).sum())
            measured = (
                f"{summary.num_sent} sent, {late} answered after the signal, {summary.num_unanswered} lost, "
                f"{summary.share(429, 503):.1%} refused; it ended after {ended_s:.1f} s with {code}"
            )
            is_clean = code == 0 and "stopped" in events and late > 0
            keeps = is_clean and not summary.num_unanswered
            self.rows.append(Row(f"SIGTERM, {num_clients} clients", measured, "none lost", keeps))

    def measure_peer(self, *, rounds: int = 2) -> None:
        """Service and peer by turns, on unrelated requests and on growing conversations."""
        patience = "queue.deadline_ms=600000"  # the peer has no deadline, and refuses nobody
        with (
            start_service(self.out, "service", patience) as service,
            start_peer(self.out, "peer", service.runtime) as peer,
        ):
            for mixture in ("unrelated", "conversations"):
                load = Load(mixture, self.seconds + WARM_S, num_clients=NUM_CLIENTS)
                per_s: dict[str, list[float]] = {"service": [], "peer": []}
                for number in range(1, rounds + 1):
                    for name, server in (("peer", peer), ("service", service)):
                        replies = self.ask(server, f"{mixture}_{name}_{number}", load).wait().skip(WARM_S)
                        per_s[name].append(self.note(f"{mixture}_{name}_{number}", replies).scored_per_s)
                ours, theirs = (sum(per_s[name]) / rounds for name in ("service", "peer"))
                measured = f"{ours / theirs:.1f}x: {ours:.1f}/s, {theirs:.1f}/s"
                self.rows.append(Row(f"{mixture}, against the peer", measured, ">= 3x", ours >= 3 * theirs))

    def measure_quick(self) -> None:
        """A SIGTERM among 8 clients."""
        self.measure_drain(rounds=1, num_clients=8, seconds=8.0)

    def finish(self) -> bool:
        """Print the table, write the results; whether all goals are met."""
        load = " ".join(f"{one:.1f}" for one in os.getloadavg())
        conditions = f"{os.cpu_count()} processors, shared with the load generator; load now {load}"
        print(conditions)
        print(_format_table(self.rows))
        results = {
            "conditions": conditions,
            "capacity_per_s": self._capacity_per_s,
            "rows": [asdict(row) | {"outcome": row.outcome} for row in self.rows],
            "runs": {name: asdict(summary) for name, summary in self.runs.items()},
            "memory": None if self.trend is None else asdict(self.trend),
        }
        (self.out / "results.json").write_text(json.dumps(results, indent=2) + "\n", "utf-8")
        return not any(row.keeps is False for row in self.rows)


PHASES: dict[str, Callable[[Session], None]] = {
    "closed": Session.measure_closed,
    "overload": Session.measure_overload,
    "drain": Session.measure_drain,
    "peer": Session.measure_peer,
    "steady": Session.measure_steady,
    "quick": Session.measure_quick,
}


def main() -> int:
    """Run the phases; see the module."""
    parser = argparse.ArgumentParser(description="Load a real service and its peer on loopback.")
    parser.add_argument("--out", type=Path, default=Path("runs/load"), help="folder of results (runs/load)")
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=[name for name in PHASES if name != "quick"])
    parser.add_argument("--seconds", type=float, default=30.0, help="of a closed run (30)")
    parser.add_argument("--minutes", type=float, default=20.0, help="of the steady run (20)")
    parser.add_argument("--capacity", type=float, default=0.0, help="verdicts a second, instead of measuring it")
    told = parser.parse_args()
    session = Session(told.out.resolve(), seconds=told.seconds, minutes=told.minutes, capacity_per_s=told.capacity)
    is_kept = False
    try:
        for phase in told.phases:
            session.run(phase)
    finally:  # what was measured until then is worth having
        is_kept = session.finish()
    return int(not is_kept)


def _count_answers(server: Server) -> dict[int, int]:
    """Calls of `/v1/score` that the service says it answered, by status."""
    name = "stillwatch_http_requests_total route=/v1/score status="
    return {int(key[len(name) :]): int(num) for key, num in server.read_metrics().items() if key.startswith(name)}


def _tell_latency(summary: Summary) -> str:
    scored = summary.scored
    return f"p50 {scored.p50_ms:.0f}, p95 {scored.p95_ms:.0f}, p99 {scored.p99_ms:.0f} ms"


def _tell(summary: Summary) -> str:
    parts = [f"{summary.scored_per_s:.1f}/s", _tell_latency(summary)]
    parts.append(f"{summary.share(429):.1%} 429, {summary.share(503):.1%} 503, {summary.error_share:.1%} errors")
    if summary.late_starts:
        parts.append(f"{summary.late_starts:.1%} sent late")
    return "; ".join([*parts, f"generator {summary.generator_share:.2f} processors"])


def _format_table(rows: list[Row]) -> str:
    lines = [("what", "measured", "goal", "outcome")]
    lines += [(row.what, row.measured, row.goal, row.outcome) for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


if __name__ == "__main__":
    sys.exit(main())
