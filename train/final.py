"""The model that goes into the bundle: which it is, what it has seen, its calibration, how it reads long requests.

It is the first fold's model, or one more fit on every family. Of the latter nothing is held out: its calibration is
that of the folds' models on their held-out families, which promises what it gives only as far as they are alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from transformers import TrainerCallback

from stillwatch.data.records import LabelledRequest
from stillwatch.model.calibration import Calibration
from stillwatch.model.selection import Cascade
from stillwatch.model.torch_runtime import TorchRuntime
from stillwatch.train.attributes import fit_attribute_logits
from stillwatch.train.calibrate import Reliability, fit_calibration, measure_reliability, tally_benign
from stillwatch.train.callbacks import StepLogger
from stillwatch.train.config import TrainConfig
from stillwatch.train.first_stage import fit_cascade, measure_recall
from stillwatch.train.fit import Fitted, fit
from stillwatch.train.planning import Loaded
from stillwatch.train.rotation import FoldResult
from stillwatch.train.tracking import Tracker


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


def _decided(records: Sequence[LabelledRequest]) -> list[LabelledRequest]:
    return [record for record in records if record.is_decided]
