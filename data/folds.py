"""A fold: one way to split records into train, validation and test, how it is built, and that nothing leaks in it.

Families are the unit, never records. Families that share a session or a near-duplicate are tied and go together.
Ambiguous records stand in tests only. A fold holds indices, so that one sequence of records serves all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from stillwatch.data.bonds import Bond, Pairs, find_leaks, find_ties, list_bonds
from stillwatch.data.dealing import Group, group_families, pick_validation
from stillwatch.data.errors import SplitError
from stillwatch.data.labels import Label
from stillwatch.data.records import LabelledRequest

_NAMED = 5  # leaks that an error names

Bonds = Sequence[tuple[Bond, ...]]
"""The bonds of each record, as `list_bonds` gives them."""


@dataclass(frozen=True, slots=True)
class Fold:
    """One way to split the records; each side holds their indices, rising.

    Attributes:
        name: `fold-0`, `held-out`.
        train: to fit on.
        validation: to choose and calibrate on.
        test: to measure on; the only side with ambiguous records.
        dropped: records that are always for training, but not in this fold: they are bound to a record of
            validation, test or aside, or are ambiguous.
        aside: records of families with attributes, to set the thresholds of attributes on and for nothing else; empty
            but where `set_aside` was asked for them.
    """

    name: str
    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]
    dropped: tuple[int, ...] = ()
    aside: tuple[int, ...] = ()

    @property
    def sides(self) -> Mapping[str, tuple[int, ...]]:
        """The three sides by name, and what was set aside where there is something."""
        sides = {"train": self.train, "validation": self.validation, "test": self.test}
        return sides | ({"aside": self.aside} if self.aside else {})


def part_records(records: Sequence[LabelledRequest], always_train: Set[str]) -> tuple[list[int], list[int]]:
    """Indices of the records of the sources `always_train`, which are for training alone, and of all others."""
    fixed = [index for index, record in enumerate(records) if record.source in always_train]
    free = [index for index, record in enumerate(records) if record.source not in always_train]
    return fixed, free


def build_fold(
    name: str,
    records: Sequence[LabelledRequest],
    bonds: Bonds,
    groups: tuple[Iterable[Group], Iterable[Group], Iterable[Group]],
    fixed: Sequence[int],
) -> Fold:
    """The fold of dealt groups, without ambiguous records beside the test.

    Args:
        name: of the fold.
        records: all records.
        bonds: what `list_bonds` gives for them.
        groups: those that train, validate and test; nothing may be bound across them.
        fixed: indices of records that are for training alone; those bound to a held one are dropped.

    Raises:
        SplitError: a label has no record left to train on.
    """
    train, validation, test = ([index for group in side for index in group.indices] for side in groups)
    train, validation = (
        [index for index in side if records[index].label is not Label.AMBIGUOUS] for side in (train, validation)
    )
    held = {bond for index in (*validation, *test) for bond in bonds[index]}
    dropped = [index for index in fixed if records[index].label is Label.AMBIGUOUS or not held.isdisjoint(bonds[index])]
    train += set(fixed).difference(dropped)
    lacking = {Label.EXTRACTION, Label.BENIGN} - {records[index].label for index in train}
    if lacking:
        raise SplitError(
            f"{name}: no {', '.join(sorted(lacking))} record left to train on; "
            "add families, or fewer duplicates of the tested ones"
        )
    return Fold(name, *(tuple(sorted(side)) for side in (train, validation, test, dropped)))


def build_fold_around(
    name: str,
    records: Sequence[LabelledRequest],
    bonds: Bonds,
    test: Sequence[int],
    sides: tuple[Sequence[int], Sequence[int]],
    *,
    validation_share: float,
    seed: int,
) -> Fold:
    """The fold of a given test; what is bound to a tested record is dropped, and some of the rest validates.

    Args:
        name: of the fold.
        records: all records.
        bonds: what `list_bonds` gives for them.
        test: indices of the tested records.
        sides: indices of the other records that may be learnt from: those for training alone, and those that may
            also validate.
        validation_share: the share of each label's families among the latter that validate.
        seed: the only source of chance.

    Raises:
        SplitError: too few families beside the test.
    """
    tested = {bond for index in test for bond in bonds[index]}
    bound = [index for side in sides for index in side if not tested.isdisjoint(bonds[index])]
    fixed, free = ([index for index in side if tested.isdisjoint(bonds[index])] for side in sides)
    groups = group_families(records, free, find_ties(records, bonds, free))
    fixed_labels = {records[index].label for index in fixed}
    chosen = pick_validation(groups, validation_share, fixed_labels, f"{seed}/{name}")
    train = [group for group in groups if group not in chosen]
    fold = build_fold(name, records, bonds, (train, chosen, [Group((), tuple(test), Counter())]), fixed)
    return replace(fold, dropped=tuple(sorted((*fold.dropped, *bound))))


def check_fold(records: Sequence[LabelledRequest], fold: Fold, *, pairs: Pairs | None = None) -> None:
    """Verify that nothing is bound across the sides of a fold, and that no ambiguous record trains or validates.

    Args:
        records: what the fold's indices point into.
        fold: the fold.
        pairs: what `find_pairs(records)` gives; None means to find them here.

    Raises:
        SplitError: it does not hold; records are named by their ids.
    """
    if any(not 0 <= index < len(records) for side in fold.sides.values() for index in side):
        raise SplitError(f"{fold.name}: indices beyond the {len(records)} records; split these records again")
    ambiguous = [
        records[index].id for index in (*fold.train, *fold.validation) if records[index].label is Label.AMBIGUOUS
    ]
    if ambiguous:
        raise SplitError(
            f"{fold.name}: {len(ambiguous)} ambiguous records beside the test, such as {ambiguous[0]}; "
            "keep them for the test"
        )
    leaks = find_leaks(records, list_bonds(records, pairs), fold.sides)
    if leaks:
        named = "; ".join(str(leak) for leak in leaks[:_NAMED])
        more = f"; and {len(leaks) - _NAMED} more" if len(leaks) > _NAMED else ""
        raise SplitError(f"{fold.name}: leaks: {named}{more}; put each on one side")
