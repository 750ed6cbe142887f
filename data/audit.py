"""The shortcut audit: how far one outward feature alone tells extraction from benign.

A dataset whose lengths or languages give its labels away teaches a model just that. The measure is the area under the
ROC curve of each feature of `stillwatch.data.surface`, folded so that 0.5 is none and 1 is all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from stillwatch.data.errors import AuditError, SourceError
from stillwatch.data.records import LabelledRequest
from stillwatch.data.surface import tabulate_surface


@dataclass(frozen=True, slots=True)
class FeatureAuc:
    """What one feature gives away: `auc` is above 0.5 where extraction has more of it."""

    feature: str
    auc: float

    @property
    def strength(self) -> float:
        """Distance from chance, as an AUC of at least 0.5."""
        return max(self.auc, 1 - self.auc)


@dataclass(frozen=True, slots=True)
class Audit:
    """The features of a dataset, strongest first, over how many decided records of each label."""

    features: tuple[FeatureAuc, ...]
    num_extraction: int
    num_benign: int

    @property
    def worst(self) -> FeatureAuc:
        """The strongest feature."""
        return self.features[0]

    def require(self, limit: float) -> None:
        """Hold the dataset to a limit.

        Raises:
            AuditError: features are stronger; they are named with their AUC.
        """
        over = [feature for feature in self.features if feature.strength > limit]
        if over:
            named = ", ".join(f"{feature.feature} {feature.auc:.3f}" for feature in over[:5])
            raise AuditError(
                f"shortcut audit: {len(over)} features tell the labels apart beyond AUC {limit:g}: {named}; "
                "balance the records, or add families that lack the difference"
            )

    def as_json(self) -> dict[str, object]:
        """Plain JSON types."""
        return {
            "num_extraction": self.num_extraction,
            "num_benign": self.num_benign,
            "auc": {feature.feature: round(feature.auc, 4) for feature in self.features},
        }


def audit_surface(records: Sequence[LabelledRequest], weights: NDArray[np.float64] | None = None) -> Audit:
    """Measure every surface feature on the decided records.

    Args:
        records: labelled requests; undecided ones are passed over.
        weights: of the records, shape (records,); equal ones when left out.

    Raises:
        SourceError: a label is missing.
    """
    decided = [index for index, record in enumerate(records) if record.is_decided]
    labels = np.array([records[index].is_extraction for index in decided])
    if not len(labels) or labels.all() or not labels.any():
        raise SourceError("records: one label only; an audit needs benign and request-visible extraction records")
    names, table = tabulate_surface([records[index] for index in decided])
    chosen = None if weights is None else weights[decided]
    aucs = [float(roc_auc_score(labels, column, sample_weight=chosen)) for column in table.T]
    features = sorted(map(FeatureAuc, names, aucs), key=lambda feature: -feature.strength)
    return Audit(tuple(features), int(labels.sum()), int((~labels).sum()))
