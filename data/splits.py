"""Splits made once: by families dealt or named, or by whole sources; and families set aside out of training.

A split is a `Fold`: families are its unit, never records. Rotations, which make several folds, are in
`stillwatch.data.rotations`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from stillwatch.data.bonds import Pairs, find_ties, list_bonds
from stillwatch.data.chance import Chance
from stillwatch.data.dealing import Group, group_families, pick_validation
from stillwatch.data.errors import SplitError
from stillwatch.data.folds import Fold, build_fold, build_fold_around, check_fold, part_records
from stillwatch.data.labels import Label
from stillwatch.data.records import LabelledRequest


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
    bonds = list_bonds(records, pairs)
    test = [index for index, record in enumerate(records) if record.source in test_sources]
    fixed, free = (
        [index for index in part if records[index].source not in test_sources and records[index].is_decided]
        for part in part_records(records, always_train)
    )
    return build_fold_around(
        "transfer", records, bonds, test, (fixed, free), validation_share=validation_share, seed=seed
    )


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
    bonds = list_bonds(records, pairs)
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
    bonds = list_bonds(records, pairs)
    everything = range(len(records))
    groups = group_families(records, everything, find_ties(records, bonds, everything))
    unclear = [group for group in groups if group.num_families[Label.AMBIGUOUS]]
    rest = [group for group in groups if group not in unclear]
    test = pick_validation(rest, test_share, frozenset(), f"{seed}/test")
    rest = [group for group in rest if group not in test]
    chosen = pick_validation(rest, validation_share, frozenset(), f"{seed}/deal")
    train = [group for group in rest if group not in chosen]
    return build_fold("deal", records, bonds, (train, chosen, [*test, *unclear]), ())


def _list_names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
