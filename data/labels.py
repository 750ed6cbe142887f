"""The closed vocabularies of labels. One word per idea, everywhere; the strings are the file format."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """Who speaks in a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class Label(StrEnum):
    """What a request is. `ambiguous` stands in evaluation only and is never trained on."""

    BENIGN = "benign"
    EXTRACTION = "extraction"
    AMBIGUOUS = "ambiguous"


class Technique(StrEnum):
    """What an extraction request is after."""

    REASONING_ELICITATION = "reasoning_elicitation"
    TOOL_USE_PROBING = "tool_use_probing"
    CODING_ANALYSIS = "coding_analysis"
    PREFERENCE_GRADING = "preference_grading"
    INSTRUCTION_HARVESTING = "instruction_harvesting"


class Visibility(StrEnum):
    """Whether one request shows its purpose, or only the stream it stands in."""

    REQUEST = "request"
    STREAM = "stream"


TECHNIQUES: tuple[Technique, ...] = tuple(Technique)
"""The order of the technique head's outputs. Append only: bundles depend on it."""
