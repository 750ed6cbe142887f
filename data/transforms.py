"""Changes how a request is written and leaves what it wants: the tricks of someone who would rather not be seen.

Each transform has a strength from 0 (nothing) to 1, takes its chance from a seed alone, and keeps label, family and
everything else of the record. They make evaluation suites and training variants; see `TRANSFORMS` for the names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from stillwatch.data.chance import Chance
from stillwatch.data.disguises import (
    change_spelling,
    change_white_space,
    encode,
    insert_invisibles,
    swap_look_alikes,
    swap_phrases,
)
from stillwatch.data.errors import ConfigError
from stillwatch.data.records import LabelledRequest, Message
from stillwatch.data.wrappings import address_classifier, bury, split_over_turns, wrap_translation

Rewriter = Callable[[tuple[Message, ...], float, Chance, str], tuple[Message, ...]]
"""Rewrites messages at a strength, by a chance, in a language."""


def _by_text(rewrite: Callable[[str, float, Chance, str], str]) -> Rewriter:
    """A rewriter that changes every text which the sender wrote: system and user turns."""

    def apply(messages: tuple[Message, ...], strength: float, chance: Chance, lang: str) -> tuple[Message, ...]:
        return tuple(
            replace(message, content=rewrite(message.content, strength, chance, lang))
            if message.role.value in ("system", "user")
            else message
            for message in messages
        )

    return apply


TRANSFORMS: Mapping[str, Rewriter] = MappingProxyType(
    {
        "paraphrase": _by_text(swap_phrases),
        "typos": _by_text(change_spelling),
        "white_space": _by_text(change_white_space),
        "homoglyphs": _by_text(swap_look_alikes),
        "zero_width": _by_text(insert_invisibles),
        "encoding": encode,
        "translation": wrap_translation,
        "burying": bury,
        "splitting": split_over_turns,
        "addressing": address_classifier,
    }
)
"""Every transform by name."""


def transform(record: LabelledRequest, name: str, *, strength: float, seed: int) -> LabelledRequest:
    """Write a request in another way.

    Args:
        record: the record; its label and family stay.
        name: one of `TRANSFORMS`.
        strength: from 0 (the record as it is) to 1.
        seed: the only source of chance, together with the record's id.

    Returns:
        the record with the id `<id>+<name>@<strength>`.

    Raises:
        ConfigError: the name is unknown or the strength out of range.
    """
    if name not in TRANSFORMS:
        raise ConfigError(f"transform: unknown; use one of {', '.join(TRANSFORMS)}")
    if not 0 <= strength <= 1:
        raise ConfigError("transform: a strength outside its range; choose one from 0 to 1")
    if strength == 0:
        return record
    chance = Chance(f"{seed}/{name}/{record.id}")
    messages = TRANSFORMS[name](record.request.messages, strength, chance, record.lang)
    request = replace(record.request, messages=messages, id=f"{record.id}+{name}@{strength:g}")
    return replace(record, request=request)
