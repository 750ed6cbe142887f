"""Reads the disclosed campaigns, `shapes.yaml`, and scales them so that an account still sends what was published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stillwatch.data.errors import ConfigError
from stillwatch.data.streams.entries import Entry, read_entries
from stillwatch.data.streams.operators import Operator

SHIPPED_SHAPES = Path(__file__).parent / "shapes.yaml"
"""The shapes that the package ships."""

_FIGURES = ("exchanges", "accounts", "accounts_at_a_time", "window_days", "peak_a_day")
_TOLD_ONLY = ("per_account", "per_account_a_day")
_OURS_ONLY = ("successors", "life_days", "spread")


@dataclass(frozen=True, slots=True)
class Shape:
    """A disclosed campaign.

    Attributes:
        name: its name.
        about: one sentence.
        published: the figures that were disclosed, or follow by division.
        assumed: the figures that we made up.
        notes: what else to know of them.
        operators: share of accounts by operator.
    """

    name: str
    about: str
    published: Mapping[str, float]
    assumed: Mapping[str, float]
    notes: str
    operators: Mapping[str, float]

    def get(self, figure: str, default: float) -> float:
        """A figure, published or assumed, or the default."""
        return self.published.get(figure, self.assumed.get(figure, default))


@dataclass(frozen=True, slots=True)
class Extent:
    """How large a campaign is, at a scale.

    Accounts are rounded first (to whole places of `successors` accounts, half to even, one place at least); the
    exchanges follow from them, so that the mean of an account is the published one at every scale. A campaign of
    few accounts therefore misses `scale` times the published exchanges by up to half a place.

    Attributes:
        places: accounts at a time.
        successors: accounts of a place, one after the other.
        exchanges: requests of all accounts.
        window_s: length in seconds.
        peak: volume at the middle over the mean, 1 to 2.
        spread: standard deviation of the logarithm of the places' counts.
    """

    places: int
    successors: int
    exchanges: int
    window_s: float
    peak: float
    spread: float

    @property
    def accounts(self) -> int:
        """All accounts."""
        return self.places * self.successors


def load_shapes(path: Path = SHIPPED_SHAPES) -> dict[str, Shape]:
    """Read a file of shapes.

    Args:
        path: the file; the shipped one unless told.

    Returns:
        the shapes by name, in the order of the file.

    Raises:
        SourceError: the file is missing.
        ConfigError: a shape is not usable; file, shape, field and remedy are named.
    """
    return {name: _read(name, entry) for name, entry in read_entries(path, "shape").items()}


def shape_of(operator: Operator) -> Shape:
    """The campaign of one operator, of the size that its file gives."""
    size = operator.size
    assumed = {
        "exchanges": size.exchanges,
        "accounts": size.accounts,
        "window_days": size.days,
        "successors": size.successors,
        "spread": size.spread,
    }
    return Shape(operator.name, operator.about, {}, assumed, "", {operator.name: 1.0})


def measure_extent(shape: Shape, scale: float) -> Extent:
    """The size of a shape at a scale.

    Raises:
        ConfigError: the scale is not above 0.
    """
    if not scale > 0:
        raise ConfigError(f"scale: {scale:g}; give a number above 0, such as 0.01")
    exchanges, days = shape.get("exchanges", 0), shape.get("window_days", 0)
    at_a_time = shape.get("accounts_at_a_time", 0)
    if at_a_time:
        successors = max(1, round(days / shape.get("life_days", days)))
        accounts = at_a_time * successors
    else:
        successors = int(shape.get("successors", 1))
        accounts = shape.get("accounts", 0)
    places = max(1, round(accounts * scale / successors))
    return Extent(
        places=places,
        successors=successors,
        exchanges=max(places * successors, round(places * successors * exchanges / accounts)),
        window_s=days * 86_400.0,
        peak=max(1.0, shape.get("peak_a_day", 0) * days / exchanges),
        spread=shape.get("spread", 0.0),
    )


def _read(name: str, entry: Entry) -> Shape:
    shape = Shape(
        name=name,
        about=entry.text("about"),
        published=_read_figures(entry, "published", (*_FIGURES, *_TOLD_ONLY)),
        assumed=_read_figures(entry, "assumed", (*_FIGURES, *_OURS_ONLY)),
        notes=entry.text("notes", ""),
        operators=_read_shares(entry),
    )
    entry.finish()
    for figure in ("exchanges", "window_days"):
        if not shape.get(figure, 0):
            raise ConfigError(f"{entry.place}: field published.{figure}: missing; give it there or under `assumed`")
    twice = sorted(shape.published.keys() & shape.assumed.keys())
    if twice:
        raise ConfigError(f"{entry.place}: field assumed.{twice[0]}: published as well; keep one of them")
    if bool(shape.get("accounts", 0)) == bool(shape.get("accounts_at_a_time", 0)):
        raise ConfigError(f"{entry.place}: field accounts: give either `accounts` or `accounts_at_a_time`")
    if measure_extent(shape, 1.0).peak > 2:
        raise ConfigError(f"{entry.place}: field peak_a_day: more than twice the mean day; lower it")
    return shape


def _read_figures(entry: Entry, field: str, known: tuple[str, ...]) -> dict[str, float]:
    nested = entry.nested(field)
    figures = {name: nested.number(name, 0 if name == "spread" else 1, 1e12) for name in known if nested.has(name)}
    nested.finish()
    return figures


def _read_shares(entry: Entry) -> dict[str, float]:
    nested = entry.nested("operators")
    if not nested.row:
        raise entry.refuse("operators", "name operators with their shares, such as {pure: 1}")
    return {name: nested.number(name, 1e-6, 1e6) for name in nested.row}
