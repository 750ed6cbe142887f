"""An evaluation: several systems on the same rows, as one frozen object that is written to JSON and read back.

What it says of one system is in `system_result`, of a suite's questions in `answers`. Reports, comparisons and gates
read nothing else. It holds ids, figures and scores, never text of a request. Where a list says "by system" or "in the
order of the systems", the order is that of `Evaluation.systems`; the first is the model in question, the others stand
beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from stillwatch.data.errors import InputError, kind_of
from stillwatch.train.suites.answers import Case
from stillwatch.train.suites.system_result import SystemResult

FORMAT_VERSION = 1
"""Raised when a file of an older program can no longer be read."""


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
