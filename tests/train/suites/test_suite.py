"""Suites are typed: what ships is read, and what is wrong is refused by its name."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from stillwatch.data.errors import ConfigError
from stillwatch.data.transforms import TRANSFORMS
from stillwatch.train.suites.suite import (
    KINDS,
    RequestSuite,
    TransformsCase,
    digest_suite,
    load_request_suite,
    load_training_suite,
    read_kind,
)
from stillwatch.train.suites.training import plan_training

REQUESTS = ("requests", "adversarial", "hard_benign", "lengths")
TRAININGS = ("rotation", "transfer", "leave_one_technique_out")


def write(path: Path, content: object) -> Path:
    path.write_text(yaml.safe_dump(content), "utf-8")
    return path


def test_every_suite_that_ships_has_a_known_kind(repository: Path) -> None:
    kinds = {path.stem: read_kind(path) for path in (repository / "configs" / "suites").glob("*.yaml")}
    assert {name for name, kind in kinds.items() if kind == "requests"} == set(REQUESTS)
    assert {name for name, kind in kinds.items() if kind == "training"} == set(TRAININGS)


@pytest.mark.parametrize("name", REQUESTS)
def test_shipped_suites_of_requests_are_read_and_bring_rows(repository: Path, name: str) -> None:
    suite = load_request_suite(repository / "configs" / "suites" / f"{name}.yaml")
    assert suite.name == name
    assert suite.sources
    assert suite.unseen_only


def test_the_adversarial_suite_asks_every_transform(repository: Path) -> None:
    suite = load_request_suite(repository / "configs" / "suites" / "adversarial.yaml")
    (case,) = [case for case in suite.cases if isinstance(case, TransformsCase)]
    assert case.names == tuple(TRANSFORMS)
    assert len(case.strengths) == 3


@pytest.mark.parametrize("name", TRAININGS)
def test_shipped_training_suites_come_to_a_configuration_with_and_without_data(repository: Path, name: str) -> None:
    suite = load_training_suite(repository / "configs" / "suites" / f"{name}.yaml")
    alone = plan_training(suite, data=None)
    assert alone.tracking.register_as is None
    assert alone.bundle.train_on == "fold"
    given = plan_training(suite, data=Path("rows.jsonl"), max_per_source=9, overrides=["fit.epochs=2"])
    assert given.sources[-1].path == Path("rows.jsonl").resolve()
    assert (given.sources[-1].role, given.sources[-1].max_per_source) == (suite.data_role, 9)
    assert len(given.sources) == len(alone.sources) + 1
    assert given.fit.epochs == 2


def test_what_is_held_out_is_what_the_suite_says(repository: Path) -> None:
    folder = repository / "configs" / "suites"
    techniques = plan_training(load_training_suite(folder / "leave_one_technique_out.yaml"), data=None)
    assert (techniques.split.hold_out, techniques.split.run_folds) == ("techniques", None)
    transfer = load_training_suite(folder / "transfer.yaml")
    roles = [source.role for source in plan_training(transfer, data=None).sources]
    assert roles == ["rotate", "test"]
    assert [s.role for s in plan_training(transfer, data=Path("rows.jsonl")).sources] == ["rotate", "train", "test"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"kind": "rumours"}, f"kind: a string of 7 characters that is not known; give one of {', '.join(KINDS)}"),
        ({"name": "x"}, "kind: null that is not known"),
        ([1], "kind: null that is not known"),
    ],
)
def test_an_unknown_kind_is_refused(tmp_path: Path, content: object, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        read_kind(write(tmp_path / "suite.yaml", content))


def test_a_missing_file_is_told_with_where_suites_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file; the suites that come with Stillwatch are in configs/suites/"):
        read_kind(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("case", "told"),
    [
        ({"kind": "lengths", "edges": [300, 100]}, "edges must rise"),
        ({"kind": "transforms", "names": ["shouting"]}, "names must be some of paraphrase"),
        ({"kind": "transforms", "strengths": [0]}, "greater than 0"),
        ({"kind": "sources", "sources": []}, "at least 1 item"),
        ({"kind": "weather"}, "does not match any of the expected tags"),
    ],
)
def test_a_wrong_case_is_refused_with_its_rule(tmp_path: Path, case: dict[str, object], told: str) -> None:
    cases = [{"name": "one", "title": "One", **case}]
    path = write(tmp_path / "suite.yaml", {"kind": "requests", "name": "x", "title": "X", "cases": cases})
    with pytest.raises(ConfigError, match=told):
        load_request_suite(path)


def test_two_cases_of_one_name_are_refused(tmp_path: Path) -> None:
    cases = [{"kind": "all", "name": "one", "title": "One"}] * 2
    path = write(tmp_path / "suite.yaml", {"name": "x", "title": "X", "cases": cases})
    with pytest.raises(ConfigError, match="cases must have different names"):
        load_request_suite(path)


def test_the_digest_tells_suites_apart_and_nothing_else() -> None:
    one, same, other = (RequestSuite(name="x", title=title) for title in ("X", "X", "Y"))
    assert digest_suite(one) == digest_suite(same) != digest_suite(other)
