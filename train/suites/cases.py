"""The questions of a suite, answered: groups of rows as they are, and rows that are changed and scored again.

Every rate stands at a threshold found on all rows; it is the system's own, the same in every group.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from stillwatch.data.chance import Chance
from stillwatch.data.labels import Label
from stillwatch.data.records import LabelledRequest
from stillwatch.data.transforms import transform
from stillwatch.data.wrappings import pad
from stillwatch.train.intervals import Interval, iter_resamples, percentile_interval, rate_interval, wilson
from stillwatch.train.progress import bar
from stillwatch.train.suites.answers import Case, CaseGroup, CaseRate
from stillwatch.train.suites.suite import (
    AllCase,
    AmbiguousCase,
    AnyCase,
    ChangedCase,
    LanguagesCase,
    LengthsCase,
    PaddingCase,
    SourcesCase,
    TransformsCase,
)
from stillwatch.train.suites.systems import Scores, System
from stillwatch.train.summary import by_slice
from stillwatch.train.validation import draw_evenly

Thresholds = Mapping[float, float]
"""The threshold of each false-positive rate."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What cases are asked of.

    Attributes:
        records: every row.
        systems: the model first.
        scores: of each system, shape (records,).
        thresholds: of each system, found on all asked.
        seed: of draws, changes and bootstraps.
        num_replicates: bootstrap replicates.
    """

    records: Sequence[LabelledRequest]
    systems: Sequence[System]
    scores: Sequence[Scores]
    thresholds: Sequence[Thresholds]
    seed: int
    num_replicates: int


@dataclass(frozen=True, slots=True)
class Change:
    """One way of changing records: what its group is called, and the function."""

    name: str
    strength: float | None
    num_characters: int | None
    apply: Callable[[LabelledRequest], LabelledRequest]


def answer_case(case: AnyCase, asked: Asked) -> Case:
    """Answer one question of a suite."""
    if isinstance(case, PaddingCase | TransformsCase):
        return _answer_changed(case, asked)
    notes: list[str] = []
    groups, missing = _group(case, asked.records)
    if not groups:
        notes.append("none of the rows is of this kind, so that nothing was measured")
    return Case(case.name, case.kind, case.title, tuple(notes), missing, tuple(_measure_groups(groups, asked)))


def _group(case: AnyCase, records: Sequence[LabelledRequest]) -> tuple[dict[str, list[int]], tuple[str, ...]]:
    """Indices of each group of a case without changes, and what of it is not among the records."""
    decided = [index for index, record in enumerate(records) if record.is_decided]
    match case:
        case AllCase():
            return _collect(("all", index) for index in decided), ()
        case AmbiguousCase():
            chosen = [index for index, record in enumerate(records) if record.label is Label.AMBIGUOUS]
            return _collect((records[index].source, index) for index in chosen), ()
        case SourcesCase():
            chosen = [index for index in decided if records[index].label.value in case.labels]
            named = [index for index in chosen if any(_fits(records[index].source, name) for name in case.sources)]
            present = {records[index].source for index in named}
            missing = [name for name in case.sources if not any(_fits(source, name) for source in present)]
            return _collect((records[index].source, index) for index in named), tuple(missing)
        case LanguagesCase():
            counts = Counter(records[index].lang for index in decided)
            frequent = {lang for lang, count in counts.items() if count >= case.min_records}
            return _collect((records[i].lang if records[i].lang in frequent else "other", i) for i in decided), ()
        case LengthsCase():
            found = _collect((_bucket(records[i].request.num_characters, case.edges), i) for i in decided)
            names = [_bucket(edge, case.edges) for edge in (0, *case.edges)]
            return {name: found[name] for name in names if name in found}, tuple(n for n in names if n not in found)
    raise AssertionError(case.kind)


def _collect(pairs: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for name, index in pairs:
        groups.setdefault(name, []).append(index)
    return {name: groups[name] for name in sorted(groups)}


def _fits(source: str, name: str) -> bool:
    return source.startswith(name[:-1]) if name.endswith("*") else source == name


def _bucket(num_characters: int, edges: Sequence[int]) -> str:
    place = int(np.searchsorted(edges, num_characters, side="right"))
    if place == 0:
        return f"below {edges[0]:,} characters"
    if place == len(edges):
        return f"from {edges[-1]:,} characters"
    return f"{edges[place - 1]:,} to {edges[place]:,} characters"


def _measure_groups(groups: Mapping[str, Sequence[int]], asked: Asked) -> Iterator[CaseGroup]:
    for name, indices in groups.items():
        chosen = [asked.records[index] for index in indices]
        labels = np.array([int(record.is_extraction) for record in chosen])
        rates = [
            CaseRate.of_unchanged(system.name, rate)
            for system, scores, thresholds in zip(asked.systems, asked.scores, asked.thresholds, strict=True)
            for rate in by_slice(
                labels,
                scores[list(indices)],
                [record.family for record in chosen],
                [name] * len(chosen),
                thresholds=thresholds,
                seed=asked.seed,
                num_replicates=asked.num_replicates,
            )
        ]
        yield CaseGroup(name, None, None, tuple(record.id for record in chosen), (), tuple(rates))


def _answer_changed(case: PaddingCase | TransformsCase, asked: Asked) -> Case:
    readers = [system for system in asked.systems if system.reads_text]
    notes = [f"{s.name} reads no text and has no score for changed requests" for s in asked.systems if not s.reads_text]
    indices = _draw(case, asked)
    groups: list[CaseGroup] = []
    if readers and indices:
        changes = list(_list_changes(case, asked.seed))
        chosen = [asked.records[index] for index in indices]
        notes.append(f"on {len(indices)} of the rows, dealt evenly over families")
        with bar(f"scoring {case.name}", len(changes) * len(readers) * len(chosen), "requests") as advance:
            for change in changes:
                changed = [change.apply(record).request for record in chosen]
                scores = [
                    system.score(changed, advance).scores if system.reads_text else None for system in asked.systems
                ]
                rates = tuple(_compare(asked, indices, scores))
                columns = tuple(() if each is None else tuple(each.tolist()) for each in scores)
                ids = tuple(record.id for record in chosen)
                groups.append(CaseGroup(change.name, change.strength, change.num_characters, ids, columns, rates))
    return Case(case.name, case.kind, case.title, tuple(notes), (), tuple(groups))


def _draw(case: ChangedCase, asked: Asked) -> list[int]:
    """Indices of decided records, evenly over families, for each label of the case."""
    places = {record.id: index for index, record in enumerate(asked.records)}
    drawn: list[int] = []
    for label in case.labels:
        able = [record for record in asked.records if record.is_decided and record.label.value == label]
        drawn += sorted(places[record.id] for record in draw_evenly(able, case.max_records, asked.seed))
    return drawn


def _list_changes(case: PaddingCase | TransformsCase, seed: int) -> Iterator[Change]:
    if isinstance(case, PaddingCase):
        for length in case.num_characters:
            yield Change(f"{length:,} characters", None, length, partial(bury, num_characters=length, seed=seed))
        return
    for name in case.names:
        for strength in case.strengths:
            yield Change(name, strength, None, partial(transform, name=name, strength=strength, seed=seed))


def bury(record: LabelledRequest, *, num_characters: int, seed: int) -> LabelledRequest:
    """The record with its last user turn somewhere in that many characters of innocent text."""
    chance = Chance(f"{seed}/padding/{num_characters}/{record.id}")
    messages = pad(record.request.messages, num_characters, chance, record.lang)
    return replace(
        record, request=replace(record.request, messages=messages, id=f"{record.id}+padding@{num_characters}")
    )


def _compare(asked: Asked, indices: Sequence[int], changed: Sequence[Scores | None]) -> Iterator[CaseRate]:
    """Rates of changed records beside those of the same records as they were, by system, label and threshold."""
    chosen = [asked.records[index] for index in indices]
    labels = np.array([record.is_extraction for record in chosen])
    for system, scores, after, thresholds in zip(asked.systems, asked.scores, changed, asked.thresholds, strict=True):
        if after is None:
            continue
        before = scores[list(indices)]
        for label in (True, False):
            picked = labels == label
            if not picked.any():
                continue
            units = _number([record.family for record, pick in zip(chosen, picked, strict=True) if pick])
            pair = _Pair(before[picked], after[picked], units, asked.seed, asked.num_replicates)
            for fpr, threshold in thresholds.items():
                yield pair.rate(system.name, label, fpr, threshold)


class _Pair:
    """Scores of the same records before and after a change, and their resamples over families."""

    def __init__(self, before: Scores, after: Scores, units: NDArray[np.int64], seed: int, num_replicates: int) -> None:
        self._before, self._after = before, after
        self._num_families = int(units.max()) + 1
        resamples = iter_resamples(
            units, np.ones(self._num_families, np.bool_), seed=seed, num_replicates=num_replicates
        )
        self._weights = np.stack([weights / weights.sum() for weights in resamples])
        drops = before - after
        self._drop = percentile_interval(float(drops.mean()), self._weights @ drops)

    def rate(self, system: str, is_extraction: bool, fpr: float, threshold: float) -> CaseRate:
        clean, hits = (self._rate(values >= threshold) for values in (self._before, self._after))
        kept = None
        if clean[0]:
            with np.errstate(invalid="ignore", divide="ignore"):
                ratios = np.where(clean[1] > 0, hits[1] / clean[1], np.nan)
            kept = percentile_interval(hits[0] / clean[0], ratios)
            if kept.low == kept.high:  # no resample differs: the next record may, so tell how few stand behind it
                num_clean = int((self._before >= threshold).sum())
                blind = wilson(num_clean if kept.value else 0, num_clean)
                kept = Interval(min(kept.value, blind.low), kept.value, max(kept.value, blind.high))
        return CaseRate(
            system=system,
            is_extraction=is_extraction,
            fpr=fpr,
            threshold=threshold,
            num_records=len(self._before),
            num_families=self._num_families,
            rate=self._interval(*hits),
            clean=self._interval(*clean),
            kept=kept,
            score_drop=self._drop,
        )

    def _rate(self, flags: NDArray[np.bool_]) -> tuple[float, NDArray[np.float64]]:
        return float(flags.mean()), self._weights @ flags

    def _interval(self, value: float, replicates: NDArray[np.float64]) -> Interval:
        return rate_interval(value, replicates, num_families=self._num_families, num_records=len(self._before))


def _number(families: Sequence[str]) -> NDArray[np.int64]:
    return np.unique(families, return_inverse=True)[1].astype(np.int64)
