"""Splits records into train, validation and test, by families and never by records.

Families that share a session or a near-duplicate are tied and go together. Ambiguous records stand in tests
only. A fold holds indices, so that one sequence of records serves all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from stillwatch.data.bonds import Bond, Pairs, Tie, find_leaks, find_pairs, find_ties, list_bonds
from stillwatch.data.chance import Chance
from stillwatch.data.dealing import Group, deal_groups, group_families, pick_validation
from stillwatch.data.errors import ConfigError, SplitError
from stillwatch.data.labels import Label
from stillwatch.data.records import LabelledRequest

_NAMED = 5  # leaks that an error names


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


@dataclass(frozen=True, slots=True)
class Rotation:
    """Folds whose tests cover every family once, and the families that had to go together."""

    folds: tuple[Fold, ...]
    ties: tuple[Tie, ...]


def rotate_families(
    records: Sequence[LabelledRequest],
    *,
    num_folds: int,
    seed: int,
    validation_share: float,
    always_train: frozenset[str] = frozenset(),
    pairs: Pairs | None = None,
) -> Rotation:
    """Deal the families into test groups, one a fold, with both labels in every side.

    Args:
        records: all records.
        num_folds: test groups.
        seed: the only source of chance.
        validation_share: the share of each label's remaining families that validate; two families at least
            where there are enough.
        always_train: sources whose records never validate or test.
        pairs: what `find_pairs(records)` gives; None means to find them here.

    Raises:
        ConfigError: fewer than two folds, or a share that is not between 0 and 1.
        SplitError: too few families of a label for that many folds.
    """
    if num_folds < 2:
        raise ConfigError(f"num_folds: {num_folds}; choose at least 2")
    if not 0 < validation_share < 1:
        raise ConfigError("validation_share: a share outside its range; choose one between 0 and 1")
    bonds = list_bonds(records, find_pairs(records) if pairs is None else pairs)
    fixed = [index for index, record in enumerate(records) if record.source in always_train]
    free = [index for index, record in enumerate(records) if record.source not in always_train]
    ties = find_ties(records, bonds, free)
    hands = deal_groups(group_families(records, free, ties), num_folds, seed)
    folds = []
    for number, hand in enumerate(hands):
        name = f"fold-{number}"
        rest = [group for other in hands if other is not hand for group in other]
        fixed_labels = {records[index].label for index in fixed}
        chosen = pick_validation(rest, validation_share, fixed_labels, f"{seed}/{name}")
        train = [group for group in rest if group not in chosen]
        folds.append(build_fold(name, records, bonds, (train, chosen, hand), fixed))
    return Rotation(tuple(folds), tuple(ties))


def hold_out(
    records: Sequence[LabelledRequest],
    *,
    test_families: frozenset[str],
    validation_families: frozenset[str],
    pairs: Pairs | None = None,
) -> Fold:
    """The fold with the named families held out, and every other family to train on.

    Raises:
        SplitError: a name is unknown or stands on both sides, or the fold would leak.
    """
    unknown = (test_families | validation_families) - {record.family for record in records}
    if unknown:
        raise SplitError(f"families: {_list_names(unknown)} not among the records; name families that are")
    if both := test_families & validation_families:
        raise SplitError(f"families: {_list_names(both)} named for validation and test; name each once")
    clear = [index for index, record in enumerate(records) if record.label is not Label.AMBIGUOUS]
    held = test_families | validation_families
    fold = Fold(
        name="held-out",
        train=tuple(index for index in clear if records[index].family not in held),
        validation=tuple(index for index in clear if records[index].family in validation_families),
        test=tuple(index for index, record in enumerate(records) if record.family in test_families),
    )
    check_fold(records, fold, pairs=pairs)
    return fold


def transfer(
    records: Sequence[LabelledRequest],
    *,
    test_sources: frozenset[str],
    seed: int,
    validation_share: float,
    always_train: frozenset[str] = frozenset(),
    pairs: Pairs | None = None,
) -> Fold:
    """The fold that tests on whole sources and learns from the others, such as generated to real.

    Undecided records train nothing; what is bound to a tested record is left out of training.

    Args:
        records: all records.
        test_sources: sources whose records are the test, every one of them.
        seed: the only source of chance.
        validation_share: the share of each label's remaining families that validate.
        always_train: sources whose records never validate.
        pairs: what `find_pairs(records)` gives; None means to find them here.

    Raises:
        SplitError: too few families beside the test.
    """
    bonds = list_bonds(records, find_pairs(records) if pairs is None else pairs)
    test = [index for index, record in enumerate(records) if record.source in test_sources]
    tested = {bond for index in test for bond in bonds[index]}
    rest = [index for index, record in enumerate(records) if record.source not in test_sources and record.is_decided]
    bound = [index for index in rest if not tested.isdisjoint(bonds[index])]
    rest = [index for index in rest if tested.isdisjoint(bonds[index])]
    fixed = [index for index in rest if records[index].source in always_train]
    free = [index for index in rest if records[index].source not in always_train]
    groups = group_families(records, free, find_ties(records, bonds, free))
    chosen = pick_validation(groups, validation_share, {records[index].label for index in fixed}, f"{seed}/transfer")
    train = [group for group in groups if group not in chosen]
    fold = build_fold("transfer", records, bonds, (train, chosen, [Group((), tuple(test), Counter())]), fixed)
    return replace(fold, dropped=tuple(sorted((*fold.dropped, *bound))))


def set_aside(
    records: Sequence[LabelledRequest], fold: Fold, *, share: float, seed: int, pairs: Pairs | None = None
) -> Fold:
    """The fold without some of the families with attributes that it trains on: nobody else can judge attributes.

    A fold whose validation has records with attributes is given back as it is.

    Args:
        records: what the fold's indices point into.
        fold: the fold.
        share: of the families with attributes in its training records, to set aside; at least one.
        seed: the only source of chance.
        pairs: what `find_pairs(records)` gives; None means to find them here.
    """
    named = [index for index in fold.train if records[index].attributes]
    if not named or any(records[index].attributes for index in fold.validation):
        return fold
    bonds = list_bonds(records, find_pairs(records) if pairs is None else pairs)
    groups = group_families(records, named, find_ties(records, bonds, named))
    Chance(f"{seed}/{fold.name}/aside").shuffle(groups)
    wanted = max(1, round(share * sum(len(group.families) for group in groups)))
    chosen: list[Group] = []
    for group in sorted(groups, key=lambda group: len(group.families)):  # large ties stay in training
        if sum(len(each.families) for each in chosen) < wanted:
            chosen.append(group)
    aside = {index for group in chosen for index in group.indices}
    held = {bond for index in aside for bond in bonds[index]}
    bound = {index for index in fold.train if index not in aside and not held.isdisjoint(bonds[index])}
    return replace(
        fold,
        train=tuple(index for index in fold.train if index not in aside | bound),
        dropped=tuple(sorted((*fold.dropped, *bound))),
        aside=tuple(sorted(aside)),
    )


def deal(
    records: Sequence[LabelledRequest],
    *,
    seed: int,
    test_share: float,
    validation_share: float,
    pairs: Pairs | None = None,
) -> Fold:
    """The one split of a dataset: families dealt into train, validation and test, undecided records with theirs.

    Families with ambiguous records are for testing.

    Args:
        records: all records.
        seed: the only source of chance.
        test_share: the share of each label's families that test.
        validation_share: the share of each label's other families that validate.
        pairs: what `find_pairs(records)` gives; None means to find them here.

    Raises:
        SplitError: a label has too few families.
    """
    bonds = list_bonds(records, find_pairs(records) if pairs is None else pairs)
    everything = range(len(records))
    groups = group_families(records, everything, find_ties(records, bonds, everything))
    unclear = [group for group in groups if group.num_families[Label.AMBIGUOUS]]
    rest = [group for group in groups if group not in unclear]
    test = pick_validation(rest, test_share, frozenset(), f"{seed}/test")
    rest = [group for group in rest if group not in test]
    chosen = pick_validation(rest, validation_share, frozenset(), f"{seed}/deal")
    train = [group for group in rest if group not in chosen]
    return build_fold("deal", records, bonds, (train, chosen, [*test, *unclear]), ())


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
    bonds = list_bonds(records, find_pairs(records) if pairs is None else pairs)
    leaks = find_leaks(records, bonds, fold.sides)
    if leaks:
        named = "; ".join(str(leak) for leak in leaks[:_NAMED])
        more = f"; and {len(leaks) - _NAMED} more" if len(leaks) > _NAMED else ""
        raise SplitError(f"{fold.name}: leaks: {named}{more}; put each on one side")


def build_fold(
    name: str,
    records: Sequence[LabelledRequest],
    bonds: Sequence[tuple[Bond, ...]],
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
            f"{name}: no {_list_names(lacking)} record left to train on; "
            "add families, or fewer duplicates of the tested ones"
        )
    return Fold(name, *(tuple(sorted(side)) for side in (train, validation, test, dropped)))


def _list_names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
