"""A suite that fits its systems anew: the pipeline of `stillwatch train` with something held out, as one evaluation.

Everything that a training run leaves behind is left behind here, too: runs, plots, a bundle, which is not registered.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console

from stillwatch.train.config import TrainConfig, load_config
from stillwatch.train.metrics import threshold_at_fpr
from stillwatch.train.suites.answers import Case, CaseGroup, CaseRate
from stillwatch.train.suites.evaluation import Evaluation, ScoredRecord
from stillwatch.train.suites.fetching import EVALUATION
from stillwatch.train.suites.suite import TrainingSuite, digest_suite
from stillwatch.train.summary import FPRS, by_slice


def plan_training(
    suite: TrainingSuite, *, data: Path | None, max_per_source: int | None = None, overrides: Sequence[str] = ()
) -> TrainConfig:
    """The training configuration that a suite comes to.

    Args:
        suite: what is held out; `base` leads to a file.
        data: labelled file or folder that joins the sources in the suite's role; None leaves the base as it is.
        max_per_source: at most this many of its records of a source.
        overrides: `key=value` pairs of the caller, after all others.

    Raises:
        ConfigError: the base or a pair is wrong; the message names it.
    """
    pairs = [*suite.overrides, "tracking.register_as=null", "bundle.train_on=fold"]
    if data is not None:
        pairs += suite.overrides_with_data
    config = load_config(suite.base, [*pairs, *overrides])
    if data is None:
        return config
    source = {"kind": "files", "path": str(data.resolve()), "role": suite.data_role, "max_per_source": max_per_source}
    sources = [*config.model_dump(mode="json")["sources"], source]
    return load_config(suite.base, [*pairs, f"sources={json.dumps(sources)}", *overrides])


def run_training(suite: TrainingSuite, config: TrainConfig, *, folder: Path, console: Console) -> Evaluation:
    """Run the pipeline and read the evaluation that it leaves behind.

    Args:
        suite: what is asked.
        config: what `plan_training` gave.
        folder: where checkpoints, results and the bundle go; an interrupted run in it goes on.
        console: for what a person reads on the way.

    Raises:
        StillwatchError: a source, a split, the export or the tracking store is at fault; the message tells how.
    """
    from stillwatch.train.pipeline import train

    train(config, folder=folder, console=console, resume=folder.exists())
    found = Evaluation.load(folder / EVALUATION)
    return replace(
        found,
        suite=suite.name,
        suite_digest=digest_suite(suite),
        title=suite.title,
        cases=(*found.cases, list_held_out(found, suite)),
    )


def list_held_out(evaluation: Evaluation, suite: TrainingSuite) -> Case:
    """What each fold's systems make of what was held out of that fold, each at its own fold's thresholds."""
    groups = []
    for fold in sorted({row.fold for row in evaluation.records}):
        rows = [row for row in evaluation.records if row.fold == fold and row.is_decided]
        techniques = {row.technique for row in rows if row.technique is not None}
        name = f"fold {fold}" if len(techniques) != 1 else f"{min(techniques)}"
        rates = [rate for place in range(len(evaluation.systems)) for rate in _rate_fold(evaluation, rows, place, name)]
        groups.append(CaseGroup(name, None, None, tuple(row.id for row in rows), (), tuple(rates)))
    notes = ("each fold at thresholds found on its own benign records",)
    return Case("held-out", "held_out", suite.title, notes, (), tuple(groups))


def _rate_fold(evaluation: Evaluation, rows: Sequence[ScoredRecord], place: int, name: str) -> list[CaseRate]:
    labels = np.array([int(row.label == "extraction") for row in rows])
    scores = np.array([row.scores[place] for row in rows])
    found = by_slice(
        labels,
        scores,
        [row.family for row in rows],
        [name] * len(rows),
        thresholds={fpr: threshold_at_fpr(labels, scores, fpr) for fpr in FPRS},
        seed=evaluation.seed,
        num_replicates=evaluation.num_replicates,
    )
    return [CaseRate.of_unchanged(evaluation.systems[place].name, rate) for rate in found]
