"""Deals groups of tied families into folds and validation sets, so that every side has both labels.

Families are counted, not records: a family with a thousand records weighs no more than one with ten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

from stillwatch.data.bonds import Tie
from stillwatch.data.chance import Chance
from stillwatch.data.clusters import Clusters
from stillwatch.data.errors import SplitError
from stillwatch.data.labels import Label
from stillwatch.data.records import LabelledRequest

_BOTH = (Label.EXTRACTION, Label.BENIGN)
_MIN_VALIDATION = 2  # families of a label, where there are enough


@dataclass(frozen=True, slots=True)
class Group:
    """Families that go together.

    Attributes:
        families: their names.
        indices: their records.
        num_families: how many of them have records of each label.
    """

    families: tuple[str, ...]
    indices: tuple[int, ...]
    num_families: Counter[Label]


def group_families(records: Sequence[LabelledRequest], indices: Iterable[int], ties: Iterable[Tie]) -> list[Group]:
    """The groups that the ties make of the families of the records at `indices`."""
    members: dict[str, list[int]] = {}
    for index in indices:
        members.setdefault(records[index].family, []).append(index)
    names = sorted(members)
    places = {name: place for place, name in enumerate(names)}
    clusters = Clusters(len(names))
    for tie in ties:
        clusters.join(places[tie.families[0]], places[tie.families[1]])
    groups = []
    for group in clusters.groups():
        families = tuple(names[place] for place in group)
        labels = Counter(label for name in families for label in {records[index].label for index in members[name]})
        rows = tuple(sorted(index for name in families for index in members[name]))
        groups.append(Group(families, rows, labels))
    return groups


def deal_groups(groups: Sequence[Group], num_folds: int, seed: int) -> list[list[Group]]:
    """Deal the groups into hands of about equal numbers of families of each label.

    Raises:
        SplitError: a hand would lack a label.
    """
    total = sum((group.num_families for group in groups), Counter[Label]())
    order = list(groups)
    Chance(f"{seed}/deal").shuffle(order)
    order.sort(key=lambda group: len(group.families), reverse=True)
    hands: list[list[Group]] = [[] for _ in range(num_folds)]
    counts = [Counter[Label]() for _ in range(num_folds)]

    def rise(fold: int, group: Group) -> tuple[float, int]:
        """How much the hand's imbalance rises with the group; then how many records the hand has."""
        rises = (
            ((counts[fold][label] + number) ** 2 - counts[fold][label] ** 2) / total[label] ** 2
            for label, number in group.num_families.items()
        )
        return round(sum(rises), 12), sum(len(held.indices) for held in hands[fold])

    for group in order:
        fold = min(range(num_folds), key=lambda fold: rise(fold, group))
        hands[fold].append(group)
        counts[fold] += group.num_families
    for label in _BOTH:
        if not all(count[label] for count in counts):
            able = sum(1 for group in groups if group.num_families[label])
            raise SplitError(
                f"num_folds: {total[label]} {label} families in {able} untied groups do not fill the tests of "
                f"{num_folds} folds; use fewer folds or add {label} families"
            )
    return hands


def pick_validation(groups: Sequence[Group], share: float, fixed_labels: Set[Label], key: str) -> list[Group]:
    """Choose groups to validate on; each label keeps a family for training.

    Args:
        groups: all groups that are not for testing.
        share: the share of each label's families to choose; two at least where there are enough.
        fixed_labels: labels that train anyhow, by records outside the groups.
        key: the only source of chance.

    Raises:
        SplitError: a label has too few families to train and to validate.
    """
    total = sum((group.num_families for group in groups), Counter[Label]())
    limits = {label: total[label] - (label not in fixed_labels) for label in _BOTH}
    quotas = {label: min(limits[label], max(_MIN_VALIDATION, round(share * total[label]))) for label in _BOTH}
    order = list(groups)
    Chance(f"{key}/validation").shuffle(order)
    order.sort(key=lambda group: len(group.families))
    chosen: list[Group] = []
    counts = Counter[Label]()
    for group in order:
        wanted = any(group.num_families[label] and counts[label] < quotas[label] for label in _BOTH)
        fits = all(counts[label] + group.num_families[label] <= limits[label] for label in _BOTH)
        if wanted and fits:
            chosen.append(group)
            counts += group.num_families
    for label in _BOTH:
        if not counts[label]:
            raise SplitError(
                f"validation_share: {total[label]} {label} families beside the test are too few to train and to "
                f"validate; use fewer folds or add {label} families that are not tied to the others"
            )
    return chosen
