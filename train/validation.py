"""What a fit looks at while it runs: a draw of the validation records, and how well their families are told apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from transformers import EvalPrediction

from stillwatch.data.records import LabelledRequest
from stillwatch.train.metrics import auroc


def draw_evenly(records: Sequence[LabelledRequest], limit: int, seed: int) -> list[LabelledRequest]:
    """At most `limit` records, dealt family by family in a seeded order, so that no family crowds out another."""
    if len(records) <= limit:
        return list(records)
    rng = np.random.default_rng(seed)
    families: dict[tuple[bool, str], list[LabelledRequest]] = defaultdict(list)
    for index in rng.permutation(len(records)):
        record = records[index]
        families[record.is_extraction, record.family].append(record)
    dealt: list[LabelledRequest] = []
    while len(dealt) < limit:
        dealt += [rows.pop() for rows in families.values() if rows]
    return dealt[:limit]


class FamilyMetric:
    """Mean over held-out extraction families of the AUROC against all held-out benign records."""

    def __init__(self, records: Sequence[LabelledRequest]) -> None:
        """Keep the labels and families of the records that are evaluated, in their order."""
        self._labels: NDArray[np.int64] = np.array([int(r.is_extraction) for r in records])
        self._families = np.array([r.family for r in records])

    def __call__(self, prediction: EvalPrediction) -> dict[str, float]:
        """`family_auroc` and `auroc` of one evaluation; the former NaN where a label is missing."""
        scores = np.asarray(prediction.predictions)[:, 0]
        benign = self._labels == 0
        extraction = sorted(set(self._families[~benign]))
        if not extraction or not benign.any():
            return {"family_auroc": float("nan")}
        per_family = [
            auroc(self._labels[chosen], scores[chosen])
            for chosen in (benign | ((self._families == family) & ~benign) for family in extraction)
        ]
        return {"family_auroc": float(np.mean(per_family)), "auroc": auroc(self._labels, scores)}
