"""The gate's decisions: who is accepted, who is refused, and for which reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stillwatch.data.errors import ConfigError, InputError
from stillwatch.train.intervals import Interval
from stillwatch.train.suites.decision import MAX_TAG_CHARACTERS, Check, Decision, Outcome
from stillwatch.train.suites.evaluation import Evaluation
from stillwatch.train.suites.gate import decide
from stillwatch.train.suites.policy import GateConfig, ProtectionConfig, load_policy
from stillwatch.train.summary import by_slice, summarise

Draw = Callable[..., Evaluation]
POLICY = GateConfig(suites=("small",))


def judge(champion: Evaluation | None, challenger: Evaluation, policy: GateConfig = POLICY) -> Decision:
    return decide(champion, challenger, policy, num_replicates=100)


def by_name(decision: Decision) -> dict[str, Check]:
    return {check.name: check for check in decision.checks}


def gather_false_alarms(evaluation: Evaluation, source: str) -> Evaluation:
    """The same with benign records of all other sources far below: whatever is flagged in error is of this one."""
    rows = [
        replace(row, scores=(row.scores[0] - 9,)) if row.label == "benign" and row.source != source else row
        for row in evaluation.records
    ]
    return replace(evaluation, records=tuple(rows))


def measured(evaluation: Evaluation) -> Evaluation:
    """The same with the figures that belong to its records."""
    rows = [row for row in evaluation.records if row.is_decided]
    labels, scores = [int(row.label == "extraction") for row in rows], [row.scores[0] for row in rows]
    families = [row.family for row in rows]
    metrics = summarise(labels, scores, families, seed=1, num_replicates=100)
    slices = by_slice(
        labels, scores, families, [row.source for row in rows], thresholds=metrics.thresholds, seed=1, num_replicates=50
    )
    system = replace(evaluation.first, metrics=metrics, slices={"source": slices})
    return replace(evaluation, systems=(system,))


@pytest.fixture(scope="module")
def champion(draw_evaluation: Draw) -> Evaluation:
    return measured(draw_evaluation("champion"))


@pytest.fixture(scope="module")
def challenger(draw_evaluation: Draw) -> Evaluation:
    return measured(draw_evaluation("challenger", lead=1.0))


def test_a_challenger_that_beats_the_champion_beyond_the_interval_is_accepted(
    champion: Evaluation, challenger: Evaluation
) -> None:
    decision = judge(champion, challenger)
    assert decision.is_accepted, decision.sentence
    assert decision.sentence.startswith("challenger is accepted: challenger is better than champion on TPR at 1% FPR")
    main = decision.checks[0]
    assert (main.name, main.outcome, main.limit) == ("TPR at 1% FPR", Outcome.HOLDS, "better, beyond the interval")
    assert main.change is not None
    assert main.change.low > 0
    assert {"AUROC", "suite", "extraction families", "benign families", "FPR of source source-1"} < set(
        by_name(decision)
    )
    assert {"TPR of language de", "TPR of language en"} < set(by_name(decision))


def test_the_champion_itself_and_another_draw_of_its_noise_are_refused(
    champion: Evaluation, draw_evaluation: Draw
) -> None:
    for same in (champion, draw_evaluation("again", seed=1)):
        decision = judge(champion, same)
        assert not decision.is_accepted
        assert "TPR at 1% FPR" in {check.name for check in decision.failed}
        assert "the interval does not lie above 0" in decision.sentence


def test_a_worse_one_is_refused_by_both_figures(champion: Evaluation, challenger: Evaluation) -> None:
    decision = judge(challenger, champion)
    assert {"TPR at 1% FPR", "AUROC"} <= {check.name for check in decision.failed}
    assert "the interval lies below 0" in by_name(decision)["AUROC"].reason


def test_a_source_that_gets_worse_blocks_although_the_main_figure_improves(
    champion: Evaluation, draw_evaluation: Draw
) -> None:
    strong = draw_evaluation("strong", lead=4.0)
    policy = POLICY.model_copy(
        update={"protected": (ProtectionConfig(slice="source", rate="fpr", max_worsening=0.01),)}
    )
    assert judge(champion, strong, policy).is_accepted
    decision = judge(champion, gather_false_alarms(strong, "source-3"), policy)
    assert [check.name for check in decision.failed] == ["FPR of source source-3"]
    assert by_name(decision)["TPR at 1% FPR"].outcome is Outcome.HOLDS
    (failed,) = decision.failed
    assert "worse by more than 1 points, and the interval excludes 0" in failed.reason
    assert (failed.champion or 0) + 0.01 < (failed.challenger or 0)
    assert decision.sentence.startswith("challenger is refused against champion: FPR of source source-3: +")


def test_a_source_above_the_bound_blocks_even_where_the_champion_is_no_better(
    champion: Evaluation, draw_evaluation: Draw
) -> None:
    rule = ProtectionConfig(slice="source", rate="fpr", max_worsening=0.5, bound=0.02)
    policy = POLICY.model_copy(update={"protected": (rule,)})
    gathered = [gather_false_alarms(one, "source-3") for one in (champion, draw_evaluation("strong", lead=4.0))]
    decision = judge(gathered[0], gathered[1], policy)
    assert [check.name for check in decision.failed] == ["FPR of source source-3"]
    assert "is above 2.0%" in decision.failed[0].reason


def test_a_language_that_is_caught_less_blocks(champion: Evaluation, draw_evaluation: Draw) -> None:
    strong = draw_evaluation("strong", lead=4.0)
    rows = [
        replace(row, scores=(row.scores[0] - 9,)) if row.language == "de" and row.label == "extraction" else row
        for row in strong.records
    ]
    decision = judge(champion, replace(strong, records=tuple(rows)))
    assert "TPR of language de" in {check.name for check in decision.failed}
    assert by_name(decision)["TPR of language en"].outcome is Outcome.HOLDS


def test_a_group_of_few_records_is_told_and_not_judged(champion: Evaluation, draw_evaluation: Draw) -> None:
    rule = ProtectionConfig(slice="source", rate="fpr", max_worsening=0.0, bound=0.0, min_records=10_000)
    decision = judge(champion, draw_evaluation("strong", lead=4.0), POLICY.model_copy(update={"protected": (rule,)}))
    assert by_name(decision)["FPR of source source-1"].outcome is Outcome.NOT_JUDGED
    assert decision.is_accepted


def test_a_suite_that_is_not_declared_is_refused(champion: Evaluation, challenger: Evaluation) -> None:
    decision = judge(champion, challenger, GateConfig(suites=("other",)))
    assert [check.name for check in decision.failed] == ["suite"]
    assert "evaluated by small, which the policy does not declare" in decision.sentence


def test_few_families_decide_nothing(champion: Evaluation, challenger: Evaluation) -> None:
    decision = judge(champion, challenger, POLICY.model_copy(update={"min_extraction_families": 21}))
    assert [check.name for check in decision.failed] == ["extraction families"]


def test_different_suites_or_rows_are_no_decision_but_an_error(champion: Evaluation, challenger: Evaluation) -> None:
    for other in (replace(challenger, suite_digest="6" * 64), replace(challenger, kind="training")):
        with pytest.raises(InputError, match="different suites; evaluate both"):
            judge(champion, other)
    with pytest.raises(InputError, match="different rows"):
        judge(champion, replace(challenger, data=replace(challenger.data, digest="0" * 64)))


def test_without_a_champion_the_floor_decides(challenger: Evaluation) -> None:
    low = POLICY.model_copy(update={"floor": {"auroc": 0.5}, "protected": ()})
    accepted = judge(None, challenger, low)
    assert accepted.is_accepted
    assert accepted.champion is None
    assert (
        accepted.sentence == "challenger is accepted with nobody before it: it reaches the floor and keeps every bound."
    )
    refused = judge(None, challenger, low.model_copy(update={"floor": {"tpr_at_fpr_0.01": 0.99}}))
    assert [check.name for check in refused.failed] == ["TPR at 1% FPR"]
    assert refused.failed[0].change == challenger.first.metrics.at(0.01).tpr
    assert "below the floor" in refused.sentence


def test_without_a_champion_the_bounds_of_slices_hold(draw_evaluation: Draw) -> None:
    gathered = measured(gather_false_alarms(draw_evaluation("first", lead=4.0), "source-3"))
    rule = ProtectionConfig(slice="source", rate="fpr", max_worsening=0.5, bound=0.02)
    policy = POLICY.model_copy(update={"floor": {}, "protected": (rule,)})
    assert [check.name for check in judge(None, gathered, policy).failed] == ["FPR of source source-3"]


def test_a_decision_survives_json_and_its_tags_tell_it(champion: Evaluation, challenger: Evaluation) -> None:
    decision = judge(champion, challenger)
    read = json.loads(json.dumps(decision.to_json(), allow_nan=False))
    assert (read["accepted"], read["sentence"]) == (True, decision.sentence)
    assert len(read["checks"]) == len(decision.checks)
    tags = decision.to_tags()
    assert (tags["gate.outcome"], tags["gate.against"], tags["gate.suite"]) == ("accepted", "champion", "small")
    assert json.loads(tags["gate.checks"])[0]["name"] == "TPR at 1% FPR"
    assert tags["gate.checks_left_out"] == str(len(decision.checks) - len(json.loads(tags["gate.checks"])))


def test_tags_keep_to_their_length_and_failed_checks_come_first(challenger: Evaluation) -> None:
    holds = Check("x" * 100, "rate", 0.1, 0.2, Interval(0.0, 0.1, 0.2), "y" * 100, Outcome.HOLDS, "z" * 100)
    fails = replace(holds, name="the one that fails", outcome=Outcome.FAILS)
    tags = Decision("a", "b", "small", "0" * 64, (*[holds] * 99, fails), None).to_tags()
    assert max(map(len, tags.values())) <= MAX_TAG_CHARACTERS
    kept = json.loads(tags["gate.checks"])
    assert kept[0]["name"] == "the one that fails"
    assert int(tags["gate.checks_left_out"]) == 100 - len(kept) > 0


def test_the_policy_that_ships_is_the_built_in_one(repository: Path) -> None:
    assert load_policy(repository / "configs" / "gate.yaml") == GateConfig()


def test_a_policy_of_ones_own_is_read_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_policy() == GateConfig()
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "gate.yaml").write_text("must_beat: auroc\n")
    assert load_policy().must_beat == "auroc"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("must_beat: accuracy\n", "must_beat"),
        ("slice_fpr: 0.05\n", r"slice_fpr: must be one of 0\.01, 0\.001"),
        ("protected: [{slice: source, rate: tpr, max_worsening: 0.1}]\n", "a source is judged by its fpr"),
        ("champion: me\n", "champion: unknown key"),
    ],
)
def test_a_wrong_policy_is_refused_with_the_rule(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "gate.yaml").write_text(content)
    with pytest.raises(ConfigError, match=told):
        load_policy(tmp_path / "gate.yaml")
