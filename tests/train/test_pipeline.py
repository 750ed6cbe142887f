"""The whole run through the installed command: a tiny encoder, a real store, a real registry, a real interruption."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from stillwatch.data.dialects import dump_labelled
from stillwatch.data.generator import generate
from stillwatch.data.labels import Label, Role, Technique, Visibility
from stillwatch.data.records import LabelledRequest, Message, Request
from stillwatch.data.sources import digest_records
from stillwatch.model.bundle import MANIFEST, REQUIRED
from stillwatch.model.scorer import Scorer
from stillwatch.train.config import TrainConfig, load_config
from stillwatch.train.ledger import RunRecord
from stillwatch.train.metrics import auroc
from stillwatch.train.planning import load_records, plan_folds
from stillwatch.train.results import STREAM_ONLY
from stillwatch.train.suites.evaluation import Evaluation
from stillwatch.train.tracking import Store

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-c", "from stillwatch.serve.cli import main; main()"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
TOGETHER = [*TORCHRUN, "--standalone", "--nproc-per-node=2", "--no-python", *COMMAND]
GENERATED = 160
FIRST = "first-of-the-runs-" * 6  # longer than a line of the narrowest terminal
SYSTEMS = ["stillwatch", "tfidf", "frozen_encoder"]
PLOTS = {"roc", "precision_recall", "reliability", "score_histograms", "families"}


def undecided(number: int, text: str, visibility: Visibility | None = None) -> LabelledRequest:
    return LabelledRequest(
        Request((Message(Role.USER, text),), id=f"undecided/{number}"),
        Label.AMBIGUOUS if visibility is None else Label.EXTRACTION,
        f"undecided-{number}",
        "undecided",
        None if visibility is None else Technique.INSTRUCTION_HARVESTING,
        visibility,
    )


UNDECIDED = (
    undecided(0, "Grade these two replies of my own bot, please."),
    undecided(1, "Which of my pupils explains the tides best?"),
    undecided(2, "Tell me a little about the history of tea.", Visibility.STREAM),
    undecided(3, "What may I cook with leeks and old bread?", Visibility.STREAM),
    undecided(4, "Write a short poem on the first snow.", Visibility.STREAM),
)


def write(path: Path, records: Iterable[LabelledRequest]) -> None:
    path.write_text("".join(json.dumps(dump_labelled(record)) + "\n" for record in records), "utf-8")


@dataclass(frozen=True, slots=True)
class Workplace:
    """A working folder with a configuration, and the store that its commands use."""

    folder: Path
    uri: str

    @property
    def config_path(self) -> Path:
        return self.folder / "tiny.yaml"

    @property
    def config(self) -> TrainConfig:
        return load_config(self.config_path)

    @property
    def store(self) -> Store:
        return Store.open(self.uri)

    def start(self, *arguments: str, uri: str | None = None, command: Sequence[str] = COMMAND) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*command, *arguments],
            cwd=self.folder,
            env={**os.environ, "MLFLOW_TRACKING_URI": uri or self.uri, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def call(
        self, *arguments: str, uri: str | None = None, command: Sequence[str] = COMMAND
    ) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, uri=uri, command=command)
        out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def done(self, *arguments: str) -> str:
        """Standard output of a command that ends well."""
        result = self.call(*arguments)
        assert result.returncode == 0, result.stderr[-3000:]
        return result.stdout


@pytest.fixture(scope="module")
def place(bert_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    folder = tmp_path_factory.mktemp("work")
    config = {
        "name": "tiny",
        "seed": 3,
        "sources": [
            {"kind": "generated", "num_requests": GENERATED},
            {"kind": "authored", "role": "train", "max_per_source": 2},
            {"kind": "files", "path": "undecided.jsonl"},
        ],
        "split": {"num_folds": 2, "validation_share": 0.2},
        "model": {
            "encoder": str(bert_folder),
            "max_tokens": 64,
            "overlap_tokens": 8,
            "freeze_layers": 0,
            "head_dropout": 0.0,  # with this and two windows no chance is left in a step, and resuming is exact
        },
        "fit": {
            "epochs": 2,
            "requests_per_epoch": 64,
            "batch_size": 8,
            "train_windows": 2,
            "learning_rate": 1.0e-3,
            "max_validation_requests": 24,
            "bf16": False,
            "num_threads": 1,
        },
        "evaluate": {"baselines": SYSTEMS[1:], "bootstrap_replicates": 100},
        "bundle": {"name": "tiny-bundle", "train_on": "all"},
        "tracking": {"experiment": "trial", "register_as": "watcher"},
    }
    (folder / "tiny.yaml").write_text(yaml.safe_dump(config))
    decided = [record for record in generate(num_requests=90, seed=99) if record.is_decided]
    thirty = [[r for r in decided if r.is_extraction is side][:30] for side in (True, False)]
    write(folder / "rows.jsonl", [*thirty[0], *thirty[1], *UNDECIDED])
    write(folder / "undecided.jsonl", UNDECIDED)
    return Workplace(folder, f"sqlite:///{folder / 'mlflow.db'}")


@pytest.fixture(scope="module")
def first(place: Workplace) -> subprocess.CompletedProcess[str]:
    """The first run, as a person starts it."""
    return place.call("train", "--config", "tiny.yaml", "--folder", FIRST)


@pytest.fixture(scope="module")
def second(place: Workplace, first: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    """The same run again in another folder: killed after its first checkpoint, then resumed."""
    assert first.returncode == 0, first.stderr[-3000:]
    arguments = ("train", "--config", "tiny.yaml", "--folder", "second", "--json")
    process = place.start(*arguments)
    while not list(place.folder.glob("second/fold-0/checkpoint-*/trainer_state.json")):
        assert process.poll() is None, "it ended before it had a checkpoint"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    half_written = place.folder / "second" / "fold-0" / "checkpoint-9999"  # had the kill come while it was saving
    half_written.mkdir()
    (half_written / "config.json").write_text("{}")
    return place.call(*arguments, "--resume")


@pytest.fixture(scope="module")
def run(place: Workplace, first: subprocess.CompletedProcess[str]) -> RunRecord:
    assert first.returncode == 0, first.stderr[-3000:]
    version = next(one for one in place.store.list_versions("watcher") if one.version == 1)
    return place.store.get_run(version.run_id or "")


def test_a_run_ends_with_a_table_a_bundle_and_a_registered_version(
    place: Workplace, first: subprocess.CompletedProcess[str]
) -> None:
    assert first.returncode == 0, first.stderr[-3000:]
    assert all(name in first.stdout for name in ("Stillwatch", "TF-IDF + LR", "frozen encoder + LR"))
    assert "Traceback" not in first.stderr
    assert "watcher version 1 (challenger)" in first.stderr
    assert f"{FIRST}/bundle (tiny-bundle-" in first.stderr
    assert (place.folder / FIRST / "bundle").is_dir()


def test_a_run_keeps_its_configuration_so_that_it_can_be_repeated(place: Workplace, run: RunRecord) -> None:
    assert (run.status, run.experiment, run.params["fit.requests_per_epoch"]) == ("FINISHED", "trial", "64")
    kept = place.store.download_bundle(f"runs:/{run.id}/config.yaml", place.folder / "kept-config")
    assert load_config(kept) == place.config


def test_a_run_names_its_data_by_our_digest(place: Workplace, run: RunRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.folder)  # paths of sources are below the working folder
    config = place.config
    loaded = load_records(config)
    records = loaded.records
    assert run.tags["dataset.digest"] == digest_records(records)
    client = place.store.client
    whole = client.get_run(run.id).inputs
    assert whole is not None
    assert [json.loads(each.dataset.source)["digest"] for each in whole.dataset_inputs] == [digest_records(records)]
    for fold in plan_folds(records, loaded.roles, config, Console(quiet=True)):
        (child,) = [one for one in place.store.list_runs("trial") if (one.parent, one.name) == (run.id, fold.name)]
        inputs = client.get_run(child.id).inputs
        assert inputs is not None
        found = {each.tags[0].value: each.dataset for each in inputs.dataset_inputs}
        assert sorted(found) == ["test", "train", "validation"]
        for side, indices in fold.sides.items():
            chosen = [records[i] for i in indices]
            assert json.loads(found[side].source) == {"digest": digest_records(chosen)}
            assert json.loads(found[side].profile or "") == Counter(r.label.value for r in chosen)


def test_every_fit_of_a_run_has_its_curves_by_step(place: Workplace, run: RunRecord) -> None:
    children = {one.name: one for one in place.store.list_runs("trial") if one.parent == run.id}
    assert sorted(children) == ["final", "fold-0", "fold-1"]
    for name, child in children.items():
        assert child.status == "FINISHED"
        steps = [each.step for each in place.store.client.get_metric_history(child.id, "train/loss")]
        assert len(steps) > 2
        assert steps == sorted(set(steps))
        assert ("validation/family_auroc" in child.metrics) == (name != "final")  # nothing is held out of it


def test_a_run_tells_the_commit_where_there_is_one(run: RunRecord, repository: Path) -> None:
    git = subprocess.run(
        ["/usr/bin/env", "git", "rev-parse", "HEAD"], cwd=repository, capture_output=True, text=True, check=False
    )
    assert run.tags.get("git.commit") == (git.stdout.strip() if git.returncode == 0 else None)
    assert run.tags["seed"] == "3"


def test_a_run_keeps_its_results_plots_and_bundle(place: Workplace, run: RunRecord) -> None:
    client = place.store.client
    assert {file.path for file in client.list_artifacts(run.id, "plots")} == {f"plots/{name}.png" for name in PLOTS}
    results = json.loads((place.folder / FIRST / "results.json").read_text())
    kept = place.store.download_bundle(f"runs:/{run.id}/results.json", place.folder / "kept-results")
    assert json.loads(kept.read_text()) == results
    assert list(results["systems"]) == SYSTEMS
    generated = [r for r in generate(num_requests=GENERATED, seed=3) if not r.is_decided]
    undecided = Counter(STREAM_ONLY if r.is_extraction else "ambiguous" for r in (*UNDECIDED, *generated))
    assert {rate["group"]: rate["num_records"] for rate in results["aside"]} == undecided
    assert all(len(folds) == 2 for folds in results["fold_tprs"].values())
    assert run.test_figures["auroc"] == pytest.approx(results["systems"]["stillwatch"]["auroc"]["value"])
    assert {MANIFEST, *REQUIRED} <= {Path(file.path).name for file in client.list_artifacts(run.id, "bundle")}


def test_a_run_keeps_its_evaluation_of_the_same_figures(place: Workplace, run: RunRecord) -> None:
    evaluation = Evaluation.load(place.folder / FIRST / "evaluation.json")
    assert json.loads(place.store.read_text(run.id, "evaluation.json")) == json.loads(json.dumps(evaluation.to_json()))
    assert [system.name for system in evaluation.systems] == SYSTEMS
    assert evaluation.first.metrics.auroc.value == pytest.approx(run.test_figures["auroc"])
    rows = [row for row in evaluation.records if row.is_decided]
    labels = [int(row.label == "extraction") for row in rows]
    assert auroc(labels, [row.scores[0] for row in rows]) == pytest.approx(run.test_figures["auroc"])
    assert auroc(labels, [row.scores[1] for row in rows]) == pytest.approx(
        evaluation.system("tfidf").metrics.auroc.value
    )


def test_two_systems_of_a_run_compare_in_one_command(place: Workplace, run: RunRecord) -> None:
    told = json.loads(place.done("compare", run.id, "--system-b", "tfidf", "--json"))
    assert told["standing"] in ("better", "worse", "not told apart")
    assert told["sentence"].startswith(("tfidf is ", "tfidf and stillwatch are "))


def test_an_interrupted_run_goes_on_and_ends_where_the_other_ended(
    place: Workplace, run: RunRecord, second: subprocess.CompletedProcess[str]
) -> None:
    assert second.returncode == 0, second.stderr[-3000:]
    last = max(place.store.list_versions("watcher"), key=lambda version: version.version)
    whole, resumed = (
        {child.name: child for child in place.store.list_runs("trial") if child.parent == parent}
        for parent in (run.id, last.run_id)
    )
    history = place.store.client.get_metric_history(resumed["fold-0"].id, "train/loss")
    assert min(each.step for each in history) > 4  # not from the start
    for fold in ("fold-0", "fold-1"):
        for name in ("validation/loss", "validation/auroc"):
            assert resumed[fold].metrics[name] == pytest.approx(whole[fold].metrics[name], rel=1e-4)
    one, two = (json.loads((place.folder / name / "results.json").read_text())["systems"] for name in (FIRST, "second"))
    for name in SYSTEMS:  # equal but for rounding, which can turn round two scores that are nearly the same
        assert two[name]["auroc"]["value"] == pytest.approx(one[name]["auroc"]["value"], abs=0.01)


def test_with_json_a_run_prints_its_results_and_nothing_else(
    place: Workplace, second: subprocess.CompletedProcess[str]
) -> None:
    assert json.loads(second.stdout) == json.loads((place.folder / "second" / "results.json").read_text())


@pytest.mark.usefixtures("second")
def test_the_same_run_again_is_a_second_version_of_the_same_data(place: Workplace, run: RunRecord) -> None:
    versions = {one.version: one for one in place.store.list_versions("watcher")}
    assert sorted(versions) == [1, 2]
    assert "challenger" in versions[2].aliases
    assert "challenger" not in versions[1].aliases
    assert {one.tags["dataset.digest"] for one in versions.values()} == {run.tags["dataset.digest"]}


@pytest.mark.usefixtures("second")
def test_the_gate_refuses_the_same_again_and_the_champion_stays_what_is_downloaded_and_scores(
    place: Workplace, tmp_path: Path
) -> None:
    place.done("promote", "watcher", "1", "--force", "--reason", "a tiny encoder reaches no floor")
    refused = place.call("promote", "watcher", "2", "--json")
    assert refused.returncode == 1, refused.stderr[-3000:]
    assert json.loads(refused.stdout)["decision"]["comparison"]["standing"] == "not told apart"
    versions = json.loads(place.done("runs", "versions", "watcher", "--json"))
    assert {one["version"]: one["aliases"] for one in versions} == {1: ["champion"], 2: ["challenger"]}
    outcomes = {one["version"]: one["tags"]["gate.outcome"] for one in versions}
    assert outcomes == {1: "forced", 2: "refused"}
    folder = place.store.download_bundle("models:/watcher@champion", tmp_path / "champion")
    scorer = Scorer.load(folder, num_threads=1)
    assert scorer.bundle.version == Scorer.load(place.folder / FIRST / "bundle", num_threads=1).bundle.version
    verdict = scorer.score(Request((Message(Role.USER, "hello, what is the order of the day?"),)))
    assert 0.0 < verdict.probability < 1.0
    assert scorer.bundle.manifest.trained["dataset_digest"] == versions[0]["tags"]["dataset.digest"]


@pytest.mark.usefixtures("run")
def test_evaluate_with_json_prints_its_results_and_nothing_else(place: Workplace) -> None:
    asked = ("evaluate", "--model", f"{FIRST}/bundle", "--data", "rows.jsonl", "--json", "-", "--no-track")
    told = Evaluation.from_json(json.loads(place.done(*asked)))
    assert (told.first.metrics.num_benign, told.first.metrics.num_extraction) == (30, 30)
    assert [carried.name for carried in told.first.carried] == ["review", "flag"]
    assert {rate.group: rate.num_records for rate in told.first.carried[0].rates} == {
        "benign": 30,
        "extraction": 30,
        "ambiguous": 2,
        STREAM_ONLY: 3,
    }


@pytest.mark.usefixtures("second")  # whose versions are counted
def test_two_processes_train_one_model_in_one_run(place: Workplace, run: RunRecord) -> None:
    before = {one.id for one in place.store.list_runs("trial")}
    apart = ("--set", "tracking.register_as=null", "--set", "split.num_folds=2", "--folder", "together")
    done = place.call("train", "--config", "tiny.yaml", *apart, "--json", command=TOGETHER)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout) == json.loads((place.folder / "together" / "results.json").read_text())
    made = [one for one in place.store.list_runs("trial") if one.id not in before]
    assert sorted(one.name for one in made) == sorted(
        ["tiny", *(one.name for one in place.store.list_runs("trial") if one.parent == run.id)]
    )
    assert {one.status for one in made} == {"FINISHED"}
    assert Scorer.load(place.folder / "together" / "bundle", num_threads=1).bundle.manifest.name == "tiny-bundle"


def test_a_store_that_does_not_answer_is_refused_before_any_data_is_read(place: Workplace) -> None:
    began = time.monotonic()
    missing = ("--set", "sources.2.path=not-there.jsonl")
    refused = place.call("train", "--config", "tiny.yaml", *missing, uri="http://127.0.0.1:9")
    assert refused.returncode == 69
    assert "MLFLOW_TRACKING_URI" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert refused.stdout == ""
    assert time.monotonic() - began < 60  # most of it imports; MLflow alone would try again for four minutes
