"""Says which records belong together and must not stand on two sides of a split.

Records are bound by their family, by a session of one source, and by near-duplicate text. Near-duplicates bind
along chains: with a like b and b like c, all three are bound. Meaning is not compared, only text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from stillwatch.data.clusters import Clusters
from stillwatch.data.duplicates import near_duplicates
from stillwatch.data.records import LabelledRequest

Pairs = Sequence[tuple[int, int]]
"""Indices of records whose texts are near-duplicates."""


class BondKind(StrEnum):
    """Why records belong together."""

    FAMILY = "family"
    SESSION = "session"
    DUPLICATE = "near-duplicate group"


class Bond(NamedTuple):
    """What a group of records shares; equal bonds bind."""

    kind: BondKind
    name: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Tie:
    """Two families that go together because records of theirs are bound.

    Attributes:
        families: the two, in the order of their first records.
        kind: session or near-duplicates.
        count: how many sessions or groups of near-duplicates bind them.
        ids: a record of each, for example.
    """

    families: tuple[str, str]
    kind: BondKind
    count: int
    ids: tuple[str, str]

    def __str__(self) -> str:
        """One line for a report."""
        plural = "s" if self.count > 1 else ""
        return (
            f"family {self.families[0]} tied with {self.families[1]}: {self.count} {self.kind}{plural}, "
            f"such as of {self.ids[0]} and {self.ids[1]}"
        )


@dataclass(frozen=True, slots=True)
class Leak:
    """One bond that reaches over two sides: an example record of each side."""

    kind: BondKind
    ids: Mapping[str, str]

    def __str__(self) -> str:
        """One clause of an error."""
        return f"one {self.kind} in " + " and ".join(f"{side} ({id_})" for side, id_ in self.ids.items())


def find_pairs(records: Sequence[LabelledRequest], *, threshold: float = 0.8) -> list[tuple[int, int]]:
    """Near-duplicates among the records by the text of all their messages; the costly part of every split."""
    texts = ["\n".join(m.content for m in record.request.messages) for record in records]
    return near_duplicates(texts, threshold=threshold)


def list_bonds(records: Sequence[LabelledRequest], pairs: Pairs | None) -> list[tuple[Bond, ...]]:
    """The bonds of each record. A session's name counts within its source only.

    Args:
        records: all records.
        pairs: what `find_pairs(records)` gives; None means to find them here.
    """
    clusters = Clusters(len(records))
    paired: set[int] = set()
    for first, second in find_pairs(records) if pairs is None else pairs:
        clusters.join(first, second)
        paired |= {first, second}
    bonds = []
    for index, record in enumerate(records):
        own = [Bond(BondKind.FAMILY, (record.family,))]
        if record.session is not None:
            own.append(Bond(BondKind.SESSION, (record.source, record.session)))
        if index in paired:
            own.append(Bond(BondKind.DUPLICATE, (clusters.find(index),)))
        bonds.append(tuple(own))
    return bonds


def find_ties(
    records: Sequence[LabelledRequest], bonds: Sequence[tuple[Bond, ...]], indices: Iterable[int]
) -> list[Tie]:
    """The ties among the families of the records at `indices`."""
    seen: dict[Bond, dict[str, int]] = {}
    for index in indices:
        for bond in bonds[index]:
            if bond.kind is not BondKind.FAMILY:
                seen.setdefault(bond, {}).setdefault(records[index].family, index)
    ties: dict[tuple[str, str, BondKind], Tie] = {}
    for bond, firsts in seen.items():
        (family, index), *others = firsts.items()
        for other, place in others:
            key = (family, other, bond.kind)
            tie = Tie((family, other), bond.kind, 0, (records[index].id, records[place].id))
            tie = ties.get(key, tie)
            ties[key] = replace(tie, count=tie.count + 1)
    return list(ties.values())


def find_leaks(
    records: Sequence[LabelledRequest],
    bonds: Sequence[tuple[Bond, ...]],
    sides: Mapping[str, Iterable[int]],
) -> list[Leak]:
    """The bonds that reach over two of the named sides."""
    seen: dict[Bond, dict[str, str]] = {}
    for side, indices in sides.items():
        for index in indices:
            for bond in bonds[index]:
                seen.setdefault(bond, {}).setdefault(side, records[index].id)
    return [Leak(bond.kind, ids) for bond, ids in seen.items() if len(ids) > 1]
