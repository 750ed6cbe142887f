"""From which logit on an attribute is named in a verdict: as low as precision on held-out families allows.

A reason that is wrong more than once in five times costs an analyst more than it tells, so an attribute that cannot do
better, or was seen too rarely to say, is never named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stillwatch.data.records import LabelledRequest
from stillwatch.model.logits import RequestLogits

MIN_PRECISION = 0.8
MIN_NAMED = 20
"""Requests that must be named before a precision counts."""
MIN_FAMILIES = 5
"""Families that those requests must come from."""


@dataclass(frozen=True, slots=True)
class AttributeLogits:
    """Logits of records whose attributes are known, none of whose families was trained on.

    Attributes:
        names: of the attributes, in the order of the columns.
        logits: raw, shape (records, attributes).
        truth: whether a record has an attribute, same shape.
        families: of each record.
    """

    names: tuple[str, ...]
    logits: NDArray[np.float64]
    truth: NDArray[np.bool_]
    families: tuple[str, ...]

    @classmethod
    def collect(
        cls, names: Sequence[str], records: Sequence[LabelledRequest], logits: Sequence[RequestLogits]
    ) -> AttributeLogits:
        """Those of the records that say which attributes they have."""
        known = [(r, each.attributes) for r, each in zip(records, logits, strict=True) if names and r.attributes]
        return cls(
            tuple(names),
            np.array([found for _, found in known], np.float64).reshape(len(known), len(names)),
            np.array([[name in r.attributes for name in names] for r, _ in known], np.bool_).reshape(
                len(known), len(names)
            ),
            tuple(record.family for record, _ in known),
        )


def fit_attribute_logits(folds: Sequence[AttributeLogits]) -> dict[str, float]:
    """The logit from which on each attribute is named, over the records of all folds.

    The lowest one at which at least `MIN_PRECISION` of the records at or above it have the attribute, and these are at
    least `MIN_NAMED` of `MIN_FAMILIES` families. An attribute without such a logit is left out.
    """
    logits = np.concatenate([fold.logits for fold in folds])
    truth = np.concatenate([fold.truth for fold in folds])
    families = np.array([family for fold in folds for family in fold.families])
    found = {}
    for column, name in enumerate(folds[0].names):
        order = np.argsort(-logits[:, column], kind="stable")
        ranked, hits = logits[order, column], truth[order, column]
        counts = np.arange(1, len(order) + 1)
        last_of_tie = np.append(ranked[1:] != ranked[:-1], True)[: len(order)]
        good = (np.cumsum(hits) / counts >= MIN_PRECISION) & (counts >= MIN_NAMED) & last_of_tie
        if good.any() and len(set(families[order[: (end := int(np.flatnonzero(good)[-1])) + 1]])) >= MIN_FAMILIES:
            found[name] = float(ranked[end])
    return found
