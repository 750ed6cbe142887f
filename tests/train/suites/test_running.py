"""A suite run on real rows by real systems: every figure is the one that can be worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stillwatch.data.dialects import dump_labelled
from stillwatch.data.errors import ConfigError, InputError
from stillwatch.data.labels import TECHNIQUES, Label, Role, Visibility
from stillwatch.data.records import LabelledRequest, Message, Request
from stillwatch.data.sources import digest_records
from stillwatch.model.bundle import Bundle
from stillwatch.train.results import STREAM_ONLY
from stillwatch.train.suites.answers import Case
from stillwatch.train.suites.bundles import BundleSystem, open_bundle
from stillwatch.train.suites.cases import _Pair, bury
from stillwatch.train.suites.evaluation import Evaluation
from stillwatch.train.suites.rows import load_rows
from stillwatch.train.suites.running import run_requests
from stillwatch.train.suites.score_files import ScoreFile
from stillwatch.train.suites.suite import RequestSuite
from stillwatch.train.suites.systems import Options, System

NUM_WORDS = 20
CASES = [
    {"kind": "all", "name": "whole", "title": "All"},
    {"kind": "sources", "name": "hard", "title": "Hard", "sources": ["apps", "lessons.*", "manuals"]},
    {"kind": "ambiguous", "name": "unclear", "title": "Unclear"},
    {"kind": "languages", "name": "languages", "title": "Languages", "min_records": 5},
    {"kind": "lengths", "name": "lengths", "title": "Lengths", "edges": [100, 150, 100_000]},
    {"kind": "padding", "name": "buried", "title": "Buried", "num_characters": [3000], "max_records": 3},
    {"kind": "transforms", "name": "changed", "title": "Changed", "names": ["addressing"], "strengths": [0.5, 1.0]},
]


def record(number: int, num_hits: int, label: Label, source: str, lang: str = "en") -> LabelledRequest:
    """Twenty words, so many of them `reasoning`: the tiny bundle's logit grows with their number."""
    words = ["reasoning"] * num_hits + ["hello"] * (NUM_WORDS - num_hits)
    is_extraction = label is Label.EXTRACTION
    return LabelledRequest(
        Request((Message(Role.USER, " ".join(words)),), id=f"row-{number}"),
        label,
        f"{label.value}-{number // 2}",
        source,
        TECHNIQUES[number % 2] if is_extraction else None,
        Visibility.REQUEST if is_extraction else None,
        lang=lang,
    )


def make_records() -> list[LabelledRequest]:
    """Eight benign of two sources, eight extraction, two ambiguous, one that only a stream shows."""
    benign = [record(n, n, Label.BENIGN, ("apps", "lessons.a")[n % 2], ("en", "de")[n > 5]) for n in range(8)]
    extraction = [record(8 + n, 5 + n, Label.EXTRACTION, "harvest") for n in range(8)]
    unclear = [record(16 + n, 4 + 9 * n, Label.AMBIGUOUS, "judges") for n in range(2)]
    quiet = replace(record(18, 12, Label.EXTRACTION, "harvest"), visibility=Visibility.STREAM)
    return [*benign, *extraction, *unclear, quiet]


def write(path: Path, records: Sequence[LabelledRequest]) -> Path:
    path.write_text("".join(json.dumps(dump_labelled(each)) + "\n" for each in records), "utf-8")
    return path


def suite(**settings: object) -> RequestSuite:
    return RequestSuite.model_validate(
        {"name": "small", "title": "A small suite", "bootstrap_replicates": 100, **settings}
    )


@pytest.fixture(scope="module")
def ours(tiny_bundle: Bundle) -> BundleSystem:
    return open_bundle(tiny_bundle.folder, Options())


@pytest.fixture(scope="module")
def evaluation(ours: BundleSystem, tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    path = write(tmp_path_factory.mktemp("rows") / "rows.jsonl", make_records())
    peer = ScoreFile({f"row-{n}": -float(n) for n in range(19)}, "peer", "1", has_probabilities=False)
    systems: list[System] = [ours, peer]
    asked = suite(cases=CASES)
    return run_requests(asked, systems, load_rows(asked, systems, path))


def case(evaluation: Evaluation, name: str) -> Case:
    return next(each for each in evaluation.cases if each.name == name)


def test_every_system_is_measured_on_the_same_rows(evaluation: Evaluation) -> None:
    ours, peer = evaluation.systems
    assert evaluation.data.name == "rows.jsonl"
    assert evaluation.data.digest == digest_records(make_records())
    assert evaluation.data.num_records == {"benign": 8, "extraction": 8, "ambiguous": 2, STREAM_ONLY: 1}
    # Extraction has 5 to 12 hits, benign 0 to 7: 55 of 64 pairs are the right way round, three more are ties.
    wins = sum(e > b for e in range(5, 13) for b in range(8)) + sum(e == b for e in range(5, 13) for b in range(8)) / 2
    assert ours.metrics.auroc.value == pytest.approx(wins / 64)
    assert peer.metrics.auroc.value == 0.0  # its scores fall
    assert ours.metrics.at(0.01).tpr.value == 5 / 8  # those with 8 to 12 hits


def test_every_row_stands_with_its_scores_and_without_its_text(evaluation: Evaluation) -> None:
    assert [row.id for row in evaluation.records] == [f"row-{n}" for n in range(19)]
    assert [row.scores[1] for row in evaluation.records] == [-float(n) for n in range(19)]
    assert sum(row.is_decided for row in evaluation.records) == 16
    assert "hello" not in json.dumps(evaluation.to_json())


def test_it_comes_back_from_json(evaluation: Evaluation) -> None:
    assert Evaluation.from_json(json.loads(json.dumps(evaluation.to_json()))) == evaluation


def test_calibration_and_cost_are_told_where_they_can_be(evaluation: Evaluation) -> None:
    ours, peer = evaluation.systems
    decided = [row for row in evaluation.records if row.is_decided]
    brier = np.mean([(row.scores[0] - (row.label == "extraction")) ** 2 for row in decided])
    assert ours.metrics.brier is not None
    assert ours.metrics.brier.value == pytest.approx(brier)
    assert sum(each.num_records for each in ours.curves.reliability) == 16
    assert ours.cost is not None
    assert ours.cost.median_ms > 0
    assert ours.cost.num_requests <= 19
    assert (peer.metrics.ece, peer.metrics.brier, peer.curves.reliability, peer.cost) == (None, None, (), None)


def test_thresholds_of_a_bundle_are_tried_beside_those_of_the_rows(evaluation: Evaluation) -> None:
    """The tiny bundle reviews from a logit of -1: a share of reasoning tokens of a quarter, 24 tokens with markers."""
    review, flag = evaluation.first.carried
    rates = {rate.group: rate for rate in review.rates}
    assert set(rates) == {"benign", "extraction", "ambiguous", STREAM_ONLY}
    reviewed = [row.scores[0] >= review.threshold for row in evaluation.records if row.label == "benign"]
    assert rates["benign"].rate.value == np.mean(reviewed) > 0
    assert flag.threshold > review.threshold
    assert {rate.group for rate in review.by_source} == {"apps", "lessons.a", "harvest"}
    assert evaluation.systems[1].carried == ()


def test_techniques_are_counted_by_the_named_one(evaluation: Evaluation) -> None:
    """The tiny bundle names the first technique of all, always."""
    ours, peer = evaluation.systems
    assert ours.confusion is not None
    assert [row[:2] for row in ours.confusion.counts[:2]] == [(4, 0), (4, 0)]
    assert sum(map(sum, ours.confusion.counts)) == 8
    assert ours.technique_recall[TECHNIQUES[0].value].value == 1.0
    assert peer.confusion is None


def test_curves_run_from_nothing_to_everything(evaluation: Evaluation) -> None:
    roc = evaluation.first.curves.roc
    assert roc[0] == (0.0, 5 / 8)
    assert roc[-1] == (1.0, 1.0)
    assert [point[1] for point in roc] == sorted(point[1] for point in roc)
    assert evaluation.first.curves.precision_recall[-1] == (1.0, 0.5)


def test_a_source_that_is_absent_is_named_and_no_error(evaluation: Evaluation) -> None:
    hard = case(evaluation, "hard")
    assert hard.missing == ("manuals",)
    assert {group.name: len(group.record_ids) for group in hard.groups} == {"apps": 4, "lessons.a": 4}
    assert all(not rate.is_extraction and rate.clean is None for group in hard.groups for rate in group.rates)


def test_undecided_rows_have_a_case_of_their_own_at_the_threshold_of_the_whole(evaluation: Evaluation) -> None:
    (group,) = case(evaluation, "unclear").groups
    (rate,) = [rate for rate in group.rates if rate.system == evaluation.first.name and rate.fpr == 0.01]
    assert (rate.rate.value, rate.num_records) == (0.5, 2)  # 4 hits pass, 13 do not
    assert rate.threshold == evaluation.first.metrics.at(0.01).threshold


def test_rare_languages_stand_together_and_empty_lengths_are_named(evaluation: Evaluation) -> None:
    sizes = {group.name: len(group.record_ids) for group in case(evaluation, "languages").groups}
    assert sizes == {"en": 14, "other": 2}
    lengths = case(evaluation, "lengths")
    assert sum(len(group.record_ids) for group in lengths.groups) == 16
    assert lengths.missing == ("below 100 characters", "from 100,000 characters")


def test_changed_rows_are_scored_again_and_compared_with_themselves(evaluation: Evaluation, ours: BundleSystem) -> None:
    buried = case(evaluation, "buried")
    (group,) = buried.groups
    assert (group.name, group.num_characters, len(group.record_ids)) == ("3,000 characters", 3000, 6)
    assert group.scores[1] == ()
    assert "peer reads no text" in buried.notes[0]
    by_id = {each.id: each for each in make_records()}
    changed = [bury(by_id[id_], num_characters=3000, seed=7).request for id_ in group.record_ids]
    assert list(group.scores[0]) == ours.score(changed).scores.tolist()
    before = {row.id: row.scores[0] for row in evaluation.records}
    extraction = [n for n, id_ in enumerate(group.record_ids) if by_id[id_].is_extraction]
    threshold = evaluation.first.metrics.at(0.01).threshold
    (rate,) = [rate for rate in group.rates if rate.is_extraction and rate.fpr == 0.01]
    clean = float(np.mean([before[group.record_ids[n]] >= threshold for n in extraction]))
    after = float(np.mean([group.scores[0][n] >= threshold for n in extraction]))
    drop = np.mean([before[group.record_ids[n]] - group.scores[0][n] for n in extraction])
    assert rate.clean is not None
    assert rate.score_drop is not None
    assert (rate.clean.value, rate.rate.value) == (clean, after)
    assert rate.score_drop.value == pytest.approx(drop)
    assert drop > 0
    assert rate.kept is None or rate.kept.value == after / clean


def test_every_strength_is_a_group(evaluation: Evaluation) -> None:
    changed = case(evaluation, "changed")
    assert [(group.name, group.strength) for group in changed.groups] == [("addressing", 0.5), ("addressing", 1.0)]
    assert all(len(group.record_ids) == 16 for group in changed.groups)
    labels = {(rate.is_extraction, rate.fpr) for rate in changed.groups[0].rates}
    assert labels == {(True, 0.01), (True, 0.001), (False, 0.01), (False, 0.001)}


def test_buried_text_is_as_long_as_asked_for_and_holds_the_request() -> None:
    original = make_records()[9]
    changed = bury(original, num_characters=20_000, seed=1)
    assert original.request.messages[0].content in changed.request.messages[0].content
    assert changed.request.num_characters == pytest.approx(20_000 + original.request.num_characters, abs=50)
    assert changed.id == "row-9+padding@20000"


class Learnt(BundleSystem):
    """A bundle that says what it was trained on."""

    learnt_families = frozenset({"benign-0", "extraction-4"})


def test_families_that_a_system_has_learnt_are_left_out_and_told(ours: BundleSystem, tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", make_records())
    system = Learnt(ours._scorer, "learnt", "bundle")
    system.learnt_families = Learnt.learnt_families
    rows = load_rows(suite(), [system, ours], path)
    assert not {"benign-0", "extraction-4"} & {each.family for each in rows.records}
    assert rows.notes["learnt"] == ("4 records of families that it was trained on were left out, for every system",)
    assert "does not say which families" in rows.notes[ours.name][0]
    assert len(load_rows(suite(unseen_only=False), [system], path).records) == 19


def test_rows_of_the_suite_itself_serve_where_no_data_are_named(ours: BundleSystem) -> None:
    rows = load_rows(suite(sources=[{"kind": "authored", "max_families": 4}]), [ours], None, max_per_source=5)
    assert rows.name == "authored"
    assert len(rows.records) > 5
    with pytest.raises(ConfigError, match="name the rows with --data"):
        load_rows(suite(), [ours], None)


def test_rows_without_both_labels_are_refused(ours: BundleSystem, tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", make_records()[:8])
    with pytest.raises(InputError, match="no extraction record"):
        load_rows(suite(), [ours], path)


def test_a_share_that_is_wholly_kept_by_few_hits_is_not_certain() -> None:
    scores = np.array([3.0] * 4 + [0.0] * 12)
    pair = _Pair(scores, scores, np.arange(16) // 4, seed=1, num_replicates=50)
    kept = pair.rate("any", True, 0.01, 2.0).kept
    assert kept is not None
    assert (kept.value, kept.high) == (1.0, 1.0)
    assert kept.low < 0.8
