"""The evaluation that a training run leaves behind: every system on the families that its fold's model never saw.

It measures what the run's recipe makes of unseen families, by the models of the folds. The bundle of a run that then
fits once more on all families is not itself measured by it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from stillwatch.data.records import LabelledRequest
from stillwatch.train.config import TrainConfig
from stillwatch.train.results import Results
from stillwatch.train.rotation import FoldResult
from stillwatch.train.suites.evaluation import Evaluation, SystemResult
from stillwatch.train.suites.measuring import count_confusion, draw_curves
from stillwatch.train.suites.running import build_evaluation

SUITE = "training"
"""What the evaluation of a training run is called; the rows are the configuration's."""


def evaluate_folds(
    records: Sequence[LabelledRequest], fold_results: Sequence[FoldResult], results: Results, config: TrainConfig
) -> Evaluation:
    """The test records of all folds as one evaluation, in the order of `records`, so that runs of other folds compare.

    Args:
        records: all records of the run.
        fold_results: every fold, scored.
        results: what `measure` found on them; nothing is measured anew.
        config: of the run.
    """
    indices = np.array([i for result in fold_results for i in result.fold.test], np.int64)
    order = np.argsort(indices, kind="stable")
    rows = [records[i] for i in indices[order]]
    folds = np.repeat(np.arange(len(fold_results)), [len(result.fold.test) for result in fold_results])[order]
    guesses = np.array([guess for result in fold_results for guess in result.techniques])[order].tolist()
    decided = np.array([row.is_decided for row in rows])
    labels = np.array([int(row.is_extraction) for row in rows])
    scores, systems = [], []
    for place, (name, metrics) in enumerate(results.systems.items()):
        scores.append(np.concatenate([result.scores[name] for result in fold_results])[order])
        is_first = place == 0
        systems.append(
            SystemResult(
                name=name,
                kind="trained",
                version=config.name,
                has_probabilities=False,
                notes=(f"scored by {len(fold_results)} models, each on families that it never saw",),
                metrics=metrics,
                fold_tprs=results.fold_tprs[name],
                slices=results.slices if is_first else {},
                aside=results.aside if is_first else (),
                carried=(),
                confusion=count_confusion(rows, guesses) if is_first else None,
                technique_recall=results.techniques if is_first else {},
                curves=draw_curves(labels[decided], scores[-1][decided], has_probabilities=False),
                cost=None,
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
