"""How production clients send: drawn from the quantile tables of `arrivals.json`, fitted from public traces.

The clients of the traces are large apps. Whoever is smaller is thinned: the same rhythm, fewer requests.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from statistics import NormalDist

from stillwatch.data.errors import ConfigError

SHIPPED_ARRIVALS = Path(__file__).parent / "arrivals.json"
"""The fitted file that the package ships."""

FORMAT = "stillwatch-arrivals/1"
"""The layout's name and version."""

JOINT = ("rate_rps", "cv", "active_share", "active_run_windows")
"""What is drawn together, with the correlation of the clients."""

ALONE = ("level_sd", "level_lag1", "session_gap_s")
"""What is drawn on its own."""

NUM_QUANTILES = 41
"""Points of a quantile table, evenly spaced from the smallest to the largest."""

WINDOW_S = 600.0
"""Length of the traces' windows."""

_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Client:
    """How one production client sends.

    Attributes:
        rate_rps: requests a second while it is active.
        cv: coefficient of variation of its inter-arrival times.
        active_share: share of the ten-minute windows in which it sends.
        active_run_windows: mean length of its active runs, in windows.
        level_sd: standard deviation of its log rate.
        level_lag1: correlation of its log rate from one window to the next.
    """

    rate_rps: float
    cv: float
    active_share: float
    active_run_windows: float
    level_sd: float
    level_lag1: float


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The fitted parameters.

    Attributes:
        quantiles: by name, `NUM_QUANTILES` rising values.
        factor: lower factor (4 by 4) of the correlation of the normal scores of `JOINT`.
        hours: relative rate by hour of the day, 24 values of mean 1.
    """

    quantiles: Mapping[str, Sequence[float]]
    factor: Sequence[Sequence[float]]
    hours: Sequence[float]

    def draw_client(self, chance: Random) -> Client:
        """Draw one client: marginals from the tables, together as the clients of the trace are."""
        normals = [chance.gauss(0.0, 1.0) for _ in JOINT]
        scores = [sum(a * b for a, b in zip(row, normals, strict=True)) for row in self.factor]
        joint = [self.read(name, _NORMAL.cdf(score)) for name, score in zip(JOINT, scores, strict=True)]
        return Client(*joint, *(self.read(name, chance.random()) for name in ALONE[:2]))

    def read(self, name: str, share: float) -> float:
        """The value of a table below which `share` (0 to 1) of the clients lie, between points on a log scale."""
        table = self.quantiles[name]
        place = min(max(share, 0.0), 1.0) * (len(table) - 1)
        low = min(int(place), len(table) - 2)
        part = place - low
        return math.exp((1 - part) * math.log(table[low]) + part * math.log(table[low + 1]))


@cache
def load_arrivals(path: Path = SHIPPED_ARRIVALS) -> Arrivals:
    """Read a fitted file.

    Args:
        path: the file; the shipped one unless told.

    Raises:
        ConfigError: the file is missing or was not made by `stillwatch data fit-arrivals`.
    """
    remedy = "make it with `stillwatch data fit-arrivals`"
    try:
        fitted = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file; {remedy}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON; {remedy}") from error
    if not isinstance(fitted, dict) or fitted.get("format") != FORMAT:
        raise ConfigError(f"{path}: not of format {FORMAT}; {remedy}")
    quantiles = fitted["quantiles"]
    for name in (*JOINT, *ALONE):
        table = quantiles.get(name, ())
        if len(table) != NUM_QUANTILES or sorted(table) != table or table[0] <= 0:
            raise ConfigError(f"{path}: quantiles.{name}: not {NUM_QUANTILES} rising numbers above 0; {remedy}")
    return Arrivals(quantiles, fitted["factor"], fitted["hours"])
