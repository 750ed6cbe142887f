"""Fits the small parameter file of arrival times from traces of real clients: `stillwatch data fit-arrivals`.

Reads two gzipped CSV files of ServeGen (per client, per ten-minute window) and one of Mooncake (session gaps).
Only quantiles and correlations leave it, never a row. Promises marginals and pairwise rank correlation of the
clients, not their rarer habits; the weekday of the trace's first day is not known, so no weekly shape is fitted.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import NormalDist

import numpy as np

from stillwatch.data.errors import SourceError
from stillwatch.data.streams.arrivals import FORMAT, JOINT, NUM_QUANTILES, WINDOW_S

CLIENTS, WINDOWS, REQUESTS = (f"traces_{name}.csv.gz" for name in ("servegen_clients", "servegen_windows", "mooncake"))
SOURCES = {
    CLIENTS: "alibaba/ServeGen, Apache-2.0: active rate, CV of inter-arrival times and active share of 421 clients",
    WINDOWS: "alibaba/ServeGen, Apache-2.0: active runs, hour of day and autocorrelation of 160 clients' rates",
    REQUESTS: "kvcache-ai/Mooncake, Apache-2.0: gaps between requests of one conversation, by shared prefix",
}
_FEW_WINDOWS = 200  # clients with fewer windows say nothing of days or autocorrelation
_FEW_PAIRS = 50
_FEW_BLOCKS = 2  # the first blocks may be a system prompt that strangers share

Client = tuple[str, str]
Window = tuple[float, float]


def fit_arrivals(folder: Path) -> dict[str, object]:
    """Fit the parameters.

    Args:
        folder: the folder of traces.

    Returns:
        the JSON object that `load_arrivals` reads.

    Raises:
        SourceError: a file is missing or lacks a column.
    """
    clients = _read_clients(folder / CLIENTS)
    windows = _read_windows(folder / WINDOWS)
    joint = {client: (*values, _measure_run(windows.get(client, []))) for client, values in clients.items()}
    columns = [[row[place] for row in joint.values() if row[place] is not None] for place in range(len(JOINT))]
    levels = [level for one in windows.values() if (level := _measure_level(one)) is not None]
    tables = {
        name: _quantiles([v for v in values if v is not None]) for name, values in zip(JOINT, columns, strict=True)
    }
    return {
        "format": FORMAT,
        "sources": [{"file": name, "sha256": _digest(folder / name), "from": SOURCES[name]} for name in SOURCES],
        "clients": len(clients),
        "quantiles": tables
        | {
            "level_sd": _quantiles([sd for sd, _ in levels]),
            "level_lag1": _quantiles([lag for _, lag in levels]),
            "session_gap_s": _quantiles(_find_gaps(folder / REQUESTS)),
        },
        "factor": _factorise(list(joint.values())),
        "hours": _measure_hours(windows.values()),
    }


def _rows(path: Path, *columns: str) -> Iterator[Mapping[str, str]]:
    if not path.is_file():
        raise SourceError(f"{path}: no such trace; give the folder that holds {', '.join(SOURCES)}")
    with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        missing = sorted(set(columns) - set(reader.fieldnames or ()))
        if missing:
            raise SourceError(f"{path}: no column {', '.join(missing)}; give the traces as their README tells")
        yield from reader


def _read_clients(path: Path) -> dict[Client, tuple[float, float, float]]:
    names = ("model", "client", "n_windows", "n_active_windows", "mean_active_rate_rps", "mean_cv")
    return {
        (row["model"], row["client"]): (
            float(row["mean_active_rate_rps"]),
            float(row["mean_cv"]),
            float(row["n_active_windows"]) / float(row["n_windows"]),
        )
        for row in _rows(path, *names)
        if row["mean_cv"] not in ("", "None") and float(row["mean_active_rate_rps"]) > 0
    }


def _read_windows(path: Path) -> dict[Client, list[Window]]:
    windows: dict[Client, list[Window]] = defaultdict(list)
    for row in _rows(path, "model", "client", "window_start_s", "rate_rps"):
        windows[row["model"], row["client"]].append((float(row["window_start_s"]), float(row["rate_rps"])))
    return {client: sorted(rows) for client, rows in windows.items()}


def _measure_run(windows: Sequence[Window]) -> float | None:
    """The mean length of a client's active runs, in windows."""
    if not windows:
        return None
    breaks = sum(after[0] - before[0] > WINDOW_S for before, after in pairwise(windows))
    return len(windows) / (breaks + 1)


def _measure_level(windows: Sequence[Window]) -> tuple[float, float] | None:
    """Standard deviation of a client's log rate, and its correlation from one window to the next."""
    logs = {start: float(np.log(rate)) for start, rate in windows if rate > 0}
    pairs = [(level, logs[start + WINDOW_S]) for start, level in logs.items() if start + WINDOW_S in logs]
    if len(logs) < _FEW_WINDOWS or len(pairs) < _FEW_PAIRS:
        return None
    return float(np.std(list(logs.values()))), max(0.01, float(np.corrcoef(np.array(pairs).T)[0, 1]))


def _measure_hours(clients: Iterable[Sequence[Window]]) -> list[float]:
    shapes = []
    for windows in clients:
        if len(windows) >= _FEW_WINDOWS:
            shape = np.zeros(24)
            for start, rate in windows:
                shape[int(start // 3600) % 24] += rate
            shapes.append(shape / shape.mean())
    middle = np.median(np.array(shapes), axis=0)
    return [round(float(value), 4) for value in middle / middle.mean()]


def _find_gaps(path: Path) -> list[float]:
    """Seconds from a request to the one that carries its prefix on."""
    seen: dict[tuple[str, ...], int] = {}
    gaps: list[float] = []
    rows = [row for row in _rows(path, "trace", "t_ms", "first12_block_ids") if row["trace"] == "conversation"]
    for row in sorted(rows, key=lambda row: int(row["t_ms"])):
        time_ms, blocks = int(row["t_ms"]), tuple(row["first12_block_ids"].split())
        prefixes = [blocks[:length] for length in range(len(blocks), _FEW_BLOCKS - 1, -1)]
        known = next((prefix for prefix in prefixes if prefix in seen), None)
        if known is not None and time_ms > seen[known]:
            gaps.append((time_ms - seen[known]) / 1000)
        seen |= dict.fromkeys(prefixes, time_ms)
    return gaps


def _quantiles(values: Sequence[float]) -> list[float]:
    points = np.quantile(np.array(values), np.linspace(0, 1, NUM_QUANTILES))
    return [float(f"{max(value, 1e-6):.5g}") for value in points]


def _factorise(rows: Sequence[Sequence[float | None]]) -> list[list[float]]:
    """The lower factor of the normal scores' correlation, taken over the clients that have both values."""
    size = len(JOINT)
    matrix = np.eye(size)
    for i in range(size):
        for j in range(i):
            pairs = [(row[i], row[j]) for row in rows if row[i] is not None and row[j] is not None]
            left, right = (_score([pair[side] for pair in pairs]) for side in (0, 1))
            matrix[i, j] = matrix[j, i] = np.corrcoef(left, right)[0, 1]
    values, vectors = np.linalg.eigh(matrix)
    mended = vectors @ np.diag(np.clip(values, 1e-3, None)) @ vectors.T
    scale = np.sqrt(np.diag(mended))
    return [[round(float(x), 5) for x in row] for row in np.linalg.cholesky(mended / np.outer(scale, scale))]


def _score(values: Sequence[float | None]) -> list[float]:
    ranks = np.argsort(np.argsort(np.array(values, dtype=float)))
    return [NormalDist().inv_cdf((rank + 0.5) / len(values)) for rank in ranks]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
