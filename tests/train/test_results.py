"""What is measured on which records: every figure here is worked by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stillwatch.data.errors import InputError
from stillwatch.data.labels import Label, Role, Technique, Visibility
from stillwatch.data.records import LabelledRequest, Message, Request
from stillwatch.train.intervals import wilson
from stillwatch.train.results import (
    DIMENSIONS,
    STREAM_ONLY,
    Results,
    group_records,
    measure,
    require_both_labels,
)

B, E, A = Label.BENIGN, Label.EXTRACTION, Label.AMBIGUOUS
LABELS = (B, B, E, E, B, B, E, E)
SCORES = (0.0, 1.0, 2.0, 3.0, 10.0, 11.0, 10.5, 12.0)
FOLDS = (0, 0, 0, 0, 1, 1, 1, 1)


def records(labels: Sequence[Label], technique: Technique = Technique.CODING_ANALYSIS) -> list[LabelledRequest]:
    """Two records a family, all of one source."""
    return [
        LabelledRequest(
            Request((Message(Role.USER, "x" * 10),), id=str(number)),
            label,
            f"{label.value}-{number // 2}",
            "s",
            technique if label is E else None,
            Visibility.REQUEST if label is E else None,
        )
        for number, label in enumerate(labels)
    ]


def results(
    labels: Sequence[Label] = LABELS, scores: Sequence[float] = SCORES, folds: Sequence[int] | None = FOLDS
) -> Results:
    return measure(
        records(labels),
        {"ours": np.array(scores), "turned": -np.array(scores)},
        folds=None if folds is None else np.array(folds),
        seed=1,
        num_replicates=20,
    )


def test_each_fold_has_a_threshold_of_its_own_and_their_mean_is_told() -> None:
    """Fold 0 finds both above its highest benign score of 1, fold 1 one of two above 11; together one of four."""
    found = results()
    assert found.fold_tprs["ours"] == ((1.0, 1.0), (0.5, 0.5))
    assert found.mean_over_folds("ours", 0.01) == 0.75
    assert found.mean_over_folds("turned", 0.01) == 0.0
    assert found.systems["ours"].at(0.01).tpr.value == 0.25


def test_scores_of_one_model_are_one_fold() -> None:
    assert results(folds=None).fold_tprs["ours"] == ((0.25, 0.25),)


def test_undecided_records_change_no_figure_and_are_told_aside() -> None:
    without = results()
    rows = records((*LABELS, A, A, A, E, E))
    rows[-2:] = [replace(each, visibility=Visibility.STREAM) for each in rows[-2:]]
    scores = np.array((*SCORES, 12.0, 11.0, -40.0, 13.0, 12.0))
    found = measure(
        rows,
        {"ours": scores, "turned": -scores},
        folds=np.array((*FOLDS, 0, 0, 1, 0, 1)),
        seed=1,
        num_replicates=20,
    )
    assert (found.systems, found.fold_tprs, found.slices) == (without.systems, without.fold_tprs, without.slices)
    assert without.aside == ()
    told = [(rate.group, rate.fpr, rate.num_records, rate.num_families, rate.rate) for rate in found.aside]
    assert told == [
        ("ambiguous", 0.01, 3, 2, wilson(1, 3)),  # 12 is above the highest benign score of 11, which is not
        ("ambiguous", 0.001, 3, 2, wilson(1, 3)),
        (STREAM_ONLY, 0.01, 2, 2, wilson(2, 2)),
        (STREAM_ONLY, 0.001, 2, 2, wilson(2, 2)),
    ]
    assert {rate.threshold for rate in found.aside} == set(found.first.thresholds.values())


def test_slices_are_of_the_first_system_at_its_threshold_of_the_whole() -> None:
    found = results()
    assert tuple(found.slices) == DIMENSIONS
    caught = {rate.group: rate.rate.value for rate in found.slices["family"] if rate.is_extraction}
    assert caught == {"extraction-1": 0.0, "extraction-3": 0.5}
    assert {rate.threshold for rate in found.slices["family"]} == set(found.first.thresholds.values())
    assert {rate.group for rate in found.slices["technique"]} == {"coding_analysis"}
    assert {rate.group for rate in found.slices["length"]} == {"below    300 characters"}


def test_a_technique_is_named_rightly_or_not_whatever_the_score() -> None:
    rows = records((E, E, E, B, A, E))
    rows[2] = replace(rows[2], technique=Technique.PREFERENCE_GRADING)
    rows[5] = replace(rows[5], visibility=Visibility.STREAM)  # named wrongly, but it cannot be known
    guesses = ["coding_analysis", "tool_use_probing", "preference_grading", *["tool_use_probing"] * 3]
    scores = np.array([5.0, 4.0, 3.0, 2.0, 1.0, 0.0])
    found = measure(rows, {"ours": scores}, technique_guesses=guesses, seed=1, num_replicates=20)
    assert found.techniques == {"coding_analysis": wilson(1, 2), "preference_grading": wilson(1, 1)}


@pytest.mark.parametrize(
    ("labels", "told"),
    [((B, A), "no extraction record"), ((E, A), "no benign record"), ((A,), "no benign and no extraction record")],
)
def test_records_without_both_labels_are_refused(labels: tuple[Label, ...], told: str) -> None:
    with pytest.raises(InputError, match=told):
        require_both_labels(records(labels))
    with pytest.raises(InputError, match=told):
        measure(records(labels), {"ours": np.zeros(len(labels))}, seed=1)


def test_extraction_that_only_a_stream_shows_does_not_count_as_a_label() -> None:
    rows = records((B, E, A))
    rows[1] = replace(rows[1], visibility=Visibility.STREAM)
    with pytest.raises(InputError, match="no extraction record"):
        require_both_labels(rows)
    assert group_records(rows) == {"benign": [rows[0]], STREAM_ONLY: [rows[1]], "ambiguous": [rows[2]]}


def test_the_file_holds_every_field_as_plain_json(tmp_path: Path) -> None:
    found = results((A, *LABELS), (12.0, *SCORES), (0, *FOLDS))
    found.write(tmp_path / "results.json")
    read = json.loads((tmp_path / "results.json").read_text("utf-8"), parse_constant=pytest.fail)
    assert sorted(read) == ["aside", "fold_tprs", "slices", "systems", "techniques"]
    assert read["fold_tprs"]["ours"] == [[1.0, 1.0], [0.5, 0.5]]
    assert read["systems"]["ours"]["points"][0]["threshold"] == found.first.thresholds[0.01]
    assert [rate["fpr"] for rate in read["aside"]] == [0.01, 0.001]
