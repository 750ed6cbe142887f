"""Reads the personas: honest users, declared in `personas.yaml` or in a file of your own.

A persona is an assumption about people written down, not a measurement; only the arrivals of the process
`production` follow traces.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stillwatch.data.errors import ConfigError
from stillwatch.data.labels import Label
from stillwatch.data.streams.entries import Entry, read_entries
from stillwatch.data.streams.habits import GrowthConfig, SamplingConfig, read_draws, read_growth, read_sampling
from stillwatch.data.streams.pace import ArrivalConfig, CountConfig, read_arrival, read_count
from stillwatch.data.streams.pool import Draws

SHIPPED_PERSONAS = Path(__file__).parent / "personas.yaml"
"""The personas that the package ships."""


@dataclass(frozen=True, slots=True)
class Persona:
    """An honest kind of user.

    Attributes:
        name: its name.
        about: one sentence.
        label: the label of its streams, benign or (evaluators) ambiguous.
        weight: how often it comes in a crowd, relative to the others.
        draws: which requests it draws.
        families: least and most families that an account sticks to.
        pins_system: whether an account keeps the one system text of its first request.
        languages: least and most languages of an account; the first is used four times in five.
        growth: how conversations grow.
        sampling: sampling parameters.
        horizon_days: how long an account lives.
        arrival: when it sends.
        count: how much it sends.
    """

    name: str
    about: str
    label: Label
    weight: float
    draws: Draws
    families: tuple[int, int]
    pins_system: bool
    languages: tuple[int, int]
    growth: GrowthConfig
    sampling: SamplingConfig
    horizon_days: float
    arrival: ArrivalConfig
    count: CountConfig


def load_personas(path: Path = SHIPPED_PERSONAS) -> dict[str, Persona]:
    """Read a file of personas.

    Args:
        path: the file; the shipped one unless told.

    Returns:
        the personas by name, in the order of the file.

    Raises:
        SourceError: the file is missing.
        ConfigError: a persona is not usable; file, persona, field and remedy are named.
    """
    return {name: _read(name, entry) for name, entry in read_entries(path, "persona").items()}


def choose_personas(names: tuple[str, ...], path: Path = SHIPPED_PERSONAS) -> tuple[Persona, ...]:
    """Personas by name; no name means all whose streams are benign.

    Raises:
        ConfigError: one is unknown.
    """
    known = load_personas(path)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(f"{path.name}: no persona {', '.join(unknown)}; use {', '.join(known)}")
    chosen = [known[name] for name in names]
    return tuple(chosen or [persona for persona in known.values() if persona.label is Label.BENIGN])


def _read(name: str, entry: Entry) -> Persona:
    label = _read_label(entry)
    persona = Persona(
        name=name,
        about=entry.text("about"),
        label=label,
        weight=entry.number("weight", 1e-6, 1e6, 1.0),
        draws=read_draws(entry, "draws", label),
        families=entry.span("families"),
        pins_system=entry.flag("pins_system"),
        languages=entry.span("languages", (1, 1)),
        growth=read_growth(entry),
        sampling=read_sampling(entry),
        horizon_days=entry.number("horizon_days", 0.01, 3650),
        arrival=read_arrival(entry),
        count=read_count(entry),
    )
    entry.finish()
    return persona


def _read_label(entry: Entry) -> Label:
    value = entry.text("label", Label.BENIGN.value)
    if value not in (Label.BENIGN, Label.AMBIGUOUS):
        raise entry.refuse("label", "use benign or ambiguous; whoever extracts is an operator")
    return Label(value)
