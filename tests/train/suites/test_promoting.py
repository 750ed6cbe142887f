"""`stillwatch promote` and `stillwatch compare` as commands: a real SQLite store, and bundles that really score."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stillwatch.data.dialects import dump_labelled
from stillwatch.data.errors import InputError, TrackingError
from stillwatch.data.labels import Label, Role, Technique, Visibility
from stillwatch.data.records import LabelledRequest, Message, Request
from stillwatch.model.bundle import MANIFEST, TOKENIZER, Bundle, seal_bundle
from stillwatch.train.commands import compare, promote
from stillwatch.train.ledger import VersionRecord
from stillwatch.train.suites.evaluation import Evaluation
from stillwatch.train.suites.policy import GateConfig, load_policy
from stillwatch.train.tracking import Store, Tracker

Draw = Callable[..., Evaluation]

POLICY = """
suites: [small, rows]
floor: {auroc: 0.6}
min_extraction_families: 3
min_benign_families: 3
protected: []
"""
"""What drawn systems can pass; slices have tests of their own."""

STRICT = POLICY.replace("protected: []", "protected: [{slice: source, rate: fpr, max_worsening: 0.01}]")


@pytest.fixture(autouse=True)
def place(store_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a policy, and the store that commands use."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "gate.yaml").write_text(POLICY)
    return tmp_path


def register(name: str, evaluation: Evaluation | None, bundle: Path | None = None) -> str:
    """A run that keeps an evaluation and a bundle, registered; its id."""
    with Tracker.open("promoting", name) as tracker:
        if evaluation is not None:
            tracker.log_json(evaluation.to_json(), "evaluation.json")
            tracker.log_metrics({"test/auroc": evaluation.first.metrics.auroc.value})
        if bundle is None:
            tracker.log_text("{}\n", "bundle/bundle.json")
        else:
            tracker.log_folder(bundle, "bundle")
        tracker.register(name, "bundle")
    return tracker.run_id


def version_of(name: str, number: int) -> VersionRecord:
    return next(one for one in Store.open().list_versions(name) if one.version == number)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(promote, arguments, catch_exceptions=False)


@pytest.fixture
def pair(request: pytest.FixtureRequest, draw_evaluation: Draw) -> str:
    """A model of two versions: the first is champion, the second is better on every figure."""
    name: str = request.node.name[:60]
    register(name, draw_evaluation("one"))
    register(name, draw_evaluation("two", lead=1.0))
    assert call(name, "1").exit_code == 0
    return name


def test_a_better_version_is_accepted_takes_the_alias_and_carries_the_decision(pair: str) -> None:
    done = call(pair, "2")
    assert done.exit_code == 0, done.output
    assert "version 2 is better than version 1 on TPR at 1% FPR" in " ".join(done.output.split())
    assert f"{pair} version 2 is champion now; before it: version 1" in " ".join(done.output.split())
    new, old = version_of(pair, 2), version_of(pair, 1)
    assert (new.aliases, old.aliases) == (("challenger", "champion"), ())
    assert (new.tags["gate.outcome"], new.tags["gate.against"], new.tags["gate.alias"]) == (
        "accepted",
        "version 1",
        "champion",
    )
    assert GateConfig.model_validate_json(new.tags["gate.policy"]) == load_policy()
    (main, *_) = json.loads(new.tags["gate.checks"])
    assert (main["name"], main["outcome"]) == ("TPR at 1% FPR", "holds")
    assert main["change"]["low"] > 0
    assert new.tags["champion.before"] == "1"
    assert old.tags["champion.until"] == new.tags["champion.since"]


def test_one_that_is_not_better_is_refused_keeps_the_champion_and_says_why(pair: str, draw_evaluation: Draw) -> None:
    register(pair, draw_evaluation("three", seed=1))
    done = call(pair, "3", "--json")
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert (told["outcome"], told["promotion"], told["decision"]["accepted"]) == ("refused", None, False)
    assert told["decision"]["comparison"]["standing"] == "not told apart"
    assert version_of(pair, 1).aliases == ("champion",)
    tags = version_of(pair, 3).tags
    assert tags["gate.outcome"] == "refused"
    assert tags["gate.sentence"] == told["sentence"]
    assert told["sentence"].startswith("version 3 is refused against version 1: TPR at 1% FPR: ")
    assert "champion.since" not in tags


def test_a_protected_slice_blocks_although_the_main_figure_improves(
    pair: str, draw_evaluation: Draw, place: Path
) -> None:
    strong = draw_evaluation("strong", lead=4.0)
    rows = [
        replace(row, scores=(row.scores[0] - 9,)) if row.label == "benign" and row.source != "source-3" else row
        for row in strong.records
    ]
    register(pair, replace(strong, records=tuple(rows)))
    (place / "strict.yaml").write_text(STRICT)
    done = call(pair, "3", "--policy", "strict.yaml")
    assert done.exit_code == 1
    assert "Nothing was moved." in done.output
    failed, *others = json.loads(version_of(pair, 3).tags["gate.checks"])
    assert (failed["name"], failed["outcome"]) == ("FPR of source source-3", "fails")
    assert {check["name"]: check["outcome"] for check in others}["TPR at 1% FPR"] == "holds"
    assert call(pair, "3").exit_code == 0  # without the rule nothing stands in its way


def test_force_overrides_and_is_recorded_with_its_reason(pair: str, draw_evaluation: Draw) -> None:
    register(pair, draw_evaluation("three", seed=1))
    assert call(pair, "3").exit_code == 1
    done = call(pair, "3", "--force", "--reason", "the old one leaks memory")
    assert done.exit_code == 0
    assert "Forced: the old one leaks memory" in done.output
    version = version_of(pair, 3)
    assert "champion" in version.aliases
    assert (version.tags["gate.outcome"], version.tags["gate.forced_because"]) == ("forced", "the old one leaks memory")
    assert json.loads(version.tags["gate.checks"])[0]["outcome"] == "fails"


def test_a_later_decision_leaves_nothing_of_an_earlier_one(pair: str) -> None:
    assert call(pair, "2").exit_code == 0
    assert call(pair, "1", "--force", "--reason", "to try it").exit_code == 0
    assert version_of(pair, 1).tags["gate.forced_because"] == "to try it"
    assert call(pair, "2").exit_code == 0
    assert call(pair, "1").exit_code == 1
    tags = version_of(pair, 1).tags
    assert tags["gate.outcome"] == "refused"
    assert "gate.forced_because" not in tags


def test_the_first_champion_must_reach_the_floor(draw_evaluation: Draw, place: Path) -> None:
    register("first", draw_evaluation("one"))
    (place / "high.yaml").write_text(POLICY.replace("auroc: 0.6", "auroc: 1.0"))
    done = call("first", "1", "--policy", "high.yaml")
    assert done.exit_code == 1
    assert version_of("first", 1).tags["gate.against"] == "nobody"
    assert call("first", "1").exit_code == 0
    assert version_of("first", 1).aliases == ("challenger", "champion")


def test_an_alias_that_is_not_guarded_is_handed_out_freely(draw_evaluation: Draw) -> None:
    register("shadowed", draw_evaluation("one"))
    done = call("shadowed", "1", "--alias", "shadow")
    assert done.exit_code == 0
    assert "shadowed version 1 is shadow now; before it: nobody" in done.output
    assert "gate.outcome" not in version_of("shadowed", 1).tags


def test_without_an_evaluation_nothing_is_decided_and_the_remedy_is_told(pair: str) -> None:
    register(pair, None)
    with pytest.raises(TrackingError, match=r"keeps no evaluation\.json.*--data ROWS"):
        call(pair, "3")
    assert "gate.outcome" not in version_of(pair, 3).tags
    done = call(pair, "3", "--force", "--reason", "measured elsewhere", "--json")
    assert json.loads(done.stdout)["decision"] is None
    assert version_of(pair, 3).tags["gate.sentence"].startswith("version 3 was not judged: run ")


def test_evaluations_of_different_rows_decide_nothing(pair: str, draw_evaluation: Draw) -> None:
    other = draw_evaluation("three", lead=1.0)
    register(pair, replace(other, data=replace(other.data, digest="0" * 64)))
    with pytest.raises(InputError, match=r"different rows.*--data ROWS"):
        call(pair, "3")


def test_an_unknown_version_and_a_force_without_reason_are_refused(pair: str) -> None:
    with pytest.raises(TrackingError, match="no version 9; give one of 2, 1"):
        call(pair, "9")
    for arguments in (["--force"], ["--reason", "x"], ["--force", "--reason", " "]):
        done = call(pair, "2", *arguments)
        assert done.exit_code == 2
        assert "go together" in done.output


def reversed_bundle(tiny_bundle: Bundle, folder: Path) -> Path:
    """The tiny bundle with two words changed over: it takes harvests for honest and the other way round."""
    shutil.copytree(tiny_bundle.folder, folder)
    tokenizer = json.loads((folder / TOKENIZER).read_text("utf-8"))
    words = tokenizer["model"]["vocab"]
    words["hello"], words["reasoning"] = words["reasoning"], words["hello"]
    (folder / TOKENIZER).write_text(json.dumps(tokenizer), "utf-8")
    (folder / MANIFEST).unlink()
    seal_bundle(folder, tiny_bundle.manifest)
    return folder


def write_rows(path: Path) -> None:
    """Sixty rows of twelve families: extraction says `reasoning` more often than not, benign rows less often."""
    lines = []
    for number in range(60):
        is_extraction = number % 2 == 1
        words = ["reasoning" if (place + number // 2) % 4 < 1 + 2 * is_extraction else "hello" for place in range(8)]
        record = LabelledRequest(
            Request((Message(Role.USER, " ".join(words[: 4 + number % 5])),), id=f"row-{number}"),
            Label.EXTRACTION if is_extraction else Label.BENIGN,
            f"family-{number % 12}",
            f"source-{number % 4}",
            Technique.REASONING_ELICITATION if is_extraction else None,
            Visibility.REQUEST if is_extraction else None,
        )
        lines.append(json.dumps(dump_labelled(record)))
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.slow
def test_two_real_bundles_are_run_on_named_rows_and_the_better_one_wins(tiny_bundle: Bundle, place: Path) -> None:
    register("bundles", None, reversed_bundle(tiny_bundle, place / "reversed"))
    register("bundles", None, tiny_bundle.folder)
    write_rows(place / "rows.jsonl")
    refused = call("bundles", "1", "--data", "rows.jsonl")
    assert refused.exit_code == 1  # it does not reach the floor
    call("bundles", "1", "--force", "--reason", "somebody must begin")
    done = call("bundles", "2", "--data", "rows.jsonl", "--json")
    told = json.loads(done.stdout)
    assert (told["outcome"], told["decision"]["suite"]) == ("accepted", "rows"), told["sentence"]
    assert told["decision"]["comparison"]["data"] == "rows.jsonl"
    assert "champion" in version_of("bundles", 2).aliases
    assert call("bundles", "1", "--data", "rows.jsonl").exit_code == 1


def test_compare_takes_files_runs_and_versions(pair: str, draw_evaluation: Draw, place: Path) -> None:
    draw_evaluation("one").write(place / "one.json")
    run = Store.open().list_versions(pair)[0].run_id
    assert run is not None
    for b in (run, run[:12], f"models:/{pair}/2"):
        done = CliRunner().invoke(compare, ["one.json", b, "--json"], catch_exceptions=False)
        told = json.loads(done.stdout)
        assert (told["standing"], told["a"], told["b"]) == ("better", "one", "two")
    with pytest.raises(TrackingError, match="no registered version"):
        CliRunner().invoke(compare, ["one.json", f"models:/{pair}/9"], catch_exceptions=False)
    with pytest.raises(InputError, match="not readable as JSON"):
        CliRunner().invoke(compare, ["one.json", "missing.json"], catch_exceptions=False)


def test_compare_prints_tables_and_ends_with_the_sentence(draw_evaluation: Draw, place: Path) -> None:
    draw_evaluation("same").write(place / "one.json")
    draw_evaluation("same", lead=1.0).write(place / "two.json")
    done = CliRunner().invoke(compare, ["one.json", "two.json"], catch_exceptions=False)
    shown = " ".join(done.output.split())
    assert "By source: falsely flagged (FPR) at 1% FPR" in shown
    assert "By language: caught (TPR) at 1% FPR" in shown
    assert "two.json is better than one.json on TPR at 1% FPR" in shown
    assert shown.endswith(("AUPRC.", "FPR.", "AUROC."))


def test_compare_sets_two_systems_of_one_evaluation_side_by_side(evaluation: Evaluation, place: Path) -> None:
    evaluation.write(place / "both.json")
    done = CliRunner().invoke(compare, ["both.json", "--system-b", "peer"], catch_exceptions=False)
    assert "peer and tiny-1 are not told apart" in " ".join(done.output.split()) or "peer is " in done.output
    assert CliRunner().invoke(compare, ["both.json"]).exit_code == 2
