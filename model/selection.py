"""The cascade: which windows and passages of a long request the encoder reads, by the scores of the first stage.

The first and the last window are always read. The other places go to the windows of the highest scores, neighbours of
one chosen last, and to the highest passages: short windows cut at the borders of paragraphs, so that a demand stands
in one of them without the innocent text around it. A quarter of the places, halved, are passages: the cost of a
request stays under that of `max_encoded_windows` windows, whatever its length. Deterministic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stillwatch.model.first_stage import FirstStage, scale
from stillwatch.model.pooling import FloatArray
from stillwatch.model.windows import Passage, Windower, Windows

MAX_RUN = 4
"""Neighbouring passages that may be read together."""
_LEAST_TOKENS = 8


@dataclass(frozen=True, slots=True)
class Cascade:
    """How long requests are read.

    Attributes:
        first_stage: scores windows and passages.
        max_encoded_windows: windows that the encoder reads, or as much in passages; at least 1.
        passage_margin: what is taken off a passage's extraction logit. Short texts out of their place, and the best of
            many, score higher; the margin is what that is worth in honest requests.
    """

    first_stage: FirstStage
    max_encoded_windows: int
    passage_margin: float


@dataclass(frozen=True, slots=True)
class Selection:
    """What the encoder reads of one request.

    Attributes:
        ids: token ids of each window or passage, special tokens included.
        origins: the index of the window that each of them is, or begins in.
        segments: the index of the segment that each of them is from, for the most part.
        margins: what is taken off the extraction logit of each.
    """

    ids: tuple[tuple[int, ...], ...]
    origins: tuple[int, ...]
    segments: tuple[int, ...]
    margins: tuple[float, ...]


def select_windows(windows: Windows, windower: Windower, cascade: Cascade | None) -> Selection:
    """Choose what the encoder reads: everything, where there is no cascade or the request has no more windows.

    Args:
        windows: all windows of the request.
        windower: what cut them.
        cascade: None to read all.
    """
    if cascade is None or len(windows.ids) <= cascade.max_encoded_windows:
        return Selection(windows.ids, tuple(range(len(windows.ids))), windows.segments, windows.margins)
    num_passages = 2 * (cascade.max_encoded_windows // 4) if windows.passages else 0
    scores = cascade.first_stage.score(windows.ids)
    chosen = rank_spread(scores, windows.ids, cascade.max_encoded_windows - num_passages // 2)
    passages = _choose_passages(windows, windower, cascade.first_stage, num_passages)
    return Selection(
        (*(windows.ids[i] for i in chosen), *passages),
        (*chosen, *(passage.window for passage in passages.values())),
        (*(windows.segments[i] for i in chosen), *(passage.segment for passage in passages.values())),
        (0.0,) * len(chosen) + (cascade.passage_margin,) * len(passages),
    )


def rank_spread(scores: FloatArray, ids: Sequence[tuple[int, ...]], num_chosen: int) -> list[int]:
    """Indices of the first and the last window and those of the highest scores, in reading order.

    A window like one that is chosen already, or beside one, comes after all others.
    """
    chosen = list(dict.fromkeys([0, len(ids) - 1]))[:num_chosen]
    ranked = [int(i) for i in np.argsort(-scores, kind="stable") if i not in chosen]
    taken, put_off = {ids[i] for i in chosen}, []
    picked: set[int] = set()
    for i in ranked:
        if len(chosen) == num_chosen:
            return sorted(chosen)
        if ids[i] in taken or picked & {i - 1, i + 1}:
            put_off.append(i)
            continue
        chosen.append(i)
        picked.add(i)
        taken.add(ids[i])
    return sorted(chosen + put_off[: num_chosen - len(chosen)])


def _choose_passages(
    windows: Windows, windower: Windower, first_stage: FirstStage, num_chosen: int
) -> dict[tuple[int, ...], Passage]:
    """The best runs of passages that hardly overlap: sealed token ids, and the first passage of the run."""
    passages = windows.passages
    most = windower.config.max_tokens // 2 - len(windower.seal(()))
    sums, counts = first_stage.sum_weights([passage.ids for passage in passages])
    segments = np.array([passage.segment for passage in passages])
    lengths = np.array([len(passage.ids) for passage in passages])
    runs = [_score_runs(sums, counts, lengths, segments, size, most) for size in range(1, MAX_RUN + 1)]
    scores = np.concatenate([score for score, _ in runs])
    starts = np.concatenate([start for _, start in runs])
    sizes = np.repeat(np.arange(1, MAX_RUN + 1), [len(start) for _, start in runs])
    chosen: dict[tuple[int, ...], Passage] = {}
    kept: list[range] = []
    for i in np.argsort(-scores, kind="stable"):
        if len(chosen) == num_chosen:
            break
        run = range(int(starts[i]), int(starts[i] + sizes[i]))
        if any(2 * len(range(max(run[0], k[0]), min(run[-1], k[-1]) + 1)) > min(len(run), len(k)) for k in kept):
            continue
        kept.append(run)
        ids = tuple(token for number in run for token in passages[number].ids)[:most]
        marker = windows.markers[passages[run[0]].segment]
        chosen.setdefault(windower.seal((*marker, *ids[: most - len(marker)])), passages[run[0]])
    return chosen


def _score_runs(
    sums: FloatArray,
    counts: FloatArray,
    lengths: NDArray[np.int64],
    segments: NDArray[np.int64],
    size: int,
    most: int,
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Scores and starts of the runs of `size` passages within a segment that fit; one passage alone always does."""
    if len(sums) < size:
        return np.empty(0, np.float32), np.empty(0, np.int64)
    total_sum, total_count, total_length = (
        np.convolve(each, np.ones(size, each.dtype), "valid") for each in (sums, counts, lengths)
    )
    fits = (segments[size - 1 :] == segments[: len(segments) - size + 1]) & (total_length >= _LEAST_TOKENS)
    fits &= (total_length <= most) | (size == 1)
    return scale(total_sum[fits], total_count[fits]), np.flatnonzero(fits)
