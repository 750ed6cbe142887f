from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from stillwatch.data.configuration import load_config_file, parse_config
from stillwatch.data.errors import ConfigError
from stillwatch.data.recipe import Recipe
from stillwatch.train.config import TrainConfig, load_config

MINIMAL: dict[str, Any] = {"name": "trial", "sources": [{"kind": "generated"}]}


def write(folder: Path, content: object) -> Path:
    path = folder / "trial.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), "utf-8")
    return path


def refuse(folder: Path, content: object, *overrides: str) -> str:
    path = write(folder, content)
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    return str(caught.value).replace(f"{path}: ", "FILE: ")


def test_a_minimal_file_is_enough(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, MINIMAL))
    assert (config.name, config.seed, config.split.num_folds, config.split.run_folds) == ("trial", 7, 5, None)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"epochs": 3}, "FILE: epochs: unknown key; remove it or check its spelling"),
        ({"fit": {"epoch": 3}}, "FILE: fit.epoch: unknown key; remove it or check its spelling"),
        ({"fit": {"epochs": "many"}}, "FILE: fit.epochs: Input should be a valid integer"),
        ({"fit": {"epochs": 0}}, "FILE: fit.epochs: Input should be greater than or equal to 1"),
        ({"fit": {"learning_rate": -1}}, "FILE: fit.learning_rate: Input should be greater than 0"),
        ({"fit": [3]}, "FILE: fit: Input should be a valid dictionary"),
        ({"model": {"head_dropout": 1.5}}, "FILE: model.head_dropout: Input should be less than or equal to 1"),
        ({"model": {"attention": "flash"}}, "FILE: model.attention: Input should be 'sdpa' or 'eager'"),
        ({"model": {"max_tokens": 64}}, "FILE: model: overlap_tokens must be at most a quarter of max_tokens"),
        ({"sources": []}, "FILE: sources: Tuple should have at least 1 item"),
        ({"sources": [{"kind": "files"}]}, "FILE: sources.0: path is needed for the kinds"),
        (
            {"sources": [{"kind": "authored", "path": "x"}]},
            "FILE: sources.0: path is needed for the kinds",
        ),
        ({"sources": [{"kind": "web"}]}, "FILE: sources.0.kind: Input should be 'generated'"),
        ({"name": "Two Words"}, "FILE: name: String should match pattern"),
        ({"name": "../up"}, "FILE: name: String should match pattern"),
        ({"split": {"num_folds": 1}}, "FILE: split.num_folds: Input should be greater than or equal to 2"),
        ({"split": {"num_folds": 3, "run_folds": [3]}}, "FILE: split: run_folds must name different folds from 0 to 2"),
        ({"split": {"run_folds": [1, 1]}}, "FILE: split: run_folds must name different folds from 0 to 4"),
        ({"split": {"run_folds": []}}, "FILE: split: run_folds must name different folds from 0 to 4"),
        ({"bundle": {"flag_fpr": 0.1}}, "FILE: bundle: flag_fpr must not be above review_fpr"),
        ({"evaluate": {"baselines": ["guess"]}}, "FILE: evaluate.baselines.0: Input should be 'tfidf'"),
    ],
)
def test_a_wrong_key_or_value_is_refused_with_file_key_and_rule(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    assert refuse(tmp_path, MINIMAL | change).startswith(told)


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    told = refuse(tmp_path, {"name": "trial", "seed": -1, "fit": {"epochs": 0, "speed": 1}}).splitlines()
    assert [line.split(": ")[1] for line in told] == ["seed", "sources", "fit.epochs", "fit.speed"]
    assert told[1] == "FILE: sources: missing; add it"


@pytest.mark.parametrize(
    ("content", "told"),
    [("", "FILE: null at the top"), ("[1]", "FILE: a list of 1 at the top"), ("a: [", "FILE: not readable as YAML")],
)
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, content: str, told: str) -> None:
    assert refuse(tmp_path, content).startswith(told)


def test_a_missing_or_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.yaml: no such file"):
        load_config(tmp_path / "gone.yaml")
    with pytest.raises(ConfigError, match="not readable as YAML"):
        load_config(tmp_path)


def test_values_never_stand_in_the_message(tmp_path: Path) -> None:
    assert "hunter2" not in refuse(tmp_path, MINIMAL | {"seed": "hunter2", "fit": {"bf16": "hunter2"}})


def test_overrides_reach_nested_keys_and_list_items(tmp_path: Path) -> None:
    config = load_config(
        write(tmp_path, MINIMAL),
        (
            "fit.epochs=9",
            "fit.learning_rate=1e-4",
            "split.run_folds=[0, 2]",
            "sources.0.num_requests=12",
            "tracking.register_as=null",
            "name=other",
        ),
    )
    assert (config.fit.epochs, config.fit.learning_rate, config.name) == (9, 1e-4, "other")
    assert config.split.run_folds == (0, 2)
    assert config.sources[0].num_requests == 12
    assert config.tracking.register_as is None


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("fit.epochs", "override: no `=` in a pair of 10 characters"),
        ("=3", "override: no `=`"),
        ("sources.1.kind=authored", "override sources.1.kind: there is nothing under 1"),
        ("sources.one.kind=authored", "override sources.one.kind: there is nothing under one"),
        ("sources.4=x", "override sources.4: there is nothing to set under 4"),
        ("name.first=x", "override name.first: there is nothing to set under first"),
        ("name=[", "override name: the value is not YAML"),
        ("fit.epoch=3", "FILE: fit.epoch: unknown key"),
    ],
)
def test_an_override_that_leads_nowhere_is_refused(tmp_path: Path, override: str, told: str) -> None:
    assert refuse(tmp_path, MINIMAL, override).startswith(told)


def test_the_logged_configuration_repeats_the_run(tmp_path: Path) -> None:
    config = load_config(
        write(tmp_path, MINIMAL),
        ("split.run_folds=[1]", "sources=[{kind: files, path: rows}]", "evaluate.baselines=[tfidf]"),
    )
    logged = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    assert load_config(write(tmp_path, logged)) == config
    assert parse_config(TrainConfig, json.loads(config.model_dump_json()), "logged") == config


def test_every_configuration_of_the_repository_loads(repository: Path) -> None:
    others = {"gate", "litellm_http", "litellm_inside", "serve", "streams"}  # these have tests of their own
    paths = sorted(path for path in (repository / "configs").glob("*.yaml") if path.stem not in others)
    recipes = [path for path in paths if path.stem == "dataset"]
    assert recipes
    for path in paths:
        name = load_config_file(Recipe, path).name if path in recipes else load_config(path).name
        assert name.removeprefix("stillwatch-").replace("-", "_") == path.stem
