"""Runs a suite of streams or campaigns: each rotation's model, worlds and thresholds, then the figures over all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from stillwatch.data.configuration import load_config_file
from stillwatch.model.streams.layout import GROUPS, Group
from stillwatch.train.provenance import describe_provenance
from stillwatch.train.streams.account_suite import (
    ALONE,
    OURS,
    Tally,
    ask_evidence,
    list_ablations,
    list_detectors,
    measure_published,
    recalibrate,
    score_by_network,
    tally_rotation,
    time_network,
)
from stillwatch.train.streams.arrays import Floats
from stillwatch.train.streams.baselines.windows import WindowRates
from stillwatch.train.streams.campaign_suite import ENOUGH, Leak, build_shape, measure_leaks, sum_up
from stillwatch.train.streams.conformal import calibrate_threshold, count_needed, take_maxima
from stillwatch.train.streams.corpus import StreamCorpus
from stillwatch.train.streams.evaluation import StreamEvaluation
from stillwatch.train.streams.measured_worlds import build_calibration, make_measured_worlds
from stillwatch.train.streams.measures import find_flags, measure_alarms
from stillwatch.train.streams.rotations import (
    Rotation,
    deal_rotations,
    load_pool,
    open_workshop,
    run_rotation,
)
from stillwatch.train.streams.settings import StreamsConfig
from stillwatch.train.streams.shrinking import shrink_model, shrink_suite
from stillwatch.train.streams.suite_settings import CampaignSuiteConfig, StreamSuiteConfig, SuiteConfig
from stillwatch.train.suites.suite import read_kind
from stillwatch.train.tracking import Tracker

Visit = Callable[[Rotation, StreamCorpus], None]


def load_stream_suite(path: Path, overrides: Sequence[str] = ()) -> StreamSuiteConfig | CampaignSuiteConfig:
    """Read a suite of the kind `streams` or `campaigns`.

    Raises:
        ConfigError: see `load_config_file`.
    """
    if read_kind(path) == "streams":
        return load_config_file(StreamSuiteConfig, path, overrides)
    return load_config_file(CampaignSuiteConfig, path, overrides)


def run_stream_suite(
    suite: StreamSuiteConfig | CampaignSuiteConfig,
    *,
    folder: Path,
    console: Console,
    quick: bool = False,
    bundle: Path | None = None,
    data_root: Path | None = None,
    experiment: str | None = None,
) -> StreamEvaluation:
    """Run a suite.

    Args:
        suite: from a file of `configs/suites/` of the kind `streams` or `campaigns`.
        folder: where models and simulated worlds are kept; a second run goes on where the first was.
        console: for what a person reads on the way.
        quick: one rotation and small worlds, for an answer within ten minutes on two cores.
        bundle: the request model, where the stream model's configuration says not to fit one for each rotation.
        data_root: rows instead of generated requests.
        experiment: where the run is logged; nowhere when None.

    Raises:
        StillwatchError: a file, the pool or a bundle is at fault; the message tells how.
    """
    config = load_config_file(StreamsConfig, suite.model)
    if data_root is not None:
        config = config.model_copy(update={"pool": config.pool.model_copy(update={"data_root": data_root})})
    if quick:
        config, folder = shrink_model(config), folder / "quick"
    if isinstance(suite, StreamSuiteConfig):
        asked = shrink_suite(suite) if quick else suite
        evaluation = _run_accounts(asked, config, folder, console, quick=quick, bundle=bundle)
    else:
        scaled = shrink_suite(suite) if quick else suite
        evaluation = _run_campaigns(scaled, config, folder, console, quick=quick, bundle=bundle)
    if experiment is not None:
        with Tracker.open(experiment, f"suite {suite.name}") as tracker:
            tracker.log_params({"suite": suite.model_dump(mode="json"), "model": config.model_dump(mode="json")})
            tracker.set_tags(describe_provenance(seed=config.seed))
            tracker.log_metrics(evaluation.to_metrics())
            tracker.log_json(evaluation.to_json(), "streams.json")
    return evaluation


def visit_rotations(
    suite: SuiteConfig, config: StreamsConfig, folder: Path, console: Console, bundle: Path | None, visit: Visit
) -> list[dict[str, object]]:
    """Fit each rotation of a suite, show it to `visit`, and tell the conditions of each.

    The texts and the deal of families and personas are the configuration's; request model, worlds and network of each
    rotation have a seed of their own, so that three rotations are three seeds, too.

    Args:
        suite: names the rotations.
        config: of the stream model.
        folder: of the suite.
        console: for a line after each epoch.
        bundle: see `run_stream_suite`.
        visit: is given each rotation with its training world.
    """
    pool = load_pool(config.pool, seed=config.seed)
    holdouts = deal_rotations(config, pool)
    conditions: list[dict[str, object]] = []
    for number in suite.rotations:
        own = config.model_copy(update={"seed": config.seed + number})
        workshop = open_workshop(own, holdouts[number], pool, folder / f"rotation-{number}", bundle=bundle)
        rotation, train = run_rotation(
            workshop, on_epoch=lambda epoch: console.print(f"epoch {epoch.number}: loss {epoch.loss:.3f}")
        )
        visit(rotation, train)
        holdout = workshop.holdout
        honest = [member.stream.persona for member in train.members if member.stream.persona is not None]
        conditions.append(
            {
                "rotation": number,
                "seed": own.seed,
                "families": {side: len(families) for side, families in holdout.families.items()},
                "personas_trained_on": [*holdout.personas["train"], *holdout.personas["validation"]],
                "personas_never_seen": list(holdout.unseen_personas),
                "request_model": workshop.request.scorer.bundle.version,
                "request_model_is_held_out": workshop.request.is_held_out,
                "accounts_of_training_world": len(train),
                "accounts_of_drawn_users": sum(name not in holdout.personas["train"] for name in honest),
                "epochs": len(rotation.fitted.epochs),
                "contents": asdict(workshop.contents.count()),
            }
        )
    return conditions


def _run_accounts(
    suite: StreamSuiteConfig, config: StreamsConfig, folder: Path, console: Console, *, quick: bool, bundle: Path | None
) -> StreamEvaluation:
    tallies: dict[str, Tally] = defaultdict(Tally)
    ablated: dict[str, Tally] = defaultdict(Tally)
    maxima: list[tuple[Floats, Floats]] = []
    costs: dict[str, float] = {}
    windows: list[WindowRates] = []
    moved = [0, 0]

    def visit(rotation: Rotation, train: StreamCorpus) -> None:
        worlds = make_measured_worlds(rotation.workshop, suite)
        ours = score_by_network(rotation)
        console.print(f"scoring by {OURS}, with and without other accounts")
        maxima.append(tally_rotation(tallies[OURS], ours, worlds, suite))
        tally_rotation(tallies[ALONE], score_by_network(rotation, GROUPS[Group.OTHERS]), worlds, suite)
        if worlds.moved is not None:
            elsewhere = take_maxima(ours(worlds.moved, range(len(worlds.moved))), suite.horizon)
            rate = next(rate for rate in suite.rates if len(elsewhere) >= count_needed(rate))
            flagged = calibrate_threshold(elsewhere, rate, suite.horizon).flags(maxima[-1][1])
            moved[0] += int(flagged.sum())
            moved[1] += len(flagged)
        if suite.ablations:
            ablated[Group.OTHERS.value] = tallies[ALONE]
            for name, score in list_ablations(rotation).items():
                console.print(f"scoring without {name}")
                tally_rotation(ablated[name], score, worlds, suite)
        if suite.baselines.run and not windows:
            windows.extend(measure_published(worlds, config.seed))
        for name, score in list_detectors(train, suite, config.seed).items():
            console.print(f"scoring by {name}", markup=False)
            most = max(suite.baselines.calibration, suite.baselines.fresh)
            tally_rotation(tallies[name], score, worlds, suite, is_ours=False, most=most)
        costs.update(time_network(rotation, worlds.fresh))

    rotations = visit_rotations(suite, config, folder, console, bundle, visit)
    conditions: dict[str, object] = {
        **_describe(suite, config, rotations),
        "honest": suite.honest.model_dump(),
        "baselines": suite.baselines.model_dump(),
    }
    if moved[1]:
        conditions["threshold_from_elsewhere"] = measure_alarms(*moved).to_json()
    return StreamEvaluation(
        suite=suite.name,
        quick=quick,
        conditions=conditions,
        systems=tuple(tally.to_figures(name, suite, config.seed) for name, tally in tallies.items()),
        promises=recalibrate(maxima, suite, seed=config.seed),
        ablations={name: tally.measure_cases(suite, config.seed) for name, tally in ablated.items()},
        windows=tuple(windows),
        costs=costs,
        notes=_notes(rotations),
    )


def _run_campaigns(
    suite: CampaignSuiteConfig,
    config: StreamsConfig,
    folder: Path,
    console: Console,
    *,
    quick: bool,
    bundle: Path | None,
) -> StreamEvaluation:
    leaks: dict[str, list[Leak]] = defaultdict(list)

    def visit(rotation: Rotation, train: StreamCorpus) -> None:
        honest = build_calibration(rotation.workshop, suite)
        rate = next(rate for rate in suite.rates if len(honest) >= count_needed(rate))
        scores = (score_by_network(rotation), score_by_network(rotation, GROUPS[Group.OTHERS]))
        maxima = [take_maxima(score(honest, range(len(honest))), suite.horizon) for score in scores]
        for place, shape in enumerate(suite.shapes):
            world = build_shape(rotation.workshop, suite, shape, place=place)
            flags = [
                find_flags(
                    score(world, range(len(world))),
                    calibrate_threshold(each, rate, suite.horizon).threshold,
                    ask_evidence(each, rate, suite.horizon),
                )
                for score, each in zip(scores, maxima, strict=True)
            ]
            leaks[shape.name] += measure_leaks(world, *flags)

    rotations = visit_rotations(suite, config, folder, console, bundle, visit)
    conditions: dict[str, object] = {
        **_describe(suite, config, rotations),
        "honest": suite.honest.calibration,
        "requests_followed": suite.requests,
        "accounts_that_make_a_campaign": ENOUGH,
        "shapes": [shape.model_dump() for shape in suite.shapes],
    }
    return StreamEvaluation(
        suite=suite.name,
        quick=quick,
        conditions=conditions,
        systems=(),
        shapes={name: sum_up(each) for name, each in leaks.items()},
        notes=_notes(rotations),
    )


def _describe(suite: SuiteConfig, config: StreamsConfig, rotations: Sequence[dict[str, object]]) -> dict[str, object]:
    return {
        "seed": config.seed,
        "rotations": list(rotations),
        "operators": "drawn at random; every named one is new",
        "horizon": suite.horizon,
        "rates": list(suite.rates),
    }


def _notes(rotations: Sequence[dict[str, object]]) -> tuple[str, ...]:
    notes = [
        "Streams are simulated: figures say what holds under the assumptions of data/streams, not at a gateway.",
        "Requests of one class share encoder outputs beyond the first few contents; see train/streams/contents.py.",
    ]
    if not all(each["request_model_is_held_out"] for each in rotations):
        notes.append("The request model may have learnt from tested families: these figures flatter the detector.")
    return tuple(notes)
