"""What the bench prints: budgets, which are met or missed, and peers, which stand beside them and decide nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measurement:
    """One budget, what was measured, and whether that keeps it."""

    name: str
    budget: str
    measured: str
    keeps: bool

    @property
    def outcome(self) -> str:
        """`met` or `missed`."""
        return "met" if self.keeps else "missed"


@dataclass(frozen=True, slots=True)
class Cost:
    """Medians of what a call costs, in milliseconds."""

    cpu_ms: float
    wall_ms: float

    def __str__(self) -> str:
        """Processor time, and wall time behind it."""
        return f"{self.cpu_ms:.2f} ms (wall {self.wall_ms:.2f})"


@dataclass(frozen=True, slots=True)
class Peer:
    """Another way to answer the same question, what it costs, and what ours cost in the same turns."""

    name: str
    theirs: Cost
    ours: Cost

    @property
    def ratio(self) -> float:
        """How many times our processor time theirs is: above 1, ours is faster."""
        return self.theirs.cpu_ms / self.ours.cpu_ms


@dataclass(frozen=True, slots=True)
class Floor:
    """What the products of a request's tokens cost by themselves, in one precision.

    Attributes:
        name: precision and library.
        multiply_adds: in those products.
        products: what they cost.
        network: what our network cost in the same turns.
        request: what our whole request cost in the same turns.
    """

    name: str
    multiply_adds: int
    products: Cost
    network: Cost
    request: Cost

    @property
    def rate(self) -> float:
        """Multiply-adds a second."""
        return self.multiply_adds / (self.products.cpu_ms / 1000)

    @property
    def ratio(self) -> float:
        """How many times the floor's processor time our whole request takes."""
        return self.request.cpu_ms / self.products.cpu_ms


def format_budgets(measurements: Sequence[Measurement]) -> str:
    """The budgets as aligned columns."""
    rows = [(one.name, one.budget, one.measured, one.outcome) for one in measurements]
    return _align([("what", "budget", "measured", "outcome"), *rows])


def format_peers(peers: Sequence[Peer]) -> str:
    """The peers as aligned columns."""
    rows = [(one.name, str(one.theirs), str(one.ours), f"{one.ratio:.1f}x") for one in peers]
    return _align([("peer, one thread", "theirs", "ours", "theirs / ours"), *rows])


def format_floors(floors: Sequence[Floor]) -> str:
    """The floors as aligned columns."""
    rows = [
        (
            one.name,
            f"{one.rate / 1e9:.0f} G a second",
            f"{one.products.cpu_ms:.2f} ms",
            f"{one.network.cpu_ms:.2f} ms",
            f"{one.request.cpu_ms:.2f} ms",
            f"{one.ratio:.2f}x",
        )
        for one in floors
    ]
    return _align([("floor of this machine", "multiply-adds", "floor", "our network", "our request", "ratio"), *rows])


def _align(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
