"""`stillwatch train-streams`: the stream model that a bundle carries, fitted on all families, tracked and sealed.

Families, personas and operators are held out by the suites, which fit rotations of their own. Here the first rotation
decides how long to train; then one more network learns from every family, calibrated on fresh accounts, and goes
into a copy of the request bundle. Its thresholds come from simulated accounts: calibrate on your own traffic.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from stillwatch.data.streams.personas import choose_personas
from stillwatch.model.bundle import DEFAULT_BUNDLE, STREAM_ONNX, Bundle, load_bundle
from stillwatch.model.scorer import Scorer
from stillwatch.train.provenance import describe_provenance
from stillwatch.train.streams.conformal import take_maxima
from stillwatch.train.streams.corpus import StreamCorpus
from stillwatch.train.streams.fit import Epoch, find_epochs, fit_network
from stillwatch.train.streams.holdout import Holdout
from stillwatch.train.streams.rotations import Workshop, build_worlds, deal_rotations, load_pool, open_workshop
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
        found = find_epochs(*build_worlds(workshop), alone.network, seed=alone.seed, on_epoch=tell)
        whole = open_workshop(alone, _take_all(holdout, pool.families), pool, folder / "all", bundle=source.folder)
        train, calibration = _make_worlds(whole)
        fitted = fit_network(train, None, alone.network, seed=alone.seed, num_epochs=found.best + 1)
        scored = score_streams(fitted.network, [calibration.vectors_of(n) for n in range(len(calibration))])
        maxima = take_maxima(scored, config.calibration.horizon)
        operators = calibration.is_operator()
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
        return StreamOutcome(sealed, found.epochs, tracker.run_id)


def _take_all(holdout: Holdout, families: frozenset[str]) -> Holdout:
    names = tuple(persona.name for persona in choose_personas(()))
    return Holdout(
        holdout.number,
        {"train": families, "validation": families, "test": families},
        {"train": names, "validation": names, "test": names},
        (),
    )


def _make_worlds(workshop: Workshop) -> tuple[StreamCorpus, StreamCorpus]:
    """The world of the final fit, and one of fresh accounts to calibrate on."""
    config, pool, personas = workshop.config, workshop.pool, workshop.holdout.personas["train"]
    world, seed = config.world, config.seed * 100 + _SEED
    worlds = []
    for place, (name, honest, campaigns, first) in enumerate(
        (
            ("train", world.honest_accounts, world.campaigns, world.requests),
            ("calibration", config.calibration.accounts, max(4, world.campaigns // 5), config.calibration.horizon),
        )
    ):
        members = make_honest(pool, personas, num_accounts=honest, seed=seed + place, evenly=name == "train")
        members += make_drawn_campaigns(
            pool,
            personas,
            num_campaigns=campaigns,
            most_accounts=world.most_accounts,
            num_requests=world.requests,
            seed=seed + place,
        )
        worlds.append(workshop.build(name, members, first=first))
    return worlds[0], worlds[1]
