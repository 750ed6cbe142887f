"""Takes outward differences between the labels away by weighing or thinning records, never by changing a text.

The weights are overlap weights (Li, Morgan and Zaslavsky 2018, "Balancing covariates via propensity score weighting"):
a logistic regression guesses the label from the ranks of the surface features, and each record weighs as much as the
other label was likely. With ranks as covariates the mean rank of every feature is then the same under both labels,
which is an AUC of one half. Done within each group of confusable records that is large enough, and over the rest
together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression

from stillwatch.data.chance import Chance
from stillwatch.data.labels import Label
from stillwatch.data.records import LabelledRequest
from stillwatch.data.surface import tabulate_surface

MIN_GROUP = 150
"""Records of each label from which a group is balanced by itself."""

_CLIP = 6.0  # times the mean weight: no record may stand for a crowd
_PENALTY = 10.0  # inverse strength of the ridge: weak, for exact balance, yet finite where a feature separates

GroupOf = Callable[[LabelledRequest], str]
"""Names the confusable group of a record: those that ask about like things in like forms."""


def group_by_theme(record: LabelledRequest) -> str:
    """The default group: the source of a record, with the theme of a generated family."""
    return f"{record.source}/{record.family.partition('.')[0]}"


def weigh(records: Sequence[LabelledRequest], *, group_of: GroupOf = group_by_theme) -> NDArray[np.float64]:
    """Weights under which no surface feature tells the labels apart, as far as the records allow.

    Args:
        records: labelled requests. Undecided ones weigh nothing in the balance and get 1.
        group_of: which records are balanced against each other.

    Returns:
        weights of shape (records,), with mean 1 within each label.
    """
    weights = np.ones(len(records))
    decided = [index for index, record in enumerate(records) if record.is_decided]
    names = {index: group_of(records[index]) for index in decided}
    sizes = Counter((names[index], records[index].label) for index in decided)
    large = {name for name in names.values() if min(sizes[name, label] for label in _LABELS) >= MIN_GROUP}
    groups: dict[str | None, list[int]] = {}
    for index in decided:
        groups.setdefault(names[index] if names[index] in large else None, []).append(index)
    for indices in groups.values():
        weights[indices] = _weigh_group([records[index] for index in indices])
    # The groups' leftovers add up: one more pass over all evens them out.
    weights[decided] = _weigh_group([records[index] for index in decided], weights[decided])
    return weights


def thin_to_balance(
    records: Sequence[LabelledRequest], *, seed: int, group_of: GroupOf = group_by_theme
) -> list[LabelledRequest]:
    """The records without those that make the difference: each is kept with a chance in proportion to its weight.

    Args:
        records: labelled requests, in an order that is kept; undecided ones all stay.
        seed: the only source of chance.
        group_of: which records are balanced against each other.
    """
    weights = weigh(records, group_of=group_of)
    scale = {label: _scale([w for r, w in zip(records, weights, strict=True) if r.label is label]) for label in Label}
    kept = []
    for record, weight in zip(records, weights, strict=True):
        chance = Chance(f"{seed}/balance/{record.id}").random()
        if not record.is_decided or chance < weight / scale[record.label]:
            kept.append(record)
    return kept


_LABELS = (Label.BENIGN, Label.EXTRACTION)


def _scale(weights: Sequence[float]) -> float:
    """The weight that is kept for sure: high enough that few records stand above it."""
    return float(np.quantile(weights, 0.9)) if len(weights) else 1.0


def _weigh_group(records: Sequence[LabelledRequest], prior: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    labels = np.array([record.is_extraction for record in records])
    prior = np.ones(len(records)) if prior is None else prior
    if labels.all() or not labels.any():
        return prior
    _, table = tabulate_surface(records)
    ranks = np.apply_along_axis(rankdata, 0, table) / len(records) - 0.5
    even = prior.copy()  # both labels weigh the same, whatever their numbers
    for side in (labels, ~labels):
        even[side] /= even[side].sum()
    model = LogisticRegression(C=_PENALTY, max_iter=500)
    model.fit(ranks, labels, sample_weight=even * len(records))
    chance = model.predict_proba(ranks)[:, 1]
    weights = prior * np.where(labels, 1 - chance, chance)
    for side in (labels, ~labels):
        mean = weights[side].mean()
        weights[side] = np.minimum(weights[side], _CLIP * mean)
        weights[side] /= weights[side].mean()
    return np.asarray(weights, np.float64)
