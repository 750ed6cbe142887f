"""Resident memory of a service over a long steady run: samples, their trend, and a picture of it beside the p99.

A cache that fills and states that grow to their bound look like a leak for as long as they do, so both are sampled
along, and the trend is told of the last third, too.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from processes import Generator, Server
from replies import Replies

EVERY_S = 5.0
WINDOW_S = 30.0
_MB = 1e6


@dataclass(frozen=True, slots=True)
class Sample:
    """What `/metrics` told once: seconds of `time.monotonic`, bytes, seconds of processor, counts."""

    at_s: float
    resident_mb: float
    cache_mb: float
    cpu_s: float
    num_accounts: float


@dataclass(frozen=True, slots=True)
class Trend:
    """How memory went, in MB and MB a minute; slopes are those of a straight line through the samples.

    Attributes:
        first_mb: mean over the first third.
        last_mb: mean over the last third.
        slope_mb_per_min: over all of it.
        late_slope_mb_per_min: over the last third.
        cache_growth_mb: what the caches took at the end, less what they took at the beginning.
        cpu_share: processors that the service used, on average.
    """

    first_mb: float
    last_mb: float
    slope_mb_per_min: float
    late_slope_mb_per_min: float
    cache_growth_mb: float
    cpu_share: float

    @classmethod
    def measure(cls, samples: list[Sample]) -> Trend:
        """Of at least six samples."""
        at_s, mb = np.array([one.at_s for one in samples]), np.array([one.resident_mb for one in samples])
        third = len(samples) // 3
        first, last = samples[0], samples[-1]
        return cls(
            first_mb=float(mb[:third].mean()),
            last_mb=float(mb[-third:].mean()),
            slope_mb_per_min=60 * float(np.polyfit(at_s, mb, 1)[0]),
            late_slope_mb_per_min=60 * float(np.polyfit(at_s[-third:], mb[-third:], 1)[0]),
            cache_growth_mb=last.cache_mb - first.cache_mb,
            cpu_share=(last.cpu_s - first.cpu_s) / (last.at_s - first.at_s),
        )


def sample_until_over(server: Server, generator: Generator) -> list[Sample]:
    """Ask `/metrics` every few seconds while the generator runs."""
    samples: list[Sample] = []
    while generator.is_running:
        told = server.read_metrics()
        cache = sum(value for name, value in told.items() if name.startswith("stillwatch_cache_bytes"))
        resident, cpu_s = told["process_resident_memory_bytes"], told["process_cpu_seconds_total"]
        at_s = time.monotonic()
        samples.append(Sample(at_s, resident / _MB, cache / _MB, cpu_s, told["stillwatch_accounts"]))
        time.sleep(EVERY_S)
    return samples


def draw_picture(samples: list[Sample], replies: Replies, path: Path) -> None:
    """Memory, caches and p99 over the minutes of a run, as PNG."""
    began_s = replies.began_s
    starts = np.arange(began_s, replies.due_s.max(), WINDOW_S)
    windows = [replies.select((replies.due_s >= start) & (replies.due_s < start + WINDOW_S)) for start in starts]
    figure = Figure(figsize=(8, 5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    minutes = [(one.at_s - began_s) / 60 for one in samples]
    upper.plot(minutes, [one.resident_mb for one in samples], label="resident")
    upper.plot(minutes, [one.cache_mb for one in samples], label="caches")
    upper.set_ylabel("MB")
    upper.set_ylim(bottom=0)
    upper.legend()
    middles = (starts + WINDOW_S / 2 - began_s) / 60
    lower.plot(middles, [one.summarise().scored.p99_ms for one in windows], label=f"p99 of {WINDOW_S:.0f} s")
    lower.plot(middles, [one.summarise().scored.p50_ms for one in windows], label="p50")
    lower.set_ylabel("ms")
    lower.set_xlabel("minutes")
    lower.set_ylim(bottom=0)
    lower.legend()
    figure.savefig(path, dpi=120)
