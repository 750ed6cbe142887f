"""The request model that a rotation's streams are encoded with: fitted on the rotation's own families alone.

A shipped bundle has read requests of most families. Streams of families that the request model knows would be told
apart too well, so a rotation fits one of its own on the families that its stream model trains on, and on the
authored requests, which no stream draws from.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from stillwatch.data.authored import load_authored
from stillwatch.data.errors import BundleError
from stillwatch.data.records import LabelledRequest
from stillwatch.data.streams.pool import Pool
from stillwatch.model.bundle import DEFAULT_BUNDLE, load_bundle
from stillwatch.model.scorer import Scorer
from stillwatch.train.bundling import build_bundle
from stillwatch.train.calibrate import fit_calibration
from stillwatch.train.fit import fit
from stillwatch.train.rotation import extraction_logits, score_records
from stillwatch.train.streams.holdout import Holdout
from stillwatch.train.streams.settings import StreamsConfig
from stillwatch.train.validation import draw_evenly

_NUM_PARITY_REQUESTS = 64


@dataclass(frozen=True, slots=True)
class RequestModel:
    """The scorer of a rotation, and whether it has learnt from families that the rotation tests."""

    scorer: Scorer
    is_held_out: bool


def load_request_model(
    holdout: Holdout, pool: Pool, config: StreamsConfig, folder: Path, *, bundle: Path | None
) -> RequestModel:
    """Fit the rotation's request model, take up the one that lies in `folder`, or load the bundle instead.

    Args:
        holdout: the rotation.
        pool: all texts.
        config: of the stream model.
        folder: of the rotation.
        bundle: used where no model is fitted for each rotation; the shipped one when None.
    """
    if not config.request.per_rotation:
        return RequestModel(Scorer.load(bundle or DEFAULT_BUNDLE), is_held_out=False)
    words = f"{config.request.model_dump_json()}/{config.seed}/{pool.fingerprint}/{sorted(holdout.families['train'])}"
    digest = sha256(words.encode()).hexdigest()
    target = folder / "request" / "bundle"
    try:
        if load_bundle(target).manifest.trained.get("dataset_digest") == digest:
            return RequestModel(Scorer.load(target), is_held_out=True)
    except BundleError:
        pass  # none there, or of another release: fit it
    train = _draw(pool, holdout.families["train"], config.request.rows_per_family) + _authored()
    validation = _draw(pool, holdout.families["validation"], config.request.rows_per_family)
    fitted = fit(
        train, validation, model=config.request.model, config=config.request.fit, seed=config.seed, folder=target.parent
    )
    from stillwatch.model.torch_runtime import TorchRuntime  # torch: not needed where the bundle lies ready

    runtime = TorchRuntime(fitted.model, bf16=config.request.fit.bf16, max_batch=32)
    held_out = draw_evenly(validation, config.request.fit.max_validation_requests, config.seed)
    logits = extraction_logits(score_records(fitted, runtime, held_out, "scoring validation"))
    build_bundle(
        fitted,
        target,
        name=f"rotation-{holdout.number}",
        model=config.request.model,
        calibration=fit_calibration(held_out, logits, review_fpr=0.01, flag_fpr=0.001),
        windows=[
            fitted.windower.cut(record.request).ids[0]
            for record in draw_evenly(train, _NUM_PARITY_REQUESTS, config.seed)
        ],
        card=f"# Request model of rotation {holdout.number}\n\nFitted to measure streams; not for serving.\n",
        trained={"dataset_digest": digest, "seed": str(config.seed)},
    )
    return RequestModel(Scorer.load(target), is_held_out=True)


def _draw(pool: Pool, families: frozenset[str], num_rows: int) -> list[LabelledRequest]:
    """Some rows of each group that one request decides."""
    return [
        record
        for group in pool.groups
        if group.family in families
        for record in group.rows[-num_rows:]
        if record.is_decided
    ]


def _authored() -> list[LabelledRequest]:
    return [record for record in load_authored() if record.is_decided]
