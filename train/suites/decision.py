"""What the promotion gate decided: every check with its figures, limit and reason, fit for a table, JSON and tags.

A decision tells what was found on the declared suite's rows; it moves nothing by itself.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Literal

from stillwatch.train.intervals import Interval
from stillwatch.train.suites.comparison import Comparison

MAX_TAG_CHARACTERS = 5_000
"""Longest value of a tag: what every tracking server keeps whole."""


Unit = Literal["rate", "area", "count", "none"]


class Outcome(StrEnum):
    """How a check ended."""

    HOLDS = "holds"
    FAILS = "fails"
    NOT_JUDGED = "not judged"


@dataclass(frozen=True, slots=True)
class Check:
    """One rule of the policy on one figure.

    Attributes:
        name: what is checked, such as `TPR at 1% FPR` or `FPR of source tickets`.
        unit: of its figures: a `rate`, an `area` or a `count`; `none` where it has none.
        champion: the champion's figure; None without a champion, or where it plays no part.
        challenger: the challenger's; None where the check is of no figure.
        change: their paired difference, or the challenger's own interval where there is no champion; None where
            neither plays a part.
        limit: the rule in words.
        outcome: how it ended.
        reason: why, in words.
    """

    name: str
    unit: Unit
    champion: float | None
    challenger: float | None
    change: Interval | None
    limit: str
    outcome: Outcome
    reason: str

    def to_json(self) -> dict[str, object]:
        """A JSON object with every field."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gate decided, and by what.

    Attributes:
        champion: what the champion is called; None when there is none.
        challenger: what the challenger is called.
        suite: the suite of both evaluations.
        data_digest: SHA-256 of its rows.
        checks: in the order of the policy.
        comparison: None without a champion.
    """

    champion: str | None
    challenger: str
    suite: str
    data_digest: str
    checks: tuple[Check, ...]
    comparison: Comparison | None

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.outcome is Outcome.FAILS)

    @property
    def is_accepted(self) -> bool:
        """Whether no check failed."""
        return not self.failed

    @property
    def sentence(self) -> str:
        """The decision in one sentence, with the first reasons."""
        if self.is_accepted and self.comparison:
            return f"{self.challenger} is accepted: {self.comparison.sentence}"
        against = f"against {self.champion}" if self.champion else "with nobody before it"
        if self.is_accepted:
            return f"{self.challenger} is accepted {against}: it reaches the floor and keeps every bound."
        reasons = "; ".join(f"{check.name}: {check.reason}" for check in self.failed[:3])
        more = f"; and {len(self.failed) - 3} more" if len(self.failed) > 3 else ""
        return f"{self.challenger} is refused {against}: {reasons}{more}."

    def to_json(self) -> dict[str, object]:
        """A JSON object with every field, the outcome and the sentence."""
        return {
            "accepted": self.is_accepted,
            "sentence": self.sentence,
            "champion": self.champion,
            "challenger": self.challenger,
            "suite": self.suite,
            "data_digest": self.data_digest,
            "checks": [check.to_json() for check in self.checks],
            "comparison": self.comparison.to_json() if self.comparison else None,
        }

    def to_tags(self) -> dict[str, str]:
        """The decision as tags of a registered version, none longer than `MAX_TAG_CHARACTERS`.

        `gate.checks` is JSON with the checks that failed first; where it would be too long, checks that hold are left
        out from the end and `gate.checks_left_out` counts them.
        """
        ordered = sorted(self.checks, key=lambda check: check.outcome is not Outcome.FAILS)
        entries = [check.to_json() for check in ordered]
        while len(text := json.dumps(entries, separators=(",", ":"), ensure_ascii=False)) > MAX_TAG_CHARACTERS:
            entries.pop()
        return {
            "gate.outcome": "accepted" if self.is_accepted else "refused",
            "gate.sentence": self.sentence[:MAX_TAG_CHARACTERS],
            "gate.against": self.champion or "nobody",
            "gate.suite": self.suite,
            "gate.data_digest": self.data_digest,
            "gate.checks": text,
            "gate.checks_left_out": str(len(ordered) - len(entries)),
        }
