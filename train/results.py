"""What was measured: every system on the same rows, with intervals, and the slices of the first one.

Records that one request does not decide (ambiguous ones, and extraction that only a stream shows) stand in no
metric. They are told aside, at the thresholds of the whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from stillwatch.data.errors import InputError
from stillwatch.data.labels import Label
from stillwatch.data.records import LabelledRequest
from stillwatch.train.intervals import Interval, wilson
from stillwatch.train.metrics import tpr_at_fpr
from stillwatch.train.summary import FPRS, MetricSet, SliceRate, by_slice, summarise

Scores = NDArray[np.float64]

STREAM_ONLY = "extraction visible in the stream only"
"""What records are called that look ordinary one by one."""

DIMENSIONS = ("technique", "family", "language", "source", "length")


class Labelled(Protocol):
    """What is asked of anything that falls into one of the kinds of `group_records`."""

    @property
    def label(self) -> str:
        """`benign`, `extraction` or `ambiguous`."""
        ...

    @property
    def is_extraction(self) -> bool:
        """Whether the label is `extraction`."""
        ...

    @property
    def is_decided(self) -> bool:
        """Whether one request decides the label."""
        ...


L = TypeVar("L", bound=Labelled)


@dataclass(frozen=True, slots=True)
class Row:
    """A record without its text: all that figures and slices hang on; `technique` is None for other than extraction."""

    source: str
    family: str
    label: str
    technique: str | None
    language: str
    num_characters: int
    is_decided: bool

    @property
    def is_extraction(self) -> bool:
        """Whether the label is `extraction`."""
        return self.label == Label.EXTRACTION

    @classmethod
    def of(cls, record: LabelledRequest) -> Self:
        """The row of a record."""
        return cls(
            source=record.source,
            family=record.family,
            label=record.label.value,
            technique=record.technique.value if record.technique else None,
            language=record.lang,
            num_characters=record.request.num_characters,
            is_decided=record.is_decided,
        )


@dataclass(frozen=True, slots=True)
class Results:
    """A table of systems, and slices of the system that stands first.

    Attributes:
        systems: all figures by system.
        fold_tprs: TPR at each of `FPRS` by system, one entry a fold, each with its fold's own threshold.
        slices: rates of groups at the thresholds of the whole, by dimension of `DIMENSIONS`.
        aside: the same rates of records that are not decided, by kind.
        techniques: share of extraction records whose technique was named rightly, by technique.
    """

    systems: dict[str, MetricSet]
    fold_tprs: dict[str, tuple[tuple[float, ...], ...]]
    slices: dict[str, tuple[SliceRate, ...]]
    aside: tuple[SliceRate, ...]
    techniques: dict[str, Interval]

    @property
    def first(self) -> MetricSet:
        """The figures of the system that stands first."""
        return next(iter(self.systems.values()))

    def mean_over_folds(self, system: str, fpr: float) -> float:
        """Mean over folds of a system's TPR, each fold at its own threshold."""
        column = FPRS.index(fpr)
        return float(np.mean([fold[column] for fold in self.fold_tprs[system]]))

    def to_json(self) -> dict[str, object]:
        """A JSON object with every field."""
        return {
            "systems": {name: metrics.to_json() for name, metrics in self.systems.items()},
            "fold_tprs": {name: [list(fold) for fold in folds] for name, folds in self.fold_tprs.items()},
            "slices": {name: [rate.to_json() for rate in rates] for name, rates in self.slices.items()},
            "aside": [rate.to_json() for rate in self.aside],
            "techniques": {name: interval.to_json() for name, interval in self.techniques.items()},
        }

    def write(self, path: Path) -> None:
        """Write `to_json` as a file."""
        path.write_text(json.dumps(self.to_json(), indent=2) + "\n", "utf-8")


def measure(
    records: Sequence[LabelledRequest],
    systems: Mapping[str, Scores],
    *,
    folds: NDArray[np.int64] | None = None,
    technique_guesses: Sequence[str] | None = None,
    seed: int,
    num_replicates: int = 500,
) -> Results:
    """Measure systems on scored records; see `measure_rows`."""
    return measure_rows(
        [Row.of(record) for record in records],
        systems,
        folds=folds,
        technique_guesses=technique_guesses,
        seed=seed,
        num_replicates=num_replicates,
    )


def measure_rows(
    records: Sequence[Row],
    systems: Mapping[str, Scores],
    *,
    folds: NDArray[np.int64] | None = None,
    technique_guesses: Sequence[str] | None = None,
    seed: int,
    num_replicates: int = 500,
) -> Results:
    """Measure systems on the rows of scored records.

    Args:
        records: with both labels among them.
        systems: scores by system, each of shape (records,), higher for extraction; the first one gets the slices.
        folds: fold number of each record, when scores come from several models.
        technique_guesses: the most probable technique of each record, by the first system.
        seed: of the bootstrap.
        num_replicates: bootstrap replicates.

    Raises:
        InputError: a label is missing.
    """
    require_both_labels(records)
    decided = np.array([record.is_decided for record in records])
    kept = [record for record, keep in zip(records, decided, strict=True) if keep]
    labels = np.array([int(record.is_extraction) for record in kept])
    fold_numbers = np.zeros(len(records), np.int64) if folds is None else folds
    metrics = {
        name: summarise(labels, s[decided], [r.family for r in kept], seed=seed, num_replicates=num_replicates)
        for name, s in systems.items()
    }
    fold_tprs = {
        name: tuple(_fold_tprs(labels, s[decided], fold_numbers[decided] == fold) for fold in np.unique(fold_numbers))
        for name, s in systems.items()
    }
    first, scores = next(iter(metrics.values())), next(iter(systems.values()))
    families = [record.family for record in kept]
    slices = {
        name: by_slice(
            labels,
            scores[decided],
            families,
            groups,
            thresholds=first.thresholds,
            seed=seed,
            num_replicates=num_replicates,
        )
        for name, groups in _groups(kept).items()
    }
    return Results(
        systems=metrics,
        fold_tprs=fold_tprs,
        slices=slices,
        aside=tuple(_rates_aside(records, scores, first.thresholds)),
        techniques=_technique_rates(records, technique_guesses) if technique_guesses is not None else {},
    )


def group_records(records: Iterable[L]) -> dict[str, list[L]]:
    """Records by what one request says of them; kinds that do not occur are left out."""
    groups: dict[str, list[L]] = {}
    for record in records:
        stream_only = record.is_extraction and not record.is_decided
        groups.setdefault(STREAM_ONLY if stream_only else str(record.label), []).append(record)
    return groups


def require_both_labels(records: Sequence[Labelled]) -> None:
    """Refuse records that no rate can be told of.

    Raises:
        InputError: one of the labels `benign` and `extraction` is missing.
    """
    missing = {str(Label.BENIGN), str(Label.EXTRACTION)} - {
        str(record.label) for record in records if record.is_decided
    }
    if missing:
        named = " and no ".join(sorted(missing))
        raise InputError(
            "label", f"no {named} record", "give benign and request-visible extraction records; rates need both"
        )


def _rates_aside(records: Sequence[Row], scores: Scores, thresholds: Mapping[float, float]) -> Iterator[SliceRate]:
    undecided = [(record, score) for record, score in zip(records, scores, strict=True) if not record.is_decided]
    for name, group in group_records(record for record, _ in undecided).items():
        ids = {id(record) for record in group}
        values = np.array([score for record, score in undecided if id(record) in ids])
        for fpr, threshold in thresholds.items():
            yield SliceRate(
                group=name,
                is_extraction=name == STREAM_ONLY,
                num_records=len(group),
                num_families=len({record.family for record in group}),
                fpr=fpr,
                threshold=threshold,
                rate=wilson(int((values >= threshold).sum()), len(values)),
            )


def _fold_tprs(labels: NDArray[np.int64], scores: Scores, chosen: NDArray[np.bool_]) -> tuple[float, ...]:
    return tuple(tpr_at_fpr(labels[chosen], scores[chosen], fpr) for fpr in FPRS)


def _groups(records: Sequence[Row]) -> dict[str, list[str | None]]:
    return {
        "technique": [r.technique for r in records],
        "family": [r.family for r in records],
        "language": [r.language for r in records],
        "source": [r.source for r in records],
        "length": [name_length(r.num_characters) for r in records],
    }


def name_length(num_characters: int) -> str:
    """The group of the `length` dimension that a record of so many characters stands in."""
    for limit in (300, 1_000, 3_000, 10_000):
        if num_characters < limit:
            return f"below {limit:>6,} characters"
    return "from  10,000 characters"


def _technique_rates(records: Sequence[Row], guesses: Sequence[str]) -> dict[str, Interval]:
    rates = {}
    for technique in sorted({r.technique for r in records if r.technique and r.is_extraction and r.is_decided}):
        hits = [
            g == technique
            for r, g in zip(records, guesses, strict=True)
            if r.technique == technique and r.is_extraction and r.is_decided
        ]
        rates[technique] = wilson(sum(hits), len(hits))
    return rates
