"""What the scorer says of a request. No field ever carries text of the request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from types import MappingProxyType

from stillwatch.data.attributes import ATTRIBUTES
from stillwatch.model.calibration import Action
from stillwatch.model.normalise import Traces
from stillwatch.model.streams.verdict import StreamVerdict

MAX_ATTRIBUTES = 5
"""Attributes that a verdict names at most, strongest first."""


class Reason(StrEnum):
    """Why a verdict is not `allow`, beside what the request asks for. Codes are stable: count and search them."""

    FLAG_THRESHOLD = "extraction_at_or_above_flag"
    REVIEW_THRESHOLD = "extraction_at_or_above_review"
    REASONING_ELICITATION = "technique_reasoning_elicitation"
    TOOL_USE_PROBING = "technique_tool_use_probing"
    CODING_ANALYSIS = "technique_coding_analysis"
    PREFERENCE_GRADING = "technique_preference_grading"
    INSTRUCTION_HARVESTING = "technique_instruction_harvesting"
    HIDDEN_CHARACTERS = "hidden_characters"
    LOOK_ALIKE_LETTERS = "look_alike_letters"
    ENCODED_TEXT = "encoded_text"


REASON_CODES: Mapping[str, str] = MappingProxyType(
    {
        Reason.FLAG_THRESHOLD: "the calibrated logit reaches the threshold of `flag`",
        Reason.REVIEW_THRESHOLD: "the calibrated logit reaches the threshold of `review`",
        Reason.REASONING_ELICITATION: "most like demands for traces of reasoning (at least half of the techniques)",
        Reason.TOOL_USE_PROBING: "most like demands for tool calls and trajectories (at least half)",
        Reason.CODING_ANALYSIS: "most like demands for coding problems, code and tests (at least half)",
        Reason.PREFERENCE_GRADING: "most like demands for grades, rankings and critiques (at least half)",
        Reason.INSTRUCTION_HARVESTING: "most like the breeding of instructions and prompts (at least half)",
        Reason.HIDDEN_CHARACTERS: "two dozen or more characters that nobody sees, where no script calls for them",
        Reason.LOOK_ALIKE_LETTERS: "eight or more words with letters of another script that look alike, or spelt out "
        "letter by letter",
        Reason.ENCODED_TEXT: "prose of 80 characters or more in base64, hex, rot13 or escapes of plain letters",
        **{name: f"the request {meaning}" for name, meaning in ATTRIBUTES.items()},
    }
)
"""Every code that a verdict may carry, with its meaning.

Attributes are their own codes. One is given when its logit reaches the threshold from which on, among requests of
held-out families, at least four of five that were named had it; a bundle without such a threshold never gives it.
"""


def name_attributes(names: Sequence[str], logits: Sequence[float], thresholds: Mapping[str, float]) -> list[str]:
    """The codes of what a request asks for, those furthest above their thresholds first.

    Args:
        names: the attributes in the order of their logits.
        logits: of the request.
        thresholds: the logit from which on an attribute is named; one without a threshold never is.
    """
    margins = {name: logit - thresholds[name] for name, logit in zip(names, logits, strict=True) if name in thresholds}
    ranked = sorted((name for name, margin in margins.items() if margin >= 0), key=lambda name: -margins[name])
    return ranked[:MAX_ATTRIBUTES]


def name_disguises(traces: Traces) -> list[Reason]:
    """The codes of what a request hides, beyond what honest text does; see `Traces`."""
    found = {
        Reason.HIDDEN_CHARACTERS: traces.hides_characters,
        Reason.LOOK_ALIKE_LETTERS: traces.swaps_letters,
        Reason.ENCODED_TEXT: traces.encodes_text,
    }
    return [reason for reason, is_given in found.items() if is_given]


@dataclass(frozen=True, slots=True)
class Coverage:
    """What was read. Nothing is cut: `windows` hold every one of `tokens` at least once.

    Where `windows_encoded` is less than `windows`, all of them were read by the first stage, which chose.

    Attributes:
        characters: characters of the request.
        tokens: tokens after normalising, with what was decoded, each counted once.
        windows: windows that the request was cut to.
        windows_encoded: windows, and passages of long requests, that the encoder read.
        top_window: which of `windows`, from 0, holds or begins what gave the highest score.
        traces: what normalising undid: hidden characters, look-alikes, encodings.
    """

    characters: int
    tokens: int
    windows: int
    windows_encoded: int
    top_window: int
    traces: Traces


@dataclass(frozen=True, slots=True)
class Evidence:
    """What gave the highest score, by its place: for an analyst who may read the request to look there first.

    Attributes:
        window: as `Coverage.top_window`.
        turn: index of the message that fills most of it, from 0; None beside the messages.
        role: of that message, or `tools` or `response_format` beside the messages.
    """

    window: int
    turn: int | None
    role: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The scorer's answer for one request.

    Attributes:
        id: the request's own identifier, or None.
        probability: of extraction, calibrated at even odds; for families unlike those that calibrated it, less
            exact than the figure in the model card's section on it.
        logit: the calibrated logit behind it, on which thresholds are set.
        techniques: probability of each technique, given that it is extraction; they sum to one.
        action: `allow`, `review` or `flag`.
        reasons: codes of `REASON_CODES`, none for `allow`.
        evidence: where the highest score came from, None for `allow`.
        coverage: what was read.
        model_version: name and digest of the bundle.
        stream: what the account's stream shows, where an account was told and its stream was followed. Its action
            is the account's; `action` above stays that of the request alone.
        degraded: a code of `Degraded` where the stream should have been followed but the store of its state could
            not be used, else None.
    """

    id: str | None
    probability: float
    logit: float
    techniques: dict[str, float]
    action: Action
    reasons: tuple[str, ...]
    evidence: Evidence | None
    coverage: Coverage
    model_version: str
    stream: StreamVerdict | None = None
    degraded: str | None = None

    def to_dict(self) -> dict[str, object]:
        """As plain JSON types, in the order of the attributes."""
        return asdict(self)
