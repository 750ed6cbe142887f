"""Platt scaling and thresholds from scores of held-out families."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from stillwatch.data.records import LabelledRequest
from stillwatch.model.calibration import Calibration
from stillwatch.train.metrics import threshold_at_fpr


def fit_calibration(
    records: Sequence[LabelledRequest], logits: NDArray[np.float64], *, review_fpr: float, flag_fpr: float
) -> Calibration:
    """Fit a calibration on held-out records; families weigh the same within a label, and labels the same.

    Args:
        records: of families that the model was not trained on, both labels.
        logits: their raw extraction logits, shape (records,).
        review_fpr: share of benign records at or above the review threshold.
        flag_fpr: the same for the flag threshold. With fewer than 1 / flag_fpr benign records it lies just above
            the highest benign score, and the bundle says on how many it rests.
    """
    labels = np.array([int(record.is_extraction) for record in records])
    sizes = Counter((record.is_extraction, record.family) for record in records)
    num_families = Counter(is_extraction for is_extraction, _ in sizes)
    weights = np.array([1 / sizes[r.is_extraction, r.family] / num_families[r.is_extraction] for r in records])
    regression = LogisticRegression(C=1e3).fit(logits[:, None], labels, sample_weight=weights * len(records) / 2)
    slope = max(float(regression.coef_[0, 0]), 1e-3)  # a model worse than chance must not turn the order round
    intercept = float(regression.intercept_[0])
    calibrated = slope * logits + intercept
    review, flag = _find_thresholds(labels, calibrated, review_fpr, flag_fpr)
    return Calibration(
        slope=slope,
        intercept=intercept,
        review_logit=review,
        flag_logit=flag,
        review_fpr=review_fpr,
        flag_fpr=flag_fpr,
        num_benign=int((labels == 0).sum()),
        num_extraction=int(labels.sum()),
    )


def set_thresholds(
    calibration: Calibration, records: Sequence[LabelledRequest], calibrated: NDArray[np.float64]
) -> Calibration:
    """Take the thresholds from tested records: where validation is of another origin than traffic, its own mislead.

    Args:
        calibration: whose rates are kept.
        records: tested; those that one request does not decide are passed over.
        calibrated: their calibrated logits, shape (records,).
    """
    kept = np.array([record.is_decided for record in records])
    labels = np.array([int(record.is_extraction) for record in records])[kept]
    review, flag = _find_thresholds(labels, calibrated[kept], calibration.review_fpr, calibration.flag_fpr)
    return calibration.model_copy(
        update={
            "review_logit": review,
            "flag_logit": flag,
            "thresholds_on": "test",
            "num_benign": int((labels == 0).sum()),
            "num_extraction": int(labels.sum()),
        }
    )


def _find_thresholds(
    labels: NDArray[np.int64], calibrated: NDArray[np.float64], review_fpr: float, flag_fpr: float
) -> tuple[float, float]:
    review, flag = (threshold_at_fpr(labels, calibrated, fpr) for fpr in (review_fpr, flag_fpr))
    return review, max(flag, review)
