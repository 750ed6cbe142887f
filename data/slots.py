"""The slots that every template may use besides its seed: picks, numbers, tags, names, places and topics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import TypeVar

from stillwatch.data.material import load_pool

SLOT_NAMES = frozenset({"pick", "number", "tag", "name", "city", "topic", "topics", "company"})
"""The names that templates may call."""

T = TypeVar("T")


def build_slots(*, wording: Random, facts: Random, lang: str) -> Mapping[str, object]:
    """The callable slots of one request.

    Args:
        wording: chance that is the request's own (pick, number, tag).
        facts: chance shared by the requests of one index over all families (name, city, topic, company),
            so that benign and extraction requests speak of the same things.
        lang: ISO 639-1 code; a language without its own words gets the English ones.
    """

    def pick(options: Sequence[T]) -> T:
        return wording.choice(options)

    def number(low: int, high: int) -> int:
        return wording.randint(low, high)

    def tag() -> str:
        return wording.choice(load_pool("tags", "en"))

    def name() -> str:
        return facts.choice(load_pool("names", lang))

    def city() -> str:
        return facts.choice(load_pool("cities", lang))

    def topic() -> str:
        return facts.choice(load_pool("topics", lang))

    def topics(count: int) -> list[str]:
        return facts.sample(load_pool("topics", lang), count)

    def company() -> str:
        return facts.choice(load_pool("companies", lang))

    return {
        "pick": pick,
        "number": number,
        "tag": tag,
        "name": name,
        "city": city,
        "topic": topic,
        "topics": topics,
        "company": company,
    }
