"""Rotations: folds that take turns at holding something out, families or whole techniques.

A rotation over families tests every family once. A rotation over techniques asks what happens to a kind of attack that
was never trained on: each fold tests on every extraction record of one technique and on its share of the benign
families, and nothing of that technique, nor anything that is bound to a tested record, trains or validates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from stillwatch.data.bonds import Pairs, Tie, find_ties, list_bonds
from stillwatch.data.chance import Chance
from stillwatch.data.dealing import Group, deal_groups, group_families, pick_validation
from stillwatch.data.errors import ConfigError, SplitError
from stillwatch.data.folds import Fold, build_fold, build_fold_around, part_records
from stillwatch.data.labels import TECHNIQUES
from stillwatch.data.records import LabelledRequest


@dataclass(frozen=True, slots=True)
class Rotation:
    """Folds that are run one after the other, and the families that had to go together."""

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
    bonds = list_bonds(records, pairs)
    fixed, free = part_records(records, always_train)
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


def rotate_techniques(
    records: Sequence[LabelledRequest],
    *,
    seed: int,
    validation_share: float,
    always_train: frozenset[str] = frozenset(),
    pairs: Pairs | None = None,
) -> Rotation:
    """A fold for each technique that can be tested, in the order of `TECHNIQUES`.

    Args:
        records: all records.
        seed: the only source of chance.
        validation_share: the share of each label's remaining families that validate.
        always_train: sources whose records never validate or test; those of the held technique are dropped.
        pairs: what `find_pairs(records)` gives; None means to find them here.

    Returns:
        folds named `without-<technique>`, and the ties between benign families that were dealt together.

    Raises:
        SplitError: fewer than two techniques can be tested, or too few families are left beside one.
    """
    bonds = list_bonds(records, pairs)
    fixed, free = part_records(records, always_train)
    held = [technique for technique in TECHNIQUES if any(records[index].technique is technique for index in free)]
    if len(held) < 2:
        raise SplitError(
            f"technique: {len(held)} to hold out; give extraction records of two at least that may be tested"
        )
    others = [index for index in free if not records[index].is_extraction]
    ties = find_ties(records, bonds, others)
    hands = _deal_evenly(group_families(records, others, ties), len(held), f"{seed}/techniques")
    folds = []
    for technique, hand in zip(held, hands, strict=True):
        test = [index for index in free if records[index].technique is technique]
        test += [index for group in hand for index in group.indices]
        tested = set(test)
        alike = [index for index in fixed if records[index].technique is technique]
        fold = build_fold_around(
            f"without-{technique.value}",
            records,
            bonds,
            test,
            (
                [index for index in fixed if records[index].technique is not technique],
                [index for index in free if index not in tested],
            ),
            validation_share=validation_share,
            seed=seed,
        )
        folds.append(replace(fold, dropped=tuple(sorted((*fold.dropped, *alike)))))
    return Rotation(tuple(folds), tuple(ties))


def _deal_evenly(groups: Sequence[Group], num_hands: int, key: str) -> list[list[Group]]:
    """Hands of about equal numbers of families, the largest groups first."""
    if len(groups) < num_hands:
        raise SplitError(
            f"benign families: {len(groups)} untied groups for {num_hands} techniques; add benign families, for each "
            "technique is tested beside some"
        )
    order = list(groups)
    Chance(key).shuffle(order)
    order.sort(key=lambda group: -len(group.families))
    hands: list[list[Group]] = [[] for _ in range(num_hands)]
    for group in order:
        min(hands, key=lambda hand: sum(len(each.families) for each in hand)).append(group)
    return hands
