"""The rotation: each group of families is held out once, and every system is scored on families it has not seen.

A fold's model is stopped early and calibrated on validation families, which are neither trained on nor tested on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from transformers import TrainerCallback

from stillwatch.data.folds import Fold
from stillwatch.data.labels import TECHNIQUES
from stillwatch.data.records import LabelledRequest
from stillwatch.model.logits import RequestLogits, compute_logits
from stillwatch.model.pooling import softmax
from stillwatch.model.torch_runtime import TorchRuntime
from stillwatch.train.attributes import AttributeLogits
from stillwatch.train.baselines import Baseline
from stillwatch.train.calibrate import fit_calibration
from stillwatch.train.config import TrainConfig
from stillwatch.train.fit import Fitted, fit
from stillwatch.train.planning import Loaded
from stillwatch.train.progress import bar
from stillwatch.train.results import Results, measure

SYSTEM = "stillwatch"
"""The name of our own classifier among the systems of a table."""

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FoldResult:
    """One fold, scored.

    Attributes:
        fold: which records stood on which side.
        fitted: the classifier.
        validation_logits: raw logits of the validation records, shape (validation records,).
        attributes: what the fold tells about the attributes, on held-out families.
        test_logits: the same of the test records, shape (test records,).
        validation_mixes: probability of each technique of the validation records, shape (validation records,
            techniques).
        test_mixes: the same of the test records.
        scores: by system, higher for extraction, shape (test records,). Our own are logits, calibrated on validation.
        techniques: the most probable technique of each test record.
    """

    fold: Fold
    fitted: Fitted
    validation_logits: Scores
    attributes: AttributeLogits
    test_logits: Scores
    validation_mixes: Scores
    test_mixes: Scores
    scores: dict[str, Scores]
    techniques: tuple[str, ...]


def fit_fold(
    loaded: Loaded,
    fold: Fold,
    config: TrainConfig,
    folder: Path,
    *,
    callbacks: Sequence[TrainerCallback] = (),
    resume: bool,
) -> Fitted:
    """Fit on a fold's training records, stopped early on its validation families; checkpoints go below `folder`."""
    return fit(
        [loaded.records[i] for i in fold.train],
        [loaded.records[i] for i in fold.validation],
        model=config.model,
        config=config.fit,
        seed=config.seed,
        folder=folder / fold.name,
        shares=loaded.shares,
        callbacks=callbacks,
        resume=resume,
    )


def score_fold(
    records: Sequence[LabelledRequest],
    fold: Fold,
    fitted: Fitted,
    *,
    config: TrainConfig,
    baselines: Mapping[str, Baseline],
) -> FoldResult:
    """Score a fold's test records with every system; baselines are fitted on the same training records."""
    train, validation, test = ([records[i] for i in side] for side in (fold.train, fold.validation, fold.test))
    runtime = TorchRuntime(fitted.model, bf16=config.fit.bf16, max_batch=config.evaluate.batch_size)
    validated = score_records(fitted, runtime, validation, "scoring validation")
    aside = [records[i] for i in fold.aside]
    asided = score_records(fitted, runtime, aside, "scoring attributes") if aside else []
    attributes = AttributeLogits.collect(fitted.model.config.attributes, [*validation, *aside], [*validated, *asided])
    validation_logits = extraction_logits(validated)
    calibration = fit_calibration(
        validation, validation_logits, review_fpr=config.bundle.review_fpr, flag_fpr=config.bundle.flag_fpr
    )
    logits = score_records(fitted, runtime, test, f"scoring {fold.name}")
    test_logits = extraction_logits(logits)
    scores = {SYSTEM: calibration.slope * test_logits + calibration.intercept}
    scores |= {name: baseline.fit_score(train, test) for name, baseline in baselines.items()}
    techniques = tuple(TECHNIQUES[int(each.techniques.argmax())].value for each in logits)
    mixes = (technique_mixes(validated), technique_mixes(logits))
    return FoldResult(fold, fitted, validation_logits, attributes, test_logits, *mixes, scores, techniques)


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


def score_records(
    fitted: Fitted, runtime: TorchRuntime, records: Sequence[LabelledRequest], what: str
) -> list[RequestLogits]:
    """Score every window of every record, with a progress bar that says `what`."""
    windows = [fitted.windower.cut(record.request) for record in records]
    with bar(what, sum(len(w.ids) for w in windows), "windows") as advance:
        return compute_logits(runtime, windows, pad_id=fitted.pad_id, on_progress=advance)


def extraction_logits(logits: Sequence[RequestLogits]) -> Scores:
    """The extraction logits as an array."""
    return np.array([each.extraction for each in logits], np.float64)


def technique_mixes(logits: Sequence[RequestLogits]) -> Scores:
    """The probability of each technique, shape (records, techniques)."""
    return np.array([softmax(each.techniques) for each in logits], np.float64)
