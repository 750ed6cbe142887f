"""The whole run, in order: load, split, fit and score each fold, measure, fit the final model, bundle, register.

This page is the table of contents of training; each step stands in a module of its own.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import yaml
from rich.console import Console
from transformers.utils import logging as transformers_logging

from stillwatch.data.folds import Fold
from stillwatch.data.sources import digest_records
from stillwatch.model.bundle import Bundle
from stillwatch.model.encoder import resolve_encoder
from stillwatch.train.baselines import Baseline, build_baselines
from stillwatch.train.bundling import build_bundle
from stillwatch.train.callbacks import StepLogger
from stillwatch.train.card import write_card
from stillwatch.train.config import TrainConfig
from stillwatch.train.figures import draw_figures
from stillwatch.train.final import build_cascade, calibrate, choose_final, fit_all, list_learnt
from stillwatch.train.ledger import VersionRecord
from stillwatch.train.planning import Loaded, describe_records, load_records, plan_folds
from stillwatch.train.processes import leave_group
from stillwatch.train.provenance import describe_provenance
from stillwatch.train.results import Results, group_records
from stillwatch.train.rotation import FoldResult, fit_fold, measure_folds, score_fold
from stillwatch.train.suites.bundles import FAMILIES
from stillwatch.train.suites.fetching import EVALUATION
from stillwatch.train.suites.held_out import evaluate_folds
from stillwatch.train.tracking import Context, Store, Tracker
from stillwatch.train.validation import draw_evenly

NUM_PARITY_REQUESTS = 64
"""Requests whose first windows the export is compared on."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run leaves behind: its results, its bundle, and where MLflow keeps both."""

    results: Results
    bundle: Bundle
    run_id: str
    page: str | None
    version: VersionRecord | None


def train(config: TrainConfig, *, folder: Path, console: Console, resume: bool = False) -> Outcome:
    """Run everything that a configuration says.

    Args:
        config: of the run.
        folder: where checkpoints, results and the bundle go.
        console: for what a person reads on the way.
        resume: go on where an interrupted run in the same folder was.

    Raises:
        StillwatchError: a source, a split, the export or the tracking store is at fault; the message tells how.
    """
    transformers_logging.disable_progress_bar()  # of loading weights: over before it is read
    Store.open()  # refuse early: before minutes of reading
    resolve_encoder(config.model.encoder, config.model.revision)
    loaded = load_records(config)
    records = loaded.records
    console.print(describe_records(records))
    folds = plan_folds(records, loaded.roles, config, console)
    with Tracker.open(config.tracking.experiment, config.name) as tracker:
        provenance = describe_provenance(seed=config.seed)
        digest = digest_records(records)
        tracker.set_tags({**provenance, "dataset.digest": digest})
        counts = {name: len(group) for name, group in group_records(records).items()}
        tracker.log_dataset(config.name, digest, counts, "train")
        tracker.log_params(config.model_dump(mode="json"))
        tracker.log_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False), "config.yaml")
        baselines = build_baselines(config)
        fold_results = [_track_fold(loaded, fold, config, baselines, folder, tracker, resume) for fold in folds]
        results = measure_folds(records, fold_results, config)
        calibration, reliability = calibrate(records, fold_results, config)
        for path, figure in draw_figures(records, fold_results, results, reliability).items():
            tracker.log_figure(figure, path)
        tracker.log_metrics(results.first.to_metrics("test"))
        tracker.log_metrics(reliability.to_metrics() if reliability else {})
        tracker.log_json(results.to_json(), "results.json")
        results.write(folder / "results.json")
        evaluation = evaluate_folds(records, fold_results, config, reliability)
        evaluation.write(folder / EVALUATION)
        tracker.log_text((folder / EVALUATION).read_text("utf-8"), EVALUATION)
        final, learnt_from = choose_final(loaded, fold_results, config, folder, tracker, resume)
        leave_group()
        trained = {
            "config": config.name,
            "dataset_digest": digest,
            "seed": str(config.seed),
            "run": tracker.run_id,
            FAMILIES: "\n".join(sorted(list_learnt(records, fold_results, learnt_from, config))),
            **{key: value for key, value in provenance.items() if key.startswith(("git.", "version."))},
        }
        held_out = [records[i] for i in fold_results[0].fold.test] if config.bundle.train_on == "fold" else []
        cascade = build_cascade(final, learnt_from, held_out, config, tracker)
        bundle, parity = build_bundle(
            final,
            folder / "bundle",
            name=config.bundle.name,
            model=config.model,
            calibration=calibration,
            windows=[
                final.windower.cut(r.request).ids[0] for r in draw_evenly(learnt_from, NUM_PARITY_REQUESTS, config.seed)
            ],
            card=write_card(config, learnt_from, results, calibration, reliability),
            trained=trained,
            cascade=cascade,
        )
        tracker.log_metrics(
            {
                "export/mean_difference": parity.mean_difference,
                "export/rank_correlation": parity.rank_correlation,
            }
        )
        tracker.log_folder(bundle.folder, "bundle")
        version = None
        if config.tracking.register_as is not None:
            version = tracker.register(
                config.tracking.register_as,
                "bundle",
                aliases=[config.tracking.alias],
                tags={"bundle": bundle.version, "dataset.digest": digest},
            )
        return Outcome(results, bundle, tracker.run_id, tracker.page, version)


def follow(config: TrainConfig, *, folder: Path, resume: bool = False) -> None:
    """What the other processes of a distributed run do: take their share of every fit, and nothing else."""
    loaded = load_records(config)
    folds = plan_folds(loaded.records, loaded.roles, config, Console(quiet=True))
    fitted = [fit_fold(loaded, fold, config, folder, resume=resume) for fold in folds]
    if config.bundle.train_on == "all":
        fit_all(loaded, fitted, config, folder, resume=resume)
    leave_group()


def _track_fold(
    loaded: Loaded,
    fold: Fold,
    config: TrainConfig,
    baselines: dict[str, Baseline],
    folder: Path,
    tracker: Tracker,
    resume: bool,
) -> FoldResult:
    with tracker.open_child(fold.name) as child:
        sides: tuple[tuple[Context, tuple[int, ...]], ...] = (
            ("train", fold.train),
            ("validation", fold.validation),
            ("test", fold.test),
        )
        for context, side in sides:
            chosen = [loaded.records[i] for i in side]
            counts = Counter(record.label.value for record in chosen)
            child.log_dataset(f"{config.name}-{fold.name}-{context}", digest_records(chosen), counts, context)
        fitted = fit_fold(loaded, fold, config, folder, callbacks=[StepLogger(child)], resume=resume)
        child.log_metrics({"best_epoch": fitted.best_epoch, "family_auroc": fitted.family_auroc or 0.0})
        return score_fold(loaded.records, fold, fitted, config=config, baselines=baselines)
