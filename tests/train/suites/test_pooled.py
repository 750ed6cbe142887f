"""Two halves of a rotation, pooled, are what one run over all rows would have left behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from stillwatch.data.errors import InputError
from stillwatch.data.labels import TECHNIQUES, Label, Role, Visibility
from stillwatch.data.records import LabelledRequest, Message, Request
from stillwatch.train.suites.comparison import compare
from stillwatch.train.suites.evaluation import Evaluation
from stillwatch.train.suites.measuring import measure_system
from stillwatch.train.suites.pooled import pool_evaluations
from stillwatch.train.suites.pooling import pool
from stillwatch.train.suites.running import build_evaluation
from stillwatch.train.suites.systems import Scored

NUM_ROWS = 40


def record(number: int, half: str) -> LabelledRequest:
    """Even numbers are extraction, every eighth of them visible in the stream only."""
    is_extraction = number % 2 == 0
    return LabelledRequest(
        Request((Message(Role.USER, "zanzibar"),), id=f"{half}-{number}"),
        Label.EXTRACTION if is_extraction else Label.BENIGN,
        f"{half}-{number % 8}",
        f"source-{half}-{number % 2}",
        TECHNIQUES[number // 2 % 2] if is_extraction else None,
        (Visibility.STREAM if number % 16 == 0 else Visibility.REQUEST) if is_extraction else None,
        lang="de" if number % 3 == 0 else "en",
    )


@cache
def evaluation(halves: str, names: tuple[str, ...] = ("stillwatch", "tfidf")) -> Evaluation:
    """As a training run leaves it behind; the scores of a half are the same whether it stands alone or not."""
    records = [record(number, half) for half in halves for number in range(NUM_ROWS)]
    folds = np.repeat(np.arange(len(halves)), NUM_ROWS)
    systems, scores = [], []
    for name in names:
        drawn = [np.random.default_rng([ord(half), len(name)]).normal(size=NUM_ROWS) for half in halves]
        gap = np.array([each.is_extraction for each in records])
        logits = np.concatenate(drawn) + gap
        is_ours = name == "stillwatch"
        scores.append(1 / (1 + np.exp(-logits)) if is_ours else logits)
        guesses = tuple(TECHNIQUES[number % 3].value for _ in halves for number in range(NUM_ROWS))
        systems.append(
            measure_system(
                records,
                Scored(scores[-1], guesses if is_ours else None),
                name=name,
                kind="trained",
                version=halves,
                has_probabilities=is_ours,
                folds=folds,
                seed=3,
                num_replicates=30,
            )
        )
    return build_evaluation(
        records,
        systems,
        scores,
        kind="training",
        suite="training",
        suite_digest="0" * 64,
        title="Families held out",
        data_name=halves,
        folds=folds,
        seed=3,
        num_replicates=30,
    )


def test_halves_pooled_are_the_whole() -> None:
    pooled, whole = pool_evaluations([evaluation("a"), evaluation("b")]), evaluation("ab")
    assert pooled.records == whole.records
    assert (pooled.data.num_records, pooled.data.num_families) == (whole.data.num_records, whole.data.num_families)
    for ours, theirs in zip(pooled.systems, whole.systems, strict=True):
        assert ours.metrics == theirs.metrics
        assert ours.fold_tprs == theirs.fold_tprs
        assert ours.slices == theirs.slices
        assert ours.aside == theirs.aside
        assert ours.confusion == theirs.confusion
        assert ours.technique_recall == theirs.technique_recall
        assert ours.curves == theirs.curves
    assert pooled.first.metrics.ece is not None
    assert pooled.systems[1].metrics.ece is None


def test_it_says_what_was_pooled_and_comes_back_from_json() -> None:
    pooled = pool_evaluations([evaluation("a"), evaluation("bc")])
    assert pooled.data.name == "a + bc"
    assert pooled.title == "Families held out, 2 evaluations pooled"
    assert pooled.first.notes == ("scored by 3 models of 2 runs, each on families that it never saw",)
    assert Evaluation.from_json(pooled.to_json()) == pooled
    assert pooled.data.digest == pool_evaluations([evaluation("a"), evaluation("bc")]).data.digest
    assert pooled.data.digest != pool_evaluations([evaluation("a"), evaluation("b")]).data.digest


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (lambda: [evaluation("a")], "evaluations"),
        (lambda: [evaluation("a"), evaluation("ab")], "records"),
        (lambda: [evaluation("a"), evaluation("b", ("stillwatch",))], "systems"),
        (lambda: [evaluation("a"), evaluation("b", ("tfidf", "stillwatch"))], "systems"),
        (lambda: [evaluation("a"), replace(evaluation("b"), kind="requests")], "suite"),
        (lambda: [evaluation("a"), replace(evaluation("b"), suite_digest="1" * 64)], "suite"),
    ],
)
def test_what_is_not_parts_of_one_rotation_is_refused(given: Callable[[], list[Evaluation]], field: str) -> None:
    with pytest.raises(InputError) as caught:
        pool_evaluations(given())
    assert caught.value.field == field
    assert "zanzibar" not in str(caught.value)


def test_the_command_prints_one_table_and_leaves_an_evaluation_that_compares(tmp_path: Path) -> None:
    for half in "ab":
        evaluation(half).write(tmp_path / f"{half}.json")
    out = tmp_path / "pooled.json"
    arguments = [str(tmp_path / "a.json"), str(tmp_path / "b.json"), "--json", str(out), "--slice", "source"]
    result = CliRunner().invoke(pool, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "2 evaluations pooled" in result.output
    assert "source-b-1" in result.output
    pooled = Evaluation.load(out)
    assert compare(pooled, pooled, system_b="tfidf").sentence
