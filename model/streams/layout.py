"""The request vector: a fixed row of named numbers, what its account's state keeps of it, and how finely.

One list, `SLOTS`, is the order of the stream network's inputs. What a step reads is always the row as the state
keeps it (`decode_rows(encode_row(row))`), for the newest request as for the oldest, in training as in serving.
It promises no meaning across versions: a state or a stream model of another `LAYOUT_VERSION` is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from stillwatch.data.labels import TECHNIQUES
from stillwatch.model.pooling import FloatArray

LAYOUT_VERSION = 1
"""Raised whenever a slot changes its place, meaning or range."""

WINDOW = 64
"""How many of an account's last requests a step reads."""

NUM_ATTRIBUTE_SLOTS = 8
NUM_EMBEDDING_SLOTS = 16

Bytes = NDArray[np.uint8]
"""Rows as they are kept."""


class Group(StrEnum):
    """What a slot is about: the unit of ablations."""

    CONTENT = "content"
    """What the request model makes of the text."""
    EMBEDDING = "embedding"
    """Where the text stands among others, and how far it is from the account's other texts."""
    SHAPE = "shape"
    """Turns, lengths, tools and sampling parameters."""
    PACE = "pace"
    """Times, and how many requests there were."""
    REPETITION = "repetition"
    """Skeletons and tools that the account sent before."""
    CONVERSATION = "conversation"
    """Whether it goes on with what was said before, or brings a history that nobody saw."""
    OTHERS = "others"
    """What other accounts sent lately."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One number of the vector; values outside `low` to `high` are clipped, the range is kept in `bits` bits."""

    name: str
    group: Group
    low: float
    high: float
    about: str
    bits: int = 8


_CONTENT, _SHAPE, _PACE = Group.CONTENT, Group.SHAPE, Group.PACE
_REPETITION, _CONVERSATION, _OTHERS = Group.REPETITION, Group.CONVERSATION, Group.OTHERS

SLOTS: tuple[Slot, ...] = (
    Slot("extraction", _CONTENT, -12, 12, "extraction logit of the request alone, not calibrated"),
    *(Slot(f"technique_{t}", _CONTENT, 0, 1, "its probability, given extraction") for t in TECHNIQUES),
    Slot("turns", _SHAPE, 0, 6, "log1p of messages that are not the system's"),
    Slot("characters", _SHAPE, 0, 14, "log1p of characters of the request"),
    Slot("asked_characters", _SHAPE, 0, 14, "log1p of characters of the last user turn"),
    Slot("tools", _SHAPE, 0, 6, "log1p of tools offered"),
    Slot("temperature", _SHAPE, -1, 2, "temperature; -1 when it was not given"),
    Slot("max_tokens", _SHAPE, 0, 12, "log1p of max_tokens; 0 when it was not given"),
    Slot("num_answers", _SHAPE, 0, 4, "log1p of n; 0 when it was not given"),
    Slot("top_p_given", _SHAPE, 0, 1, "1 when top_p was given"),
    Slot("number", _PACE, 0, 14, "log1p of the account's requests before"),
    Slot("gap", _PACE, -1, 15, "log1p of seconds since the last request; -1 when not known"),
    Slot("pace", _PACE, -6, 6, "`gap` less its own moving average; 0 when not known"),
    Slot("repetition", _REPETITION, 0, 1, "share of its fingerprints that the account sent before"),
    Slot("repeats", _REPETITION, 0, 5.6, "log1p of how often the account sent the commonest of them before"),
    Slot("distinct", _REPETITION, 0, 14, "log1p of requests so far whose instruction was new to the account"),
    Slot("tools_new", _REPETITION, 0, 1, "1 when tools are offered that the account never offered together before"),
    Slot("breadth", _REPETITION, 0, 1, "entropy of the moving technique mix, 1 when all are alike"),
    Slot("follow_up", _CONVERSATION, 0, 1, "share of its turns that the account's earlier requests ended with"),
    Slot("unearned", _CONVERSATION, 0, 6, "log1p of assistant turns that no earlier request led to"),
    Slot("replayed", _CONVERSATION, 0, 1, "share of those that the account brought along before"),
    Slot("others_system", _OTHERS, 0, 12, "log1p of other accounts that sent the system text's skeleton lately"),
    Slot("others_instruction", _OTHERS, 0, 12, "the same for the instruction"),
    Slot("others_form", _OTHERS, 0, 12, "the same for output contract and header of exemplars"),
    Slot("others_opening", _OTHERS, 0, 12, "the same for the first exchange of a conversation"),
    Slot("others_share", _OTHERS, 0, 1, "moving share of requests whose instruction or system text others sent"),
    Slot("nearness_to_mean", Group.EMBEDDING, -1, 1, "cosine of its embedding and the account's moving mean"),
    Slot("nearness_to_last", Group.EMBEDDING, -1, 1, "cosine of its embedding and the last request's"),
    *(
        Slot(f"attribute_{n:02}", _CONTENT, -4, 4, "projected attribute logits", bits=4)
        for n in range(NUM_ATTRIBUTE_SLOTS)
    ),
    *(
        Slot(f"embedding_{n:02}", Group.EMBEDDING, -4, 4, "projected embedding", bits=4)
        for n in range(NUM_EMBEDDING_SLOTS)
    ),
)
"""Every number of the vector, in the order of the network's inputs. Slots of 8 bits come first."""

WIDTH = len(SLOTS)
INDEX = {slot.name: place for place, slot in enumerate(SLOTS)}
"""The place of every slot by its name."""
GROUPS = {group: [place for place, slot in enumerate(SLOTS) if slot.group is group] for group in Group}
"""The places of the slots of each group."""

_NUM_FINE = sum(slot.bits == 8 for slot in SLOTS)
ROW_BYTES = _NUM_FINE + (WIDTH - _NUM_FINE) // 2
"""Bytes that the state keeps of one vector."""

_LOW = np.array([slot.low for slot in SLOTS], np.float32)
_HIGH = np.array([slot.high for slot in SLOTS], np.float32)
_LEVELS = np.array([2**slot.bits - 1 for slot in SLOTS], np.float32)
_STEP = (_HIGH - _LOW) / _LEVELS


def encode_row(row: FloatArray) -> Bytes:
    """A vector as it is kept: a byte a fine slot, half a byte a coarse one.

    Args:
        row: shape `(WIDTH,)`; not-a-number is kept as the lowest value.

    Returns:
        shape `(ROW_BYTES,)`.
    """
    levels = np.nan_to_num(np.rint((np.clip(row, _LOW, _HIGH) - _LOW) / _STEP)).astype(np.uint8)
    coarse = levels[_NUM_FINE:]
    return np.concatenate((levels[:_NUM_FINE], coarse[0::2] << 4 | coarse[1::2]))


def decode_rows(kept: Bytes) -> FloatArray:
    """Kept rows as the network reads them.

    Args:
        kept: shape `(rows, ROW_BYTES)`.

    Returns:
        shape `(rows, WIDTH)`.
    """
    levels = np.empty((len(kept), WIDTH), np.float32)
    levels[:, :_NUM_FINE] = kept[:, :_NUM_FINE]
    packed = kept[:, _NUM_FINE:]
    levels[:, _NUM_FINE::2] = packed >> 4
    levels[:, _NUM_FINE + 1 :: 2] = packed & 15
    return levels * _STEP + _LOW
