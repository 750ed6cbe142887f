"""The sentences and figures of a report in words: findings, shares with intervals, and strings made harmless.

Every sentence is computed from an `Evaluation`; none holds text of a request.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from stillwatch.train.suites.comparison import Comparison, Standing, compare
from stillwatch.train.suites.evaluation import Evaluation
from stillwatch.train.suites.system_result import SystemResult
from stillwatch.train.summary import FPRS
from stillwatch.train.tables import NAMES, percent

_JOINERS = "\u200c\u200d"  # honest Persian, Hindi and emoji need them


def name_system(name: str) -> str:
    """What a system is called in a report; see `reveal`."""
    return NAMES.get(name, reveal(name))


def name_fpr(fpr: float) -> str:
    """`1%` or `0.1%`."""
    return f"{100 * fpr:g}%"


def count(number: int, noun: str, plural: str = "") -> str:
    """`1 family`, `1,200 records`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def count_families(number: int) -> str:
    """`1 family`, `12 families`."""
    return count(number, "family", "families")


def reveal(text: str) -> str:
    """A string with every character that is not seen, or that turns the reading order, written as its number.

    Control characters are no HTML; bidirectional and zero-width ones make a name look like another. Line breaks, tabs
    and joiners stay.
    """
    return "".join(_reveal(character) for character in text.replace("\r\n", "\n"))


def _reveal(character: str) -> str:
    if character in "\n\t" or character in _JOINERS:
        return character
    is_noncharacter = ord(character) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(character) <= 0xFDEF
    if is_noncharacter or unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return f"[U+{ord(character):04X}]"
    return character


def compare_peers(evaluation: Evaluation) -> tuple[Comparison, ...]:
    """The first system (`b`) against each other one (`a`), resampled in pairs."""
    return tuple(
        compare(
            evaluation,
            evaluation,
            system_a=system.name,
            system_b=evaluation.first.name,
            names=(name_system(system.name), name_system(evaluation.first.name)),
            num_replicates=evaluation.num_replicates,
        )
        for system in evaluation.systems[1:]
    )


def tell_finding(evaluation: Evaluation, comparisons: Sequence[Comparison]) -> str:
    """The evaluation in one sentence."""
    metrics, (loose, strict) = evaluation.first.metrics, FPRS
    caught = (
        f"{name_system(evaluation.first.name)} catches {percent(metrics.at(loose).tpr)} of the extraction requests of "
        f"{count_families(metrics.num_extraction_families)} at {name_fpr(loose)} false alarms, and "
        f"{percent(metrics.at(strict).tpr)} at {name_fpr(strict)}"
    )
    verdicts = [
        f"{words} {join(each.a for each in comparisons if each.standing is standing)}"
        for standing, words in _STANDINGS.items()
        if any(each.standing is standing for each in comparisons)
    ]
    return f"{caught}; at {name_fpr(loose)} it is {join(verdicts)}." if verdicts else f"{caught}."


_STANDINGS = {
    Standing.BETTER: "better than",
    Standing.WORSE: "worse than",
    Standing.NOT_TOLD_APART: "not told apart from",
}


def tie(interval: str) -> str:
    """An interval in words, whose brackets are never parted at the end of a line."""
    return interval.replace(", ", ",\u00a0")


def join(words: Iterable[str]) -> str:
    """`a, b and c`."""
    *most, last = list(words) or [""]
    return f"{', '.join(most)} and {last}" if most else last


def tell_roc(systems: Sequence[SystemResult]) -> str:
    """What the ROC curves show."""
    told = (
        f"At {name_fpr(fpr)} false alarms: "
        + ", ".join(f"{name_system(system.name)} {percent(system.metrics.at(fpr).tpr)}" for system in systems)
        for fpr in FPRS
    )
    return f"{'. '.join(told)}."


def tell_scores(evaluation: Evaluation) -> str:
    """Where the scores of the first system stand against its thresholds."""
    told = []
    for point in evaluation.first.metrics.points:
        extraction = sum(
            record.scores[0] >= point.threshold
            for record in evaluation.records
            if record.is_decided and record.label == "extraction"
        )
        told.append(
            f"at or above {point.threshold:.4g} ({name_fpr(point.fpr)}): {point.num_flagged_benign:,} of "
            f"{evaluation.first.metrics.num_benign:,} benign and {extraction:,} of "
            f"{evaluation.first.metrics.num_extraction:,} extraction requests"
        )
    return f"Scores {'; '.join(told)}."


def tell_reliability(system: SystemResult) -> str:
    """How far a system's probabilities can be taken at their word."""
    worst = max(system.curves.reliability, key=lambda each: abs(each.probability - each.share))
    error = "" if system.metrics.ece is None else f"calibration error {system.metrics.ece}; "
    return (
        f"{name_system(system.name)}: {error}furthest off where {worst.probability:.0%} was said and {worst.share:.0%} "
        f"of {count(worst.num_records, 'record')} was extraction, both labels weighed the same."
    )
