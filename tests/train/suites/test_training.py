"""Systems that are fitted in the run: what was held out stands as a case, each fold at thresholds of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from stillwatch.model.bundle import MODEL_CARD, load_bundle
from stillwatch.train.suites.evaluation import Evaluation
from stillwatch.train.suites.suite import TrainingSuite, digest_suite
from stillwatch.train.suites.training import list_held_out, plan_training, run_training

SUITE = TrainingSuite(kind="training", name="held", title="Held out", base=Path("demo.yaml"))
TECHNIQUE = "coding_analysis"


def by_folds(evaluation: Evaluation) -> Evaluation:
    """Rows of two folds; in the second one every extraction record is of one technique."""
    rows = tuple(
        replace(row, fold=number % 2, technique=TECHNIQUE if number % 2 and row.technique else row.technique)
        for number, row in enumerate(evaluation.records)
    )
    rows = tuple(
        replace(row, technique="tool_use_probing" if number == 12 else row.technique) for number, row in enumerate(rows)
    )
    return replace(evaluation, records=rows)


def test_each_fold_is_a_group_named_by_the_technique_that_it_holds(evaluation: Evaluation) -> None:
    found = list_held_out(by_folds(evaluation), SUITE)
    assert [group.name for group in found.groups] == ["fold 0", TECHNIQUE]
    assert [len(group.record_ids) for group in found.groups] == [12, 12]


def test_each_fold_has_thresholds_of_its_own(evaluation: Evaluation) -> None:
    """No benign record of a fold may stand at or above its threshold, for there are fewer than 100 of them."""
    folds = by_folds(evaluation)
    for number, group in enumerate(list_held_out(folds, SUITE).groups):
        rows = [row for row in folds.records if row.fold == number]
        top = max(row.scores[0] for row in rows if row.label == "benign")
        caught = np.mean([row.scores[0] > top for row in rows if row.label == "extraction"])
        rates = [rate for rate in group.rates if rate.system == "tiny-1" and rate.fpr == 0.01]
        assert {rate.is_extraction: rate.rate.value for rate in rates} == {True: caught, False: 0.0}


@pytest.mark.slow
def test_a_suite_trains_with_each_technique_held_out_and_tells_it(
    repository: Path, bert_folder: Path, tmp_path: Path, store_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri)
    suite = TrainingSuite(
        kind="training",
        name="techniques",
        title="Techniques",
        base=repository / "configs" / "demo.yaml",
        overrides=(
            *("sources=[{kind: generated, num_requests: 400}]", f"model.encoder={bert_folder}", "model.max_tokens=64"),
            *("model.overlap_tokens=8", "model.freeze_layers=-1", "fit.requests_per_epoch=64", "fit.train_windows=1"),
            *("evaluate.baselines=[tfidf]", "evaluate.bootstrap_replicates=100", "tracking.experiment=suite-training"),
            *("split.hold_out=techniques", "split.run_folds=[0, 3]", "name=techniques", "bundle.calibrate_on=test"),
        ),
    )
    config = plan_training(suite, data=None)
    console = Console(quiet=True)
    found = run_training(suite, config, folder=tmp_path / "run", console=console)
    assert (found.kind, found.suite, found.suite_digest) == ("training", "techniques", digest_suite(suite))
    assert [system.name for system in found.systems] == ["stillwatch", "tfidf"]
    assert [group.name for group in found.cases[-1].groups] == ["reasoning_elicitation", "preference_grading"]
    assert found.first.has_probabilities
    assert found.first.metrics.ece is not None
    bundle = load_bundle(tmp_path / "run" / "bundle")
    tested = [row for row in found.records if row.fold == 0 and row.is_decided]  # by the model of the bundle
    assert bundle.calibration.fitted_on == "test"
    assert bundle.calibration.num_benign == sum(row.label == "benign" for row in tested)
    reference = bundle.calibration.reference
    assert reference is not None
    assert (reference.source, reference.num_requests) == ("training", bundle.calibration.num_benign)
    assert any("families left out of that fit" in note for note in found.first.notes)
    assert "by a fit on all the others" in (bundle.folder / MODEL_CARD).read_text("utf-8")
