"""Reads the operators: who extracts, and how they hide, declared in `operators.yaml` or in a file of your own."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from stillwatch.data.errors import ConfigError
from stillwatch.data.labels import Label
from stillwatch.data.streams.entries import Entry, read_entries
from stillwatch.data.streams.habits import GrowthConfig, SamplingConfig, read_draws, read_growth, read_sampling
from stillwatch.data.streams.pace import ArrivalConfig, read_arrival
from stillwatch.data.streams.pool import Draws

SHIPPED_OPERATORS = Path(__file__).parent / "operators.yaml"
"""The operators that the package ships."""


class Means(StrEnum):
    """How an operator sends an extraction request."""

    OWN = "own"
    """As it was written, from templates of its own."""
    INJECT = "inject"
    """One fixed system text, the whole campaign's, before a relayed honest request."""
    REPLAY = "replay"
    """A stored honest session, replayed, with the extraction's words as its last turn."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large a campaign is where no disclosed shape says so.

    Attributes:
        exchanges: requests of all accounts.
        accounts: accounts in all.
        days: the window.
        successors: accounts of one place, one after the other: each but the last is banned at a drawn time.
        spread: standard deviation of the logarithm of the places' counts.
    """

    exchanges: int
    accounts: int
    days: float
    successors: int
    spread: float


@dataclass(frozen=True, slots=True)
class Operator:
    """A way to extract.

    Attributes:
        name: its name.
        about: one sentence.
        share: share of extraction among an account's conversations; the rest is relayed honest traffic.
        means: how an extraction request is sent.
        draws: which extraction requests it draws.
        honest: which honest requests it relays, injects into or replays.
        templates: least and most families that the campaign uses.
        rotate_every: requests of an account before it goes on to the next template.
        pins_system: whether an account keeps one system text for each template.
        stored_sessions: how many sessions are stored for replay.
        growth: how conversations grow.
        sampling: sampling parameters.
        arrival: when an account sends.
        mimics: share of accounts with the manners (sampling, follow-ups, arrival) of an honest persona.
        keeps_pace: whether those keep the operator's arrival all the same.
        size: the campaign where no shape is given.
    """

    name: str
    about: str
    share: float
    means: Means
    draws: Draws
    honest: Draws
    templates: tuple[int, int]
    rotate_every: int
    pins_system: bool
    stored_sessions: int
    growth: GrowthConfig
    sampling: SamplingConfig
    arrival: ArrivalConfig
    mimics: float
    keeps_pace: bool
    size: Size


def load_operators(path: Path = SHIPPED_OPERATORS) -> dict[str, Operator]:
    """Read a file of operators.

    Args:
        path: the file; the shipped one unless told.

    Returns:
        the operators by name, in the order of the file.

    Raises:
        SourceError: the file is missing.
        ConfigError: an operator is not usable; file, operator, field and remedy are named.
    """
    return {name: _read(name, entry) for name, entry in read_entries(path, "operator").items()}


def _read(name: str, entry: Entry) -> Operator:
    means = entry.text("means", Means.OWN.value)
    if means not in tuple(Means):
        raise entry.refuse("means", f"use {', '.join(Means)}")
    operator = Operator(
        name=name,
        about=entry.text("about"),
        share=entry.number("share", 0.001, 1),
        means=Means(means),
        draws=read_draws(entry, "draws", Label.EXTRACTION),
        honest=read_draws(entry, "honest", Label.BENIGN) if entry.has("honest") else Draws(labels=(Label.BENIGN,)),
        templates=entry.span("templates"),
        rotate_every=entry.count("rotate_every", 1, 10**9, 10**9),
        pins_system=entry.flag("pins_system"),
        stored_sessions=entry.count("stored_sessions", 1, 10**9, 2000),
        growth=read_growth(entry),
        sampling=read_sampling(entry),
        arrival=read_arrival(entry),
        mimics=entry.number("mimics", 0, 1, 0.0),
        keeps_pace=entry.flag("keeps_pace"),
        size=_read_size(entry.nested("campaign")),
    )
    if Label.EXTRACTION in operator.honest.labels:
        raise ConfigError(f"{entry.place}: field honest.labels: holds extraction; leave it out")
    if set(operator.draws.labels) != {Label.EXTRACTION}:
        raise ConfigError(f"{entry.place}: field draws.labels: not extraction alone; leave it out")
    entry.finish()
    return operator


def _read_size(entry: Entry) -> Size:
    size = Size(
        exchanges=entry.count("exchanges", 1, 10**12, 10_000),
        accounts=entry.count("accounts", 1, 10**9, 20),
        days=entry.number("days", 0.01, 3650, 14),
        successors=entry.count("successors", 1, 1000, 1),
        spread=entry.number("spread", 0, 3, 0.3),
    )
    if size.accounts % size.successors or size.exchanges < size.accounts:
        raise entry.refuse("accounts", "give a multiple of `successors`, and an exchange at least for each account")
    entry.finish()
    return size
