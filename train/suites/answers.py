"""What the questions of a suite come to: a case, its groups of rows, and the rates of every system in each.

Ids, figures and scores alone, never text of a request. The order of the systems is that of `Evaluation.systems`.
"""

from __future__ import annotations

from dataclasses import dataclass

from stillwatch.train.intervals import Interval
from stillwatch.train.summary import SliceRate


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
