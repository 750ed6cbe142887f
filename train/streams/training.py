"""`stillwatch train-streams`: the stream model that a bundle carries, fitted, calibrated, tracked and sealed.

Its network is that of the first rotation: it learns from two thirds of the families and of the personas and from users
drawn at random, and its thresholds come from honest accounts of every persona with texts of the other families.
Learning from every family would leave none to set them on, and a network flags far more of the honest accounts that are
unlike those it learnt from. The accounts are simulated all the same, and the bundle's request model may know their
families: calibrate on your own traffic.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from stillwatch.model.bundle import DEFAULT_BUNDLE, STREAM_ONNX, Bundle, load_bundle
from stillwatch.model.scorer import Scorer
from stillwatch.train.provenance import describe_provenance
from stillwatch.train.streams.arrays import Floats
from stillwatch.train.streams.conformal import take_maxima
from stillwatch.train.streams.exporting import export_network
from stillwatch.train.streams.fit import Epoch
from stillwatch.train.streams.rotations import (
    Rotation,
    deal_rotations,
    load_pool,
    open_workshop,
    run_rotation,
)
from stillwatch.train.streams.scoring import score_streams
from stillwatch.train.streams.sealing import build_model, make_calibration, seal_stream_model
from stillwatch.train.streams.settings import StreamsConfig
from stillwatch.train.streams.worlds import make_drawn_campaigns, make_honest
from stillwatch.train.tracking import Tracker

_SEED = 91  # of the accounts that thresholds are set on; see `StreamsConfig.seed`


@dataclass(frozen=True, slots=True)
class StreamOutcome:
    """What a run leaves behind: the bundle with its stream model, and the run."""

    bundle: Bundle
    epochs: tuple[Epoch, ...]
    run_id: str


def train_streams(
    config: StreamsConfig, *, bundle: Path | None, folder: Path, out: Path, console: Console
) -> StreamOutcome:
    """Fit, calibrate, seal, track.

    Args:
        config: of the stream model.
        bundle: the request bundle; the shipped one when None.
        folder: where worlds are kept.
        out: the folder of the new bundle.
        console: for a line after each epoch.

    Raises:
        StillwatchError: the pool, the bundle or the tracking store is at fault.
    """
    source = load_bundle(bundle or DEFAULT_BUNDLE)
    # The vectors must be those of the bundle that will serve: no request model is fitted here.
    alone = config.model_copy(update={"request": config.request.model_copy(update={"per_rotation": False})})
    pool = load_pool(alone.pool, seed=alone.seed)
    with Tracker.open(config.tracking.experiment, config.name) as tracker:
        tracker.log_params(alone.model_dump(mode="json"))
        tracker.set_tags({**describe_provenance(seed=config.seed), "bundle": source.version})

        def tell(epoch: Epoch) -> None:
            tracker.log_metrics({"loss": epoch.loss}, step=epoch.number)
            console.print(f"epoch {epoch.number}: loss {epoch.loss:.3f}")

        holdout = deal_rotations(alone, pool)[0]
        workshop = open_workshop(alone, holdout, pool, folder / "rotation-0", bundle=source.folder)
        rotation, _ = run_rotation(workshop, on_epoch=tell)
        maxima, operators = _try_on_fresh_accounts(rotation)
        calibration = make_calibration(
            maxima[~operators],
            account_fpr=config.calibration.account_fpr,
            horizon=config.calibration.horizon,
            operators=maxima[operators],
        )
        caught = float(np.mean(maxima[operators] >= calibration.flag_logit))
        tracker.log_metrics({"operators_flagged": caught})
        console.print(f"{caught:.0%} of {int(operators.sum())} operators' accounts of other families are flagged")
        model = build_model(
            workshop.projection,
            calibration,
            {"config": config.name, "seed": str(config.seed), "run": tracker.run_id, "bundle": source.version},
        )
        network = folder / STREAM_ONNX
        export_network(rotation.fitted.network, network)
        sealed = seal_stream_model(source, out, model, network)
        tracker.log_folder(sealed.folder, "bundle")
        if config.tracking.register_as is not None:
            tracker.register(
                config.tracking.register_as,
                "bundle",
                aliases=[config.tracking.alias],
                tags={"bundle": sealed.version},
            )
        Scorer.load(sealed.folder)
        return StreamOutcome(sealed, rotation.fitted.epochs, tracker.run_id)


def _try_on_fresh_accounts(rotation: Rotation) -> tuple[Floats, NDArray[np.bool_]]:
    """Running maxima of accounts of families that the rotation's network has not learnt from, and whose they are."""
    workshop = rotation.workshop
    config, pool, personas = workshop.config, workshop.pools["test"], workshop.holdout.personas["test"]
    seed = config.seed * 100 + _SEED
    members = make_honest(pool, personas, num_accounts=config.calibration.accounts, seed=seed)
    members += make_drawn_campaigns(
        pool,
        personas,
        num_campaigns=max(4, config.world.campaigns // 10),
        most_accounts=config.world.most_accounts,
        num_requests=config.world.requests,
        seed=seed,
    )
    world = workshop.build("calibration", members, first=config.calibration.horizon)
    scored = score_streams(rotation.fitted.network, [world.vectors_of(number) for number in range(len(world))])
    return take_maxima(scored, config.calibration.horizon), world.is_operator()
