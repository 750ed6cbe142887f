"""An evaluation goes to a file and comes back whole; anything else is refused by name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from stillwatch.data.errors import InputError
from stillwatch.train.suites.evaluation import FORMAT_VERSION, Evaluation


def test_an_evaluation_comes_back_from_its_file_as_it_was(evaluation: Evaluation, tmp_path: Path) -> None:
    evaluation.write(tmp_path / "new" / "evaluation.json")
    assert Evaluation.load(tmp_path / "new" / "evaluation.json") == evaluation


def test_json_holds_intervals_by_name(evaluation: Evaluation) -> None:
    written = json.loads(json.dumps(evaluation.to_json()))
    assert set(written["systems"][0]["metrics"]["auroc"]) == {"low", "value", "high"}
    assert written["format_version"] == FORMAT_VERSION


def test_systems_are_found_by_name_and_an_unknown_one_is_refused(evaluation: Evaluation) -> None:
    assert evaluation.system("peer") is evaluation.systems[1]
    assert evaluation.first.name == "tiny-1"
    with pytest.raises(InputError, match="give one of tiny-1, peer"):
        evaluation.system("other")


def test_only_records_that_one_request_decides_are_decided(evaluation: Evaluation) -> None:
    row = evaluation.records[-1]
    assert row.is_decided
    assert not replace(row, visibility="stream").is_decided
    assert not replace(row, label="ambiguous", visibility=None).is_decided


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("no json", "not readable as JSON"),
        ("[1]", "format_version: a list of 1 without it"),
        ('{"format_version": 0}', "format_version: another format"),
        (json.dumps({"format_version": FORMAT_VERSION, "kind": "streams"}), "kind: literal_error"),
    ],
)
def test_what_is_no_evaluation_is_refused(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "evaluation.json"
    path.write_text(content, "utf-8")
    with pytest.raises(InputError, match=told):
        Evaluation.load(path)
