"""`stillwatch train-streams`: the stream model that a bundle carries, fitted on all families, tracked and sealed.

Families, personas and operators are held out by the suites, which fit rotations of their own. Here the first rotation
is a rehearsal: it decides how long to train, and its network, which has not learnt from the families that it is tried
on, sets the thresholds: a network flags far more of the honest accounts that are unlike those it learnt from. Then
one more network learns from every family and goes into a copy of the request bundle with these thresholds. They come
from simulated accounts all the same, and the request model may know their families: calibrate on your own traffic.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from stillwatch.data.streams.personas import choose_personas
from stillwatch.model.bundle import DEFAULT_BUNDLE, STREAM_ONNX, Bundle, load_bundle
from stillwatch.model.scorer import Scorer
from stillwatch.train.provenance import describe_provenance
from stillwatch.train.streams.arrays import Floats
from stillwatch.train.streams.conformal import take_maxima
from stillwatch.train.streams.corpus import StreamCorpus
from stillwatch.train.streams.fit import Epoch, fit_network
from stillwatch.train.streams.holdout import Holdout
from stillwatch.train.streams.rotations import (
    Rotation,
    Workshop,
    deal_rotations,
    load_pool,
    open_workshop,
    run_rotation,
)
from stillwatch.train.streams.scoring import score_streams
from stillwatch.train.streams.sealing import build_model, export_network, make_calibration, seal_stream_model
from stillwatch.train.streams.settings import StreamsConfig
from stillwatch.train.streams.worlds import make_drawn_campaigns, make_honest
from stillwatch.train.tracking import Tracker

_SEED = 90  # worlds of the final model; see `StreamsConfig.seed`


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
            tracker.log_metrics({"loss": epoch.loss, "auroc": epoch.auroc, "caught": epoch.caught}, step=epoch.number)
            console.print(
                f"epoch {epoch.number}: loss {epoch.loss:.3f}, held-out AUROC {epoch.auroc:.3f}, "
                f"caught {epoch.caught:.1%} at 1%"
            )

        holdout = deal_rotations(alone, pool)[0]
        workshop = open_workshop(alone, holdout, pool, folder / "rotation-0", bundle=source.folder)
        rehearsed, _ = run_rotation(workshop, on_epoch=tell)
        maxima, operators = _rehearse(rehearsed)
        whole = open_workshop(alone, _take_all(holdout, pool.families), pool, folder / "all", bundle=source.folder)
        world = config.world
        train = _build_world(
            whole,
            "train",
            requests=world.requests,
            honest=world.honest_accounts,
            campaigns=world.campaigns,
            seed=_seed_world(config, 0),
        )
        fitted = fit_network(train, None, alone.network, seed=alone.seed, num_epochs=rehearsed.fitted.best + 1)
        model = build_model(
            whole.projection,
            make_calibration(
                maxima[~operators],
                account_fpr=config.calibration.account_fpr,
                horizon=config.calibration.horizon,
                operators=maxima[operators],
            ),
            {"config": config.name, "seed": str(config.seed), "run": tracker.run_id, "bundle": source.version},
        )
        network = folder / STREAM_ONNX
        export_network(fitted.network, network)
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
        return StreamOutcome(sealed, rehearsed.fitted.epochs, tracker.run_id)


def _take_all(holdout: Holdout, families: frozenset[str]) -> Holdout:
    names = tuple(persona.name for persona in choose_personas(()))
    return Holdout(
        holdout.number,
        {"train": families, "validation": families, "test": families},
        {"train": names, "validation": names, "test": names},
        (),
    )


def _rehearse(rotation: Rotation) -> tuple[Floats, NDArray[np.bool_]]:
    """Running maxima of fresh accounts of families that the rotation's network has not learnt from, and whose."""
    workshop = rotation.workshop
    calibration = workshop.config.calibration
    world = _build_world(
        workshop,
        "calibration",
        requests=calibration.horizon,
        honest=calibration.accounts,
        campaigns=max(4, workshop.config.world.campaigns // 5),
        seed=_seed_world(workshop.config, 1),
    )
    scored = score_streams(rotation.fitted.network, [world.vectors_of(number) for number in range(len(world))])
    return take_maxima(scored, calibration.horizon), world.is_operator()


def _build_world(
    workshop: Workshop, name: str, *, requests: int, honest: int, campaigns: int, seed: int
) -> StreamCorpus:
    """Accounts of the rotation's tested side: for the final fit all families and personas are on it."""
    pool, personas = workshop.pools["test"], workshop.holdout.personas["test"]
    members = make_honest(pool, personas, num_accounts=honest, seed=seed, evenly=name == "train")
    members += make_drawn_campaigns(
        pool,
        personas,
        num_campaigns=campaigns,
        most_accounts=workshop.config.world.most_accounts,
        num_requests=workshop.config.world.requests,
        seed=seed,
    )
    return workshop.build(name, members, first=requests)


def _seed_world(config: StreamsConfig, place: int) -> int:
    return config.seed * 100 + _SEED + place
