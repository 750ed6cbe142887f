"""Splits that hold a whole technique out: what happens to a kind of attack that was never trained on?

Each fold tests on every extraction record of one technique and on its share of the benign families. Nothing of that
technique trains or validates, nor anything that is bound to a tested record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from stillwatch.data.bonds import Pairs, find_pairs, find_ties, list_bonds
from stillwatch.data.chance import Chance
from stillwatch.data.dealing import Group, group_families, pick_validation
from stillwatch.data.errors import SplitError
from stillwatch.data.labels import TECHNIQUES
from stillwatch.data.records import LabelledRequest
from stillwatch.data.splits import Rotation, build_fold


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
    bonds = list_bonds(records, find_pairs(records) if pairs is None else pairs)
    fixed = [index for index, record in enumerate(records) if record.source in always_train]
    free = [index for index, record in enumerate(records) if record.source not in always_train]
    held = [technique for technique in TECHNIQUES if any(records[index].technique is technique for index in free)]
    if len(held) < 2:
        raise SplitError(
            f"technique: {len(held)} to hold out; give extraction records of two at least that may be tested"
        )
    others = [index for index in free if not records[index].is_extraction]
    ties = find_ties(records, bonds, others)
    hands = _deal(group_families(records, others, ties), len(held), f"{seed}/techniques")
    folds = []
    for technique, hand in zip(held, hands, strict=True):
        name = f"without-{technique.value}"
        test = [index for index in free if records[index].technique is technique]
        test += [index for group in hand for index in group.indices]
        tested = {bond for index in test for bond in bonds[index]}
        outside = set(test)
        barred = [
            index
            for index, record in enumerate(records)
            if index not in outside and (record.technique is technique or not tested.isdisjoint(bonds[index]))
        ]
        outside |= set(barred)
        rest = [index for index in free if index not in outside]
        groups = group_families(records, rest, find_ties(records, bonds, rest))
        kept = [index for index in fixed if index not in outside]
        chosen = pick_validation(groups, validation_share, {records[i].label for i in kept}, f"{seed}/{name}")
        train = [group for group in groups if group not in chosen]
        fold = build_fold(name, records, bonds, (train, chosen, [Group((), tuple(test), Counter())]), kept)
        folds.append(replace(fold, dropped=tuple(sorted((*fold.dropped, *barred)))))
    return Rotation(tuple(folds), tuple(ties))


def _deal(groups: Sequence[Group], num_hands: int, key: str) -> list[list[Group]]:
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
