"""Thresholds with their promise, and a bundle sealed with them; `exporting.py` writes the network.

Needs no torch: whoever calibrates beside a gateway has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from stillwatch.model.bundle import (
    CALIBRATION,
    MODEL_CARD,
    STREAM_JSON,
    STREAM_ONNX,
    Bundle,
    copy_bundle,
    load_bundle,
    seal_bundle,
)
from stillwatch.model.calibration import Calibration
from stillwatch.model.streams.detector import STREAM_FORMAT_VERSION, StreamDetector, StreamModel
from stillwatch.model.streams.fingerprint import FINGERPRINT_VERSION
from stillwatch.model.streams.layout import LAYOUT_VERSION
from stillwatch.model.streams.observation import Projection
from stillwatch.model.streams.verdict import Promise, StreamCalibration
from stillwatch.train.streams.arrays import Floats
from stillwatch.train.streams.conformal import ConformalThreshold, calibrate_threshold

_CONFIDENCE = 0.95
_REVIEW_FACTOR = 10.0
_MOST_REVIEW = 0.05
_PLATT = (1.0, 0.0)


_SECTION = "## Accounts"
"""Heading of the model card's part on streams."""


def choose_review_rate(account_fpr: float) -> float:
    """The promised rate of `review`: ten times that of `flag`, at most 5%, never below it."""
    return max(account_fpr, min(_MOST_REVIEW, _REVIEW_FACTOR * account_fpr))


def make_calibration(
    honest: Floats,
    *,
    account_fpr: float,
    horizon: int,
    confidence: float | None = None,
    operators: Floats | None = None,
    before: StreamCalibration | None = None,
) -> StreamCalibration:
    """Thresholds from the running maxima of honest accounts; `review` promises ten times the rate, at most 5%.

    Args:
        honest: running maxima of accounts that nothing was fitted on, shape (accounts,).
        account_fpr: share of honest accounts that may ever be flagged.
        horizon: requests that the maxima ran over.
        confidence: as of `calibrate_threshold`.
        operators: running maxima of operators' accounts, from which the probability is fitted (Platt, 1999).
        before: keeps its probability and its rule of least evidence, where there are no operators.

    Raises:
        InputError: too few accounts for the rate; the message says how many are needed.
    """
    flag = calibrate_threshold(honest, account_fpr, horizon, confidence)
    review_fpr = choose_review_rate(account_fpr)
    review = calibrate_threshold(honest, review_fpr, horizon, confidence)
    slope, intercept = _PLATT if before is None else (before.slope, before.intercept)
    if operators is not None:
        slope, intercept = _fit_platt(honest, operators)
    rule = {} if before is None else {"min_requests": before.min_requests, "min_suspicious": before.min_suspicious}
    return StreamCalibration(
        slope=slope,
        intercept=intercept,
        review_logit=review.threshold,
        flag_logit=flag.threshold,
        review_promise=_tell(review),
        flag_promise=_tell(flag),
        **rule,
    )


def build_model(projection: Projection, calibration: StreamCalibration, trained: Mapping[str, str]) -> StreamModel:
    """What `stream.json` says."""
    return StreamModel(
        format_version=STREAM_FORMAT_VERSION,
        layout_version=LAYOUT_VERSION,
        fingerprint_version=FINGERPRINT_VERSION,
        attribute_offset=tuple(projection.attribute_offset.tolist()),
        attribute_matrix=_to_rows(projection.attribute_matrix),
        embedding_offset=tuple(projection.embedding_offset.tolist()),
        embedding_matrix=_to_rows(projection.embedding_matrix),
        calibration=calibration,
        trained=dict(trained),
    )


def seal_stream_model(
    bundle: Bundle, target: Path, model: StreamModel, network: Path, requests: Calibration | None = None
) -> Bundle:
    """Copy a request bundle with a stream model beside it; `target` is replaced when all of it was built and loads.

    Args:
        bundle: the request bundle that the streams were encoded with; it may hold a stream model already.
        target: the folder of the new bundle; may be the old one's.
        model: what `stream.json` says.
        network: the ONNX file.
        requests: the calibration of single requests; the request bundle's when left out.

    Raises:
        BundleError: the result does not load.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.parent) as scratch:
        draft = Path(scratch) / "bundle"
        copied = copy_bundle(bundle, draft, with_torch=True)
        content = network.read_bytes()
        (draft / STREAM_ONNX).write_bytes(content)
        (draft / STREAM_JSON).write_text(model.model_dump_json() + "\n", "utf-8")
        if requests is not None:
            (draft / CALIBRATION).write_text(requests.model_dump_json(indent=2) + "\n", "utf-8")
        card = draft / MODEL_CARD
        card.write_text(tell_streams(card.read_text("utf-8"), model.calibration), "utf-8")
        seal_bundle(draft, copied.manifest)
        StreamDetector.load(draft)
        if target.exists():
            target.rename(Path(scratch) / "before")
        draft.replace(target)
    return load_bundle(target)


def tell_streams(card: str, calibration: StreamCalibration) -> str:
    """The card with a section on accounts, in place of the one that it had."""
    promises = (("review", calibration.review_promise), ("flag", calibration.flag_promise))
    lines = [
        f"- `{action}` is promised to reach at most {promise.account_fpr:.2%} of honest accounts within "
        f"{promise.horizon_requests:,} requests each, on the grounds of {promise.num_accounts:,} honest accounts "
        f"({promise.confidence:.0%} bound of the realised share: {promise.upper_bound:.2%})."
        for action, promise in promises
    ]
    section = "\n".join(
        (
            _SECTION,
            "",
            "The bundle follows accounts, too: given an account, a time and a store of states it says how an account's",
            "requests look together. The promise holds for accounts like those it was made on. Where nobody has run",
            "`stillwatch calibrate`, those were simulated ones: of every persona, with texts of families that the",
            "stream network has not learnt from, though the request model may have. Calibrate on your own traffic",
            "before acting on it.",
            "",
            *lines,
            f"- Nothing beyond `review` is said before {calibration.min_requests} requests, "
            f"{calibration.min_suspicious} of which look bad.",
            "",
        )
    )
    before, _, rest = card.partition(_SECTION + "\n")
    _, heading, after = rest.partition("\n## ")
    return f"{before.rstrip()}\n\n{section}{heading}{after}"


def _tell(threshold: ConformalThreshold) -> Promise:
    confidence = threshold.confidence or _CONFIDENCE
    law = beta(threshold.num_allowed + 1, threshold.num_accounts - threshold.num_allowed)
    return Promise(
        account_fpr=threshold.alpha,
        upper_bound=float(law.ppf(confidence)),
        confidence=confidence,
        horizon_requests=threshold.horizon,
        num_accounts=threshold.num_accounts,
    )


def _fit_platt(honest: Floats, operators: Floats) -> tuple[float, float]:
    from sklearn.linear_model import LogisticRegression  # of training: calibrating goes without

    maxima = np.concatenate([honest, operators])[:, None]
    labels = np.repeat([0, 1], [len(honest), len(operators)])
    regression = LogisticRegression(C=1e3, class_weight="balanced").fit(maxima, labels)
    return max(float(regression.coef_[0, 0]), 1e-3), float(regression.intercept_[0])


def _to_rows(matrix: NDArray[np.float32]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in matrix.tolist())
