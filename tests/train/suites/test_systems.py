"""Every kind of system passes the same contract, and what cannot be trusted is not opened."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast, set_seed

from stillwatch.data.errors import BundleError, InputError, SourceError, TrackingError
from stillwatch.data.labels import Role
from stillwatch.data.records import Message, Request
from stillwatch.model.bundle import Bundle
from stillwatch.model.render import render_text
from stillwatch.model.scorer import Scorer
from stillwatch.train.suites.classifiers import find_label
from stillwatch.train.suites.systems import System, open_system, open_systems
from stillwatch.train.tracking import Tracker

KINDS = ("bundle", "registry", "sklearn", "decision", "transformers", "scores")
WORDS = ("hello hello", "reasoning reasoning hello", "order of a tool", "trace the reasoning " * 30)
REQUESTS = tuple(Request((Message(Role.USER, text),), id=f"row-{number}") for number, text in enumerate(WORDS))


def pipeline(*steps: Any) -> Any:
    fitted = make_pipeline(TfidfVectorizer(), *steps)
    texts = [f"user: {'trace' if number % 2 else 'order'} number {number}" for number in range(12)]
    return fitted.fit(texts, [number % 2 for number in range(12)])


@pytest.fixture(scope="module")
def classifier_folder(bert_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT with three labels, 24 tokens long."""
    folder = tmp_path_factory.mktemp("classifier") / "tiny-classifier"
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    file = str(bert_folder / "tokenizer.json")
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=file, model_max_length=24, **special)
    tokenizer.save_pretrained(folder)
    set_seed(5)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        initializer_range=0.5,
        id2label={0: "BENIGN", 1: "INJECTION", 2: "OTHER"},
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def addresses(
    tmp_path_factory: pytest.TempPathFactory, classifier_folder: Path, tiny_bundle: Bundle, store_uri: str
) -> dict[str, str]:
    """One address of each kind, each leading to something real."""
    folder = tmp_path_factory.mktemp("systems")
    skops.io.dump(pipeline(LogisticRegression()), folder / "words.skops")
    skops.io.dump(pipeline(LinearSVC()), folder / "margin.skops")
    rows = "".join(f"{request.id},{number / 3}\n" for number, request in enumerate(REQUESTS))
    (folder / "peer.csv").write_text(f"id,score\n{rows}", "utf-8")
    with Tracker.open("systems", "one", tracking_uri=store_uri) as tracker:
        tracker.log_folder(tiny_bundle.folder, "bundle")
        tracker.register("systems-tiny", "bundle", aliases=["champion"])
    return {
        "bundle": str(tiny_bundle.folder),
        "registry": "models:/systems-tiny@champion",
        "sklearn": str(folder / "words.skops"),
        "decision": str(folder / "margin.skops"),
        "transformers": str(classifier_folder),
        "scores": str(folder / "peer.csv"),
    }


@pytest.fixture(autouse=True)
def _store(store_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri)


def scores_each_request_with_a_finite_number(system: System) -> None:
    scores = system.score(REQUESTS).scores
    assert scores.shape == (len(REQUESTS),)
    assert np.isfinite(scores).all()


def scores_a_request_alone_as_among_others(system: System) -> None:
    together = system.score(REQUESTS).scores
    alone = [float(system.score([request]).scores[0]) for request in REQUESTS]
    assert alone == pytest.approx(together.tolist(), abs=1e-6)


def tells_requests_apart(system: System) -> None:
    assert len(set(system.score(REQUESTS).scores.tolist())) > 1


def keeps_probabilities_within_their_range(system: System) -> None:
    scores = system.score(REQUESTS).scores
    assert not system.has_probabilities or (scores.min() >= 0 and scores.max() <= 1)


def says_who_it_is(system: System) -> None:
    assert system.name
    assert system.version
    assert os.sep not in system.version


def counts_every_request_as_progress(system: System) -> None:
    done: list[int] = []
    system.score(REQUESTS, done.append)
    assert sum(done) == len(REQUESTS)


def names_a_technique_for_all_or_for_none(system: System) -> None:
    techniques = system.score(REQUESTS).techniques
    assert techniques is None or len(techniques) == len(REQUESTS)


def scores_what_it_has_not_seen_or_says_that_it_cannot(system: System) -> None:
    new = Request((Message(Role.USER, "something else"),), id="new")
    if system.reads_text:
        assert math.isfinite(system.score([new]).scores[0])
    else:
        with pytest.raises(InputError, match="no score for 1 of 1 records, such as new; score every record"):
            system.score([new])


CONTRACT = (
    scores_each_request_with_a_finite_number,
    scores_a_request_alone_as_among_others,
    tells_requests_apart,
    keeps_probabilities_within_their_range,
    says_who_it_is,
    counts_every_request_as_progress,
    names_a_technique_for_all_or_for_none,
    scores_what_it_has_not_seen_or_says_that_it_cannot,
)


@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_system_passes_the_contract(
    kind: str, check: Callable[[System], None], addresses: dict[str, str]
) -> None:
    check(open_system(addresses[kind]))


def test_a_bundle_scores_as_the_gateway_does_and_brings_its_thresholds(tiny_bundle: Bundle) -> None:
    system = open_system(str(tiny_bundle.folder))
    verdicts = Scorer.load(tiny_bundle.folder).score_many(REQUESTS)
    assert system.score(REQUESTS).scores.tolist() == [verdict.probability for verdict in verdicts]
    assert [carried.name for carried in system.carried] == ["review", "flag"]
    flagged = [verdict.probability >= system.carried[1].threshold for verdict in verdicts]
    assert flagged == [verdict.action.value == "flag" for verdict in verdicts]


def test_a_registered_version_is_named_by_its_address_and_tells_the_bundle(
    addresses: dict[str, str], tiny_bundle: Bundle
) -> None:
    system = open_system(addresses["registry"])
    assert (system.name, system.kind, system.version) == ("systems-tiny@champion", "registry", tiny_bundle.version)
    with pytest.raises(TrackingError):
        open_system("models:/systems-tiny@nobody")


def test_a_pipeline_reads_the_rendered_request(addresses: dict[str, str]) -> None:
    fitted = pipeline(LogisticRegression())
    texts = [render_text(request) for request in REQUESTS]
    assert open_system(addresses["sklearn"]).score(REQUESTS).scores == pytest.approx(fitted.predict_proba(texts)[:, 1])


def test_a_pipeline_whose_first_class_is_extraction_is_turned_round(tmp_path: Path) -> None:
    fitted = make_pipeline(TfidfVectorizer(), LinearSVC()).fit(["aa bb", "cc dd"] * 4, ["extraction", "harmless"] * 4)
    skops.io.dump(fitted, tmp_path / "turned.skops")
    system = open_system(str(tmp_path / "turned.skops"))
    first, second = system.score([Request((Message(Role.USER, text),)) for text in ("aa bb", "cc dd")]).scores
    assert first > second


def test_a_calibrated_pipeline_is_read_for_its_types_are_allowed_by_name(tmp_path: Path) -> None:
    skops.io.dump(pipeline(CalibratedClassifierCV(LinearSVC(), cv=2)), tmp_path / "calibrated.skops")
    assert open_system(str(tmp_path / "calibrated.skops")).has_probabilities


def own_function(texts: Any) -> Any:
    return texts


@pytest.mark.parametrize(
    "steps", [(FunctionTransformer(own_function), LogisticRegression()), (RandomForestClassifier(2),)]
)
def test_a_pipeline_with_a_type_that_was_not_looked_at_is_not_opened(tmp_path: Path, steps: tuple[Any, ...]) -> None:
    skops.io.dump(pipeline(*steps), tmp_path / "odd.skops")
    with pytest.raises(SourceError, match=r"odd\.skops: holds 1 types that are not read here"):
        open_system(str(tmp_path / "odd.skops"))


@pytest.mark.parametrize("name", ["model.pkl", "model.joblib", "model.pt"])
def test_pickles_are_refused_by_name_before_they_are_opened(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match="pickled models are not read"):
        open_system(str(tmp_path / name))


def test_a_classifier_with_pickled_weights_alone_is_refused(classifier_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((classifier_folder / "config.json").read_text("utf-8"), "utf-8")
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(SourceError, match=r"no \.safetensors; pickled weights are not read"):
        open_system(str(tmp_path))


def test_a_long_text_is_read_whole_and_its_highest_window_counts(classifier_folder: Path) -> None:
    """Worked out by hand: 22 tokens a window between [CLS] and [SEP], 6 of them shared with the window before."""
    system = open_system(str(classifier_folder))
    request = Request((Message(Role.USER, "hello " * 50 + "trace reasoning" + " order" * 50),))
    tokenizer = PreTrainedTokenizerFast.from_pretrained(classifier_folder)
    model = BertForSequenceClassification.from_pretrained(classifier_folder).eval()
    ids = tokenizer(render_text(request), add_special_tokens=False)["input_ids"]
    windows = [[2, *ids[start : start + 22], 3] for start in range(0, len(ids) - 6, 16)]
    with torch.inference_mode():
        values = [float(model(torch.tensor([window])).logits.softmax(1)[0, 1]) for window in windows]
    assert system.score([request]).scores[0] == pytest.approx(max(values), abs=1e-6)
    assert max(values) > values[0]
    assert system.notes == (
        "label INJECTION is taken for extraction",
        "texts longer than 24 tokens are read in windows, and the highest score counts",
    )


@pytest.mark.parametrize(
    ("names", "wanted", "number"),
    [
        ({0: "SAFE", 1: "JAILBREAK"}, None, 1),
        ({0: "LABEL_0", 1: "LABEL_1"}, "label_1", 1),
        ({0: "score"}, None, 0),
    ],
)
def test_the_label_of_extraction_is_known_by_name_or_named(
    names: dict[int, str], wanted: str | None, number: int
) -> None:
    assert find_label(names, wanted) == number


@pytest.mark.parametrize("names", [{0: "LABEL_0", 1: "LABEL_1"}, {0: "attack", 1: "jailbreak", 2: "safe"}])
def test_labels_that_do_not_say_which_is_extraction_are_refused(names: dict[int, str]) -> None:
    with pytest.raises(InputError, match="--positive-label"):
        find_label(names)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("id,value\na,1\n", "header: no columns id and score"),
        ("id,score\na,1\na,2\n", r"peer\.csv:3: id: an id once more"),
        ("id,score\na,high\n", r"peer\.csv:2: score: no finite number"),
        ("id,score\na,nan\n", "no finite number"),
        ("id,probability\na,1.5\n", "a number outside 0 to 1"),
        ("id,score\na\n", "a line that is too short"),
        ("id,score\n", "rows: none"),
    ],
)
def test_a_bad_file_of_scores_is_refused_with_its_place(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "peer.csv").write_text(content, "utf-8")
    with pytest.raises(InputError, match=told):
        open_system(str(tmp_path / "peer.csv"))


def test_a_column_named_probability_says_that_the_scores_are_some(tmp_path: Path) -> None:
    (tmp_path / "peer.csv").write_text("probability,id\n0.25,row-0\n", "utf-8")
    system = open_system(str(tmp_path / "peer.csv"))
    assert system.has_probabilities
    assert system.score(REQUESTS[:1]).scores.tolist() == [0.25]


def test_an_address_that_leads_nowhere_is_told_with_what_could_stand_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "empty").mkdir()
    for address in (str(tmp_path / "empty"), str(tmp_path / "absent"), str(tmp_path / "absent.csv")):
        with pytest.raises(SourceError, match="name "):
            open_system(address)


def test_a_broken_bundle_is_not_taken_for_something_else(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}", "utf-8")
    with pytest.raises(BundleError):
        open_system(str(tmp_path))


def test_one_name_twice_is_refused(addresses: dict[str, str]) -> None:
    with pytest.raises(InputError, match="peer named 2 times"):
        open_systems([addresses["scores"], addresses["scores"]])
