"""What the scorer says of a request. No field ever carries text of the request."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum

from stillwatch.model.calibration import Action


class Reason(StrEnum):
    """Why a verdict is not `allow`. Codes are stable; an analyst may count and search them.

    A technique's code is given when it has at least half of the technique probability.
    """

    FLAG_THRESHOLD = "extraction_at_or_above_flag"
    REVIEW_THRESHOLD = "extraction_at_or_above_review"
    REASONING_ELICITATION = "technique_reasoning_elicitation"
    TOOL_USE_PROBING = "technique_tool_use_probing"
    CODING_ANALYSIS = "technique_coding_analysis"
    PREFERENCE_GRADING = "technique_preference_grading"
    INSTRUCTION_HARVESTING = "technique_instruction_harvesting"


@dataclass(frozen=True, slots=True)
class Coverage:
    """What was read. Nothing is cut: `windows` hold every one of `tokens` at least once.

    Attributes:
        characters: characters of the request.
        tokens: tokens, each counted once.
        windows: windows read by the encoder.
        top_window: which of them, from 0, gave the highest score.
    """

    characters: int
    tokens: int
    windows: int
    top_window: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The scorer's answer for one request.

    Attributes:
        id: the request's own identifier, or None.
        probability: of extraction, calibrated at even odds.
        logit: the calibrated logit behind it, on which thresholds are set.
        techniques: probability of each technique, given that it is extraction; they sum to one.
        action: `allow`, `review` or `flag`.
        reasons: codes of `Reason`, none for `allow`.
        coverage: what was read.
        model_version: name and digest of the bundle.
    """

    id: str | None
    probability: float
    logit: float
    techniques: dict[str, float]
    action: Action
    reasons: tuple[Reason, ...]
    coverage: Coverage
    model_version: str

    def to_dict(self) -> dict[str, object]:
        """As plain JSON types, in the order of the attributes."""
        return asdict(self)
