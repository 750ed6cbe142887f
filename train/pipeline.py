"""The whole run, in order: load, split, fit and score each fold, measure, fit the final model, bundle, register.

This page is the table of contents of training; each step stands in a module of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from rich.console import Console
from transformers import TrainerCallback
from transformers.utils import logging as transformers_logging

from stillwatch.data.folds import Fold
from stillwatch.data.records import LabelledRequest
from stillwatch.data.sources import digest_records
from stillwatch.model.bundle import Bundle
from stillwatch.model.calibration import Calibration
from stillwatch.model.encoder import resolve_encoder
from stillwatch.model.selection import Cascade
from stillwatch.model.torch_runtime import TorchRuntime
from stillwatch.train.attributes import fit_attribute_logits
from stillwatch.train.baselines import Baseline, FrozenEncoderBaseline, TfidfBaseline
from stillwatch.train.bundling import build_bundle
from stillwatch.train.calibrate import Reliability, fit_calibration, measure_reliability, tally_benign
from stillwatch.train.callbacks import StepLogger
from stillwatch.train.card import write_card
from stillwatch.train.config import TrainConfig
from stillwatch.train.figures import draw_figures
from stillwatch.train.first_stage import fit_cascade, measure_recall
from stillwatch.train.fit import Fitted, fit
from stillwatch.train.ledger import VersionRecord
from stillwatch.train.planning import Loaded, describe_records, load_records, plan_folds
from stillwatch.train.provenance import describe_provenance
from stillwatch.train.results import Results, group_records, measure
from stillwatch.train.rotation import FoldResult, fit_fold, score_fold
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


def build_baselines(config: TrainConfig) -> dict[str, Baseline]:
    """The baselines that the configuration names, in its order."""
    makers: dict[str, Callable[[], Baseline]] = {
        "tfidf": TfidfBaseline,
        "frozen_encoder": lambda: FrozenEncoderBaseline(config.model),
    }
    return {name: makers[name]() for name in config.evaluate.baselines}


def measure_folds(
    records: Sequence[LabelledRequest], fold_results: Sequence[FoldResult], config: TrainConfig
) -> Results:
    """Measure every system on the test records of all folds together."""
    indices = [i for result in fold_results for i in result.fold.test]
    names = fold_results[0].scores
    return measure(
        [records[i] for i in indices],
        {name: np.concatenate([result.scores[name] for result in fold_results]) for name in names},
        folds=np.repeat(np.arange(len(fold_results)), [len(result.fold.test) for result in fold_results]),
        technique_guesses=[guess for result in fold_results for guess in result.techniques],
        seed=config.seed,
        num_replicates=config.evaluate.bootstrap_replicates,
    )


def calibrate(
    records: Sequence[LabelledRequest], fold_results: Sequence[FoldResult], config: TrainConfig
) -> tuple[Calibration, Reliability | None]:
    """The calibration of the final model, and how far it holds: by every fold whose model is like it."""
    chosen = fold_results if config.bundle.train_on == "all" else fold_results[:1]
    validation = [records[i] for result in chosen for i in result.fold.validation]
    test = [records[i] for result in chosen for i in result.fold.test]
    test_logits = np.concatenate([result.test_logits for result in chosen])
    on_test = config.bundle.calibrate_on == "test"
    fitted_on = test if on_test else validation
    logits = test_logits if on_test else np.concatenate([result.validation_logits for result in chosen])
    mixes = np.concatenate([result.test_mixes if on_test else result.validation_mixes for result in chosen])
    calibration = fit_calibration(
        fitted_on,
        logits,
        review_fpr=config.bundle.review_fpr,
        flag_fpr=config.bundle.flag_fpr,
        fitted_on=config.bundle.calibrate_on,
    )
    reliability = measure_reliability(
        test, test_logits, calibration, seed=config.seed, num_replicates=config.evaluate.bootstrap_replicates
    )
    attribute_logits = fit_attribute_logits([result.attributes for result in chosen])
    reference = tally_benign(fitted_on, logits, mixes, calibration)
    return calibration.model_copy(update={"attribute_logits": attribute_logits, "reference": reference}), reliability


def choose_final(
    loaded: Loaded,
    fold_results: Sequence[FoldResult],
    config: TrainConfig,
    folder: Path,
    tracker: Tracker,
    resume: bool,
) -> tuple[Fitted, list[LabelledRequest]]:
    """The model that goes into the bundle, and the records it learnt from."""
    first = fold_results[0]
    if config.bundle.train_on == "fold":
        return first.fitted, [loaded.records[i] for i in first.fold.train]
    with tracker.open_child("final") as child:
        fitted = [result.fitted for result in fold_results]
        final = fit_all(loaded, fitted, config, folder, callbacks=[StepLogger(child)], resume=resume)
    return final, _decided(loaded.records)


def list_learnt(
    records: Sequence[LabelledRequest],
    fold_results: Sequence[FoldResult],
    learnt_from: Sequence[LabelledRequest],
    config: TrainConfig,
) -> set[str]:
    """The families that the final model has seen: trained, stopped early or calibrated on. An evaluation skips them."""
    chosen = fold_results if config.bundle.train_on == "all" else fold_results[:1]
    validated = {records[i].family for result in chosen for i in (*result.fold.validation, *result.fold.aside)}
    return validated | {record.family for record in learnt_from}


def build_cascade(
    final: Fitted,
    learnt_from: Sequence[LabelledRequest],
    held_out: Sequence[LabelledRequest],
    config: TrainConfig,
    tracker: Tracker,
) -> Cascade | None:
    """How the bundle reads long requests; its figures are logged. None where the encoder is to read all."""
    if not config.bundle.max_encoded_windows:
        return None
    runtime = TorchRuntime(final.model, bf16=config.fit.bf16, max_batch=config.evaluate.batch_size)
    cascade = fit_cascade(
        learnt_from,
        final.windower,
        runtime,
        max_encoded_windows=config.bundle.max_encoded_windows,
        pad_id=final.pad_id,
        seed=config.seed,
    )
    recall = measure_recall(cascade, held_out, final.windower, runtime, pad_id=final.pad_id, seed=config.seed)
    figures = {"passage_margin": cascade.passage_margin}
    if recall is not None:
        figures |= {"top_window_recall": recall.top_window, "gain": recall.gain}
    tracker.log_metrics({f"cascade/{name}": value for name, value in figures.items()})
    return cascade


def fit_all(
    loaded: Loaded,
    fitted: Sequence[Fitted],
    config: TrainConfig,
    folder: Path,
    *,
    callbacks: Sequence[TrainerCallback] = (),
    resume: bool,
) -> Fitted:
    """A fit on every family, for as many epochs as the folds took at the median."""
    return fit(
        _decided(loaded.records),
        (),
        model=config.model,
        config=config.fit,
        seed=config.seed,
        folder=folder / "final",
        shares=loaded.shares,
        epochs=float(np.median([each.best_epoch for each in fitted])),
        callbacks=callbacks,
        resume=resume,
    )


def _decided(records: Sequence[LabelledRequest]) -> list[LabelledRequest]:
    return [record for record in records if record.is_decided]


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
