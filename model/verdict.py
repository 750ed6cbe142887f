"""What the scorer says of a request. No field ever carries text of the request."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum

from stillwatch.model.calibration import Action
from stillwatch.model.normalise import Traces
from stillwatch.model.streams.verdict import StreamVerdict


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
    HIDDEN_CHARACTERS = "hidden_characters"
    """Two dozen or more characters that nobody sees, where no script calls for them."""
    LOOK_ALIKE_LETTERS = "look_alike_letters"
    """Eight or more words with letters of another script that look alike, or spelt out letter by letter."""
    ENCODED_TEXT = "encoded_text"
    """Prose of 80 characters or more in base64, hex, rot13 or escapes of plain letters."""


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
        stream: what the account's stream shows, where an account was told and its stream was followed. Its action
            is the account's; `action` above stays that of the request alone.
    """

    id: str | None
    probability: float
    logit: float
    techniques: dict[str, float]
    action: Action
    reasons: tuple[Reason, ...]
    coverage: Coverage
    model_version: str
    stream: StreamVerdict | None = None

    def to_dict(self) -> dict[str, object]:
        """As plain JSON types, in the order of the attributes."""
        return asdict(self)
