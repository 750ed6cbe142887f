"""The evaluation that a training run leaves behind: every system on the families that its fold's model never saw.

It measures what the run's recipe makes of unseen families, by the models of the folds. The bundle of a run that then
fits once more on all families is not itself measured by it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from stillwatch.data.records import LabelledRequest
from stillwatch.train.calibrate import Reliability
from stillwatch.train.config import TrainConfig
from stillwatch.train.rotation import SYSTEM, FoldResult
from stillwatch.train.suites.evaluation import Evaluation
from stillwatch.train.suites.measuring import measure_system
from stillwatch.train.suites.running import build_evaluation
from stillwatch.train.suites.systems import Scored

SUITE = "training"
"""What the evaluation of a training run is called; the rows are the configuration's."""


def evaluate_folds(
    records: Sequence[LabelledRequest],
    fold_results: Sequence[FoldResult],
    config: TrainConfig,
    reliability: Reliability | None = None,
) -> Evaluation:
    """The test records of all folds as one evaluation, in the order of `records`, so that runs of other folds compare.

    The classifier's calibrated logits are told as probabilities, so that its calibration on unseen families shows:
    that of the validation families. Where the bundle's is another, a note tells how far that one holds.

    Args:
        records: all records of the run.
        fold_results: every fold, scored.
        config: of the run.
        reliability: of the bundle's probability, on families that did not calibrate it.
    """
    indices = np.array([i for result in fold_results for i in result.fold.test], np.int64)
    order = np.argsort(indices, kind="stable")
    rows = [records[i] for i in indices[order]]
    folds = np.repeat(np.arange(len(fold_results)), [len(result.fold.test) for result in fold_results])[order]
    guesses = np.array([guess for result in fold_results for guess in result.techniques])[order].tolist()
    notes = [f"scored by {len(fold_results)} models, each on families that it never saw"]
    if config.bundle.calibrate_on == "test" and reliability is not None:
        notes.append(
            "the bundle's probability is not the one measured here: it is fitted on these rows, and on families left "
            f"out of that fit its calibration error is {reliability.ece}, its Brier score {reliability.brier}"
        )
    scores, systems = [], []
    for name in fold_results[0].scores:
        values = np.concatenate([result.scores[name] for result in fold_results])[order]
        is_ours = name == SYSTEM
        scores.append(1 / (1 + np.exp(-values)) if is_ours else values)
        systems.append(
            measure_system(
                rows,
                Scored(scores[-1], tuple(guesses) if is_ours else None),
                name=name,
                kind="trained",
                version=config.name,
                has_probabilities=is_ours,
                notes=tuple(notes if is_ours else notes[:1]),
                folds=folds,
                seed=config.seed,
                num_replicates=config.evaluate.bootstrap_replicates,
            )
        )
    return build_evaluation(
        rows,
        systems,
        scores,
        kind="training",
        suite=SUITE,
        suite_digest=hashlib.sha256(SUITE.encode()).hexdigest(),
        title="Families held out in training",
        data_name=config.name,
        folds=folds,
        seed=config.seed,
        num_replicates=config.evaluate.bootstrap_replicates,
    )
