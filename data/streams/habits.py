"""What personas and operators share: sampling parameters, language habit and how their conversations grow."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from stillwatch.data.labels import Label, Technique, Visibility
from stillwatch.data.records import Sampling
from stillwatch.data.streams.entries import Entry
from stillwatch.data.streams.pool import Draws


@dataclass(frozen=True, slots=True)
class SamplingConfig:
    """Sampling parameters to choose from; None means that the request carries none.

    Attributes:
        temperature: choices.
        max_tokens: choices.
        n: choices.
        varies: whether each request chooses anew, or the account once for all.
    """

    temperature: tuple[float | None, ...]
    max_tokens: tuple[int | None, ...]
    n: tuple[int | None, ...]
    varies: bool

    def draw(self, chance: Random) -> Sampling:
        """Draw one set."""
        return Sampling(
            temperature=chance.choice(self.temperature),
            max_tokens=chance.choice(self.max_tokens),
            n=chance.choice(self.n),
        )


@dataclass(frozen=True, slots=True)
class GrowthConfig:
    """How conversations grow.

    Attributes:
        share: how often the next request carries the conversation on, where it follows within `within_s`.
        most: requests of a conversation at most.
        within_s: a longer pause ends it, in seconds.
        by_tools: whether it grows by tool calls and results instead of the user's next words.
    """

    share: float
    most: int
    within_s: float
    by_tools: bool


def read_draws(entry: Entry, field: str, label: Label) -> Draws:
    """Read what is drawn; without `labels`, requests of the one label.

    Raises:
        ConfigError: it is not usable.
    """
    if not entry.has(field):
        raise entry.refuse(field, "say which requests it draws, such as {kinds: [pupil]}, or `any`")
    if entry.row[field] == "any":
        return Draws(labels=(label,))
    nested = entry.nested(field)
    draws = Draws(
        labels=nested.choices("labels", Label) or (label,),
        kinds=nested.words("kinds"),
        themes=nested.words("themes"),
        attributes=nested.words("attributes"),
        techniques=nested.choices("techniques", Technique),
        visibilities=nested.choices("visibilities", Visibility),
        also_kinds=nested.words("also_kinds"),
    )
    nested.finish()
    return draws


def read_sampling(entry: Entry) -> SamplingConfig:
    """Read the field `sampling`; missing, requests carry no sampling parameters.

    Raises:
        ConfigError: it is not usable.
    """
    nested = entry.nested("sampling")
    temperature, max_tokens, n = (nested.optional_numbers(name) for name in ("temperature", "max_tokens", "n"))
    config = SamplingConfig(
        temperature,
        tuple(None if value is None else int(value) for value in max_tokens),
        tuple(None if value is None else int(value) for value in n),
        nested.flag("varies"),
    )
    nested.finish()
    return config


def read_growth(entry: Entry) -> GrowthConfig:
    """Read the field `follow_ups`; missing, every request is a conversation of its own.

    Raises:
        ConfigError: it is not usable.
    """
    nested = entry.nested("follow_ups")
    config = GrowthConfig(
        share=nested.number("share", 0, 1, 0.0),
        most=nested.count("most", 1, 1000, 10),
        within_s=nested.number("within_s", 1, 86_400, 1800.0),
        by_tools=nested.flag("by_tools"),
    )
    nested.finish()
    return config
