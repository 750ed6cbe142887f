"""An evaluation: several systems on the same rows, as one frozen object that is written to JSON and read back.

Reports, comparisons and gates read nothing else. It holds ids, figures and scores, never text of a request. Where
a list says "by system" or "in the order of the systems", the order is that of `Evaluation.systems`; the first is the
model in question, the others stand beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import TypeAdapter, ValidationError

from stillwatch.data.errors import InputError, kind_of
from stillwatch.train.intervals import Interval
from stillwatch.train.summary import FPRS, MetricSet, SliceRate

FORMAT_VERSION = 1
"""Raised when a file of an older program can no longer be read."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class DataInfo:
    """The rows that were scored.

    Attributes:
        name: file name of the data, or what made it; never a path of a machine.
        digest: SHA-256 over the records in their order; the same digest means the same rows.
        num_records: by kind: `benign`, `extraction`, `ambiguous`, or `results.STREAM_ONLY`.
        num_families: the same for families.
    """

    name: str
    digest: str
    num_records: Mapping[str, int]
    num_families: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Cost:
    """Time of scoring, measured in this run one request at a time: a figure of this machine at this hour.

    Attributes:
        median_ms: milliseconds a request at the median.
        median_ms_per_1000_characters: milliseconds for 1,000 characters at the median.
        num_requests: requests that were timed, drawn evenly over the records.
        num_threads: threads that the system was given.
    """

    median_ms: float
    median_ms_per_1000_characters: float
    num_requests: int
    num_threads: int


@dataclass(frozen=True, slots=True)
class CarriedThreshold:
    """A threshold that a system brings along, such as a bundle's `review` and `flag`, tried on these rows.

    Attributes:
        name: what the system calls it.
        threshold: on the scale of the scores.
        promised_fpr: the share of benign requests that it was chosen for.
        rates: share at or above it, by kind of record.
        by_source: the same by source, benign and extraction apart.
    """

    name: str
    threshold: float
    promised_fpr: float
    rates: tuple[SliceRate, ...]
    by_source: tuple[SliceRate, ...]


@dataclass(frozen=True, slots=True)
class Confusion:
    """Which technique was named for which: extraction records that one request shows.

    Attributes:
        techniques: names of rows and columns.
        counts: records, a row for each true technique, a column for each named one.
    """

    techniques: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Records of about the same probability: their mean probability, and the share that is extraction."""

    probability: float
    share: float
    num_records: int


@dataclass(frozen=True, slots=True)
class Curves:
    """Points to draw.

    Attributes:
        roc: false-positive rate and true-positive rate, on a logarithmic grid of the former.
        precision_recall: recall and precision, by rising recall.
        reliability: bins of equal mass, lowest first; empty when the scores are no probabilities.
    """

    roc: tuple[Point, ...]
    precision_recall: tuple[Point, ...]
    reliability: tuple[ReliabilityBin, ...]


@dataclass(frozen=True, slots=True)
class SystemResult:
    """One system and everything measured of it on all rows.

    Attributes:
        name: unlike any other system's.
        kind: `bundle`, `registry`, `sklearn`, `transformers`, `scores`, or `trained` for one fitted in this run.
        version: the bundle's version or a digest of the files.
        has_probabilities: whether the scores are probabilities.
        notes: what a reader must know, such as how long texts are read.
        metrics: figures and thresholds over the decided records.
        fold_tprs: TPR at each of `summary.FPRS`, one entry a fold, each with its fold's own threshold.
        slices: rates at the thresholds of `metrics`, by dimension of `results.DIMENSIONS`.
        aside: the same rates for records that one request does not decide, by kind.
        carried: thresholds that the system brings along.
        confusion: None when the system names no technique.
        technique_recall: share of each technique's records that were named rightly; empty without `confusion`.
        curves: points to draw.
        cost: None when nothing was timed.
    """

    name: str
    kind: str
    version: str
    has_probabilities: bool
    notes: tuple[str, ...]
    metrics: MetricSet
    fold_tprs: tuple[tuple[float, ...], ...]
    slices: Mapping[str, tuple[SliceRate, ...]]
    aside: tuple[SliceRate, ...]
    carried: tuple[CarriedThreshold, ...]
    confusion: Confusion | None
    technique_recall: Mapping[str, Interval]
    curves: Curves
    cost: Cost | None

    def mean_over_folds(self, fpr: float) -> float:
        """Mean over folds of the TPR, each fold at its own threshold; `fpr` is one of `summary.FPRS`."""
        return float(np.mean([fold[FPRS.index(fpr)] for fold in self.fold_tprs]))


@dataclass(frozen=True, slots=True)
class CaseRate:
    """One system on one group of a case, at one threshold of the whole (`SystemResult.metrics`).

    Attributes:
        system: its name.
        is_extraction: whether `rate` is a TPR or an FPR; ambiguous records count as not extraction.
        fpr: the false-positive rate that the threshold stands for.
        threshold: on the scale of the scores.
        num_records: records of this label in the group.
        num_families: their families.
        rate: share at or above the threshold.
        clean: the same share before the records were changed; None when they were not.
        kept: `rate / clean`, with an interval over families; None when they were not changed or `clean` is 0.
        score_drop: mean of the score before minus the score after; None when the records were not changed.
    """

    system: str
    is_extraction: bool
    fpr: float
    threshold: float
    num_records: int
    num_families: int
    rate: Interval
    clean: Interval | None
    kept: Interval | None
    score_drop: Interval | None

    @classmethod
    def of_unchanged(cls, system: str, rate: SliceRate) -> CaseRate:
        """The rate of records as they are."""
        return cls(
            system=system,
            is_extraction=rate.is_extraction,
            fpr=rate.fpr,
            threshold=rate.threshold,
            num_records=rate.num_records,
            num_families=rate.num_families,
            rate=rate.rate,
            clean=None,
            kept=None,
            score_drop=None,
        )


@dataclass(frozen=True, slots=True)
class CaseGroup:
    """Some records of a case, as they are or changed in one way.

    Attributes:
        name: a source, a language, a length, a transform.
        strength: of a transform, from 0 to 1; else None.
        num_characters: of padding; else None.
        record_ids: ids in `Evaluation.records`: of the records, or of those that were changed.
        scores: of the changed records, in the order of the systems, then of `record_ids`; empty when unchanged, and
            for a system that reads no text.
        rates: by system, label and threshold.
    """

    name: str
    strength: float | None
    num_characters: int | None
    record_ids: tuple[str, ...]
    scores: tuple[tuple[float, ...], ...]
    rates: tuple[CaseRate, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """One question that a suite asks.

    Attributes:
        name: unlike any other case's of the suite.
        kind: `all`, `sources`, `ambiguous`, `languages`, `lengths`, `padding`, `transforms` or `held_out`.
        title: the question in words.
        notes: what must be said beside the figures.
        missing: what the suite asks for and the rows do not hold, such as a source.
        groups: the answers; empty when nothing of it is in the rows.
    """

    name: str
    kind: str
    title: str
    notes: tuple[str, ...]
    missing: tuple[str, ...]
    groups: tuple[CaseGroup, ...]


@dataclass(frozen=True, slots=True)
class ScoredRecord:
    """One row without its text.

    Attributes:
        id: the record's.
        source: where it came from.
        family: the unit of every split.
        label: `benign`, `extraction` or `ambiguous`.
        technique: None for other than extraction.
        visibility: `request`, `stream`, or None for other than extraction.
        language: ISO 639-1 code.
        num_characters: its length.
        fold: number of the model that scored it; 0 when there is one.
        scores: in the order of the systems, higher for extraction.
    """

    id: str
    source: str
    family: str
    label: str
    technique: str | None
    visibility: str | None
    language: str
    num_characters: int
    fold: int
    scores: tuple[float, ...]

    @property
    def is_extraction(self) -> bool:
        """Whether the label is `extraction`."""
        return self.label == "extraction"

    @property
    def is_decided(self) -> bool:
        """Whether one request decides its label: only such records stand in `SystemResult.metrics`."""
        return self.label == "benign" or (self.is_extraction and self.visibility == "request")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything that was measured, and on what.

    Attributes:
        format_version: `FORMAT_VERSION` of the program that wrote it.
        kind: `requests` for systems as they are, `training` for systems fitted in the run.
        suite: name of the suite.
        suite_digest: SHA-256 of the suite's settings; two evaluations compare when it and the data's agree.
        title: what the suite asks, in words.
        created: ISO 8601, UTC.
        seed: of every draw and bootstrap.
        num_replicates: bootstrap replicates.
        data: the rows.
        systems: the model first.
        cases: the suite's, in its order.
        records: every row with its scores.
        provenance: commit, versions of packages, machine.
    """

    format_version: int
    kind: Literal["requests", "training"]
    suite: str
    suite_digest: str
    title: str
    created: str
    seed: int
    num_replicates: int
    data: DataInfo
    systems: tuple[SystemResult, ...]
    cases: tuple[Case, ...]
    records: tuple[ScoredRecord, ...]
    provenance: Mapping[str, str]

    @property
    def first(self) -> SystemResult:
        """The model in question."""
        return self.systems[0]

    def system(self, name: str) -> SystemResult:
        """The system of that name.

        Raises:
            InputError: there is none.
        """
        for each in self.systems:
            if each.name == name:
                return each
        raise InputError(
            "system", "a name that stands for none", f"give one of {', '.join(s.name for s in self.systems)}"
        )

    def to_json(self) -> dict[str, object]:
        """A JSON object with every field; intervals as `{low, value, high}`."""
        return asdict(self)

    def write(self, path: Path) -> None:
        """Write `to_json` as a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.to_json(), ensure_ascii=False, allow_nan=False) + "\n", "utf-8")

    @classmethod
    def from_json(cls, value: object, where: str = "evaluation") -> Evaluation:
        """The evaluation of an object that `to_json` gave.

        Args:
            value: parsed JSON.
            where: what messages call it.

        Raises:
            InputError: it is no evaluation, or one of another format.
        """
        remedy = "give a file that `stillwatch evaluate --json` wrote"
        if not isinstance(value, dict) or "format_version" not in value:
            raise InputError("format_version", f"{kind_of(value)} without it", remedy, where)
        if value["format_version"] != FORMAT_VERSION:
            raise InputError("format_version", "another format", f"evaluate again: this is {FORMAT_VERSION}", where)
        try:
            return _ADAPTER.validate_python(value)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            raise InputError(".".join(map(str, first["loc"])), first["type"], remedy, where) from error

    @classmethod
    def load(cls, path: Path) -> Evaluation:
        """Read a file that `write` wrote.

        Raises:
            InputError: the file is missing, is not JSON, is no evaluation, or one of another format.
        """
        try:
            value = json.loads(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise InputError(
                "file", "not readable as JSON", "give a file of `stillwatch evaluate --json`", str(path)
            ) from error
        return cls.from_json(value, str(path))


_ADAPTER = TypeAdapter(Evaluation)
