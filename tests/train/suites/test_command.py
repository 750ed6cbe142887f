"""`stillwatch evaluate` from its options to its table, its files and its run, on a bundle that really scores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from stillwatch.data.dialects import dump_labelled
from stillwatch.data.errors import ConfigError, InputError
from stillwatch.data.labels import Label, Role, Technique, Visibility
from stillwatch.data.records import LabelledRequest, Message, Request
from stillwatch.model.bundle import Bundle
from stillwatch.train.suites.command import evaluate
from stillwatch.train.suites.evaluation import Evaluation
from stillwatch.train.tracking import Store

EXPERIMENT = "evaluate-command"
WORD = "hello"


def record(number: int) -> LabelledRequest:
    is_extraction = number % 2 == 1
    words = " ".join(["reasoning"] * (number % 5 + 4 * is_extraction) + [WORD] * 6)
    return LabelledRequest(
        Request((Message(Role.USER, words),), id=f"row-{number}"),
        Label.EXTRACTION if is_extraction else Label.BENIGN,
        f"family-{number // 4}-{is_extraction}",
        f"source-{number % 3}",
        Technique.CODING_ANALYSIS if is_extraction else None,
        Visibility.REQUEST if is_extraction else None,
    )


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store_uri: str) -> Path:
    """A folder with rows, scores of a peer, and a suite with one change."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri)
    monkeypatch.setenv("COLUMNS", "200")
    rows = [json.dumps(dump_labelled(record(number))) for number in range(24)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows), "utf-8")
    scores = "".join(f"row-{number},{number % 7}\n" for number in range(24))
    (tmp_path / "peer.csv").write_text(f"id,score\n{scores}", "utf-8")
    case = {"kind": "transforms", "name": "typed", "title": "Typed badly", "names": ["typos"], "strengths": [1.0]}
    hard = {"kind": "sources", "name": "hard", "title": "Hard", "sources": ["source-1", "manuals"]}
    suite = {"name": "tiny", "title": "A tiny suite", "bootstrap_replicates": 100, "cases": [case, hard]}
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump({"kind": "requests", **suite}), "utf-8")
    return tmp_path


def call(place: Path, bundle: Bundle, *arguments: str) -> Result:
    options = ["--model", str(bundle.folder), "--data", str(place / "rows.jsonl"), *arguments]
    return CliRunner().invoke(evaluate, options, catch_exceptions=False)


def test_one_table_has_every_system_with_its_interval(place: Path, tiny_bundle: Bundle) -> None:
    found = call(place, tiny_bundle, "--also", str(place / "peer.csv"), "--no-track")
    assert found.exit_code == 0
    for told in ("12 extraction records of 6 families, 12 benign of 6", tiny_bundle.version, "peer", "TPR at", "ECE"):
        assert told in found.stdout
    assert "by technique: caught (TPR)" in found.stdout
    assert "thresholds that it brings along" in found.stdout
    assert "no cost was measured" in found.stdout


def test_cases_of_a_suite_are_printed_with_what_is_missing(place: Path, tiny_bundle: Bundle) -> None:
    found = call(place, tiny_bundle, "--suite", str(place / "suite.yaml"), "--no-track")
    assert "typed: Typed badly" in found.stdout
    assert "typos 1" in found.stdout
    assert "not among the rows: manuals" in found.stdout


def test_the_file_and_the_printed_json_are_the_evaluation(place: Path, tiny_bundle: Bundle) -> None:
    path = place / "out" / "evaluation.json"
    call(place, tiny_bundle, "--json", str(path), "--no-track")
    printed = call(place, tiny_bundle, "--json", "-", "--no-track")
    written, told = Evaluation.load(path), Evaluation.from_json(json.loads(printed.stdout))
    assert written.records == told.records
    assert written.first.metrics == told.first.metrics
    assert written.suite == "rows"


def test_the_run_keeps_figures_evaluation_and_report_and_no_text(place: Path, tiny_bundle: Bundle) -> None:
    report = place / "report.html"
    suite = ("--suite", str(place / "suite.yaml"), "--html", str(report), "--embed-text")
    found = call(place, tiny_bundle, *suite, "--experiment", EXPERIMENT)
    run = Store.open().get_run(found.stderr.split()[-1])
    assert run.experiment == EXPERIMENT
    assert run.status == "FINISHED"
    assert run.test_figures["num_extraction"] == 12
    assert 0 <= run.test_figures["ece"] <= 1
    assert "case/typed/typos/1/tpr_at_fpr_0.01" in run.metrics
    assert run.tags["model.version"] == tiny_bundle.version
    kept = Store.open().download_bundle(f"runs:/{run.id}/", place / "kept")
    assert {path.name for path in kept.iterdir()} == {"evaluation.json", "report.html"}
    assert Evaluation.load(kept / "evaluation.json").suite == "tiny"
    assert f"{WORD} {WORD}" in report.read_text("utf-8")  # asked for
    assert all(f"{WORD} {WORD}" not in path.read_text("utf-8") for path in kept.iterdir())


def test_at_most_so_many_of_a_source_are_scored(place: Path, tiny_bundle: Bundle) -> None:
    found = call(place, tiny_bundle, "--max-per-source", "5", "--json", "-", "--no-track")
    assert len(Evaluation.from_json(json.loads(found.stdout)).records) == 15


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--embed-text",), "--embed-text is for --html"),
        (("--set", "fit.epochs=1"), "--set and --folder are for training suites"),
        (("--slice", "weather"), "'weather' is not one of"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    place: Path, tiny_bundle: Bundle, arguments: tuple[str, ...], told: str
) -> None:
    found = call(place, tiny_bundle, *arguments, "--no-track")
    assert found.exit_code == 2
    assert told in found.stderr


def test_rows_must_be_named_where_the_suite_has_none(place: Path, tiny_bundle: Bundle) -> None:
    found = CliRunner().invoke(evaluate, ["--model", str(tiny_bundle.folder)])
    assert found.exit_code == 2
    assert "give --data FILE, or a suite" in found.stderr
    with pytest.raises(ConfigError, match="name the rows with --data FILE"):
        CliRunner().invoke(evaluate, ["--suite", str(place / "suite.yaml")], catch_exceptions=False)


def test_a_missing_score_is_told_with_how_many(place: Path, tiny_bundle: Bundle) -> None:
    (place / "short.csv").write_text("id,score\nrow-0,1\n", "utf-8")
    with pytest.raises(InputError, match=r"no score for 23 of 24 records, such as row-1; score every record"):
        call(place, tiny_bundle, "--also", str(place / "short.csv"), "--no-track")
