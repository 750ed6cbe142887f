from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from torch.utils.data import SequentialSampler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from stillwatch.data.errors import ConfigError, EncoderError
from stillwatch.data.labels import TECHNIQUES, Label, Role, Visibility
from stillwatch.data.records import LabelledRequest, Message, Request
from stillwatch.model.logits import compute_logits
from stillwatch.model.network import RequestClassifier
from stillwatch.model.torch_runtime import TorchRuntime
from stillwatch.train.averaging import RAW_WEIGHTS
from stillwatch.train.classifier import check_window
from stillwatch.train.config import FitConfig, ModelConfig
from stillwatch.train.fit import Fitted, find_checkpoint, fit
from stillwatch.train.metrics import auroc
from stillwatch.train.sampling import SourceShare
from stillwatch.train.trainer import RequestTrainer
from stillwatch.train.validation import draw_evenly

slow = pytest.mark.slow


def make_records(families: range, per_family: int = 12, words: int = 12) -> list[LabelledRequest]:
    """Families with words of their own; what makes extraction is `trace`, what makes benign is `order`."""
    records = []
    for family in families:
        rng = Random(family)
        for label, key in ((Label.EXTRACTION, "trace"), (Label.BENIGN, "order")):
            for number in range(per_family):
                text = " ".join(rng.choice([key, key, "hello", str(family)]) for _ in range(words))
                extraction = label is Label.EXTRACTION
                records.append(
                    LabelledRequest(
                        Request((Message(Role.USER, text),), id=f"{label}-{family}-{number}"),
                        label,
                        f"{label}-{family}",
                        "test",
                        TECHNIQUES[family % len(TECHNIQUES)] if extraction else None,
                        Visibility.REQUEST if extraction else None,
                    )
                )
    return records


TRAIN, VALIDATION, TEST = make_records(range(4)), make_records(range(4, 6)), make_records(range(6, 8))


@pytest.fixture
def model(bert_folder: Path) -> ModelConfig:
    return ModelConfig(encoder=str(bert_folder), max_tokens=64, overlap_tokens=8, freeze_layers=0)


def config(**fields: Any) -> FitConfig:
    settings: dict[str, Any] = {
        "epochs": 4,
        "batch_size": 8,
        "learning_rate": 3e-3,
        "head_learning_rate": 1e-2,
        "bf16": False,
        "num_threads": 1,
    }
    return FitConfig(**(settings | fields))


class Watcher(TrainerCallback):
    """Counts steps and evaluations, and may pull the plug after a step."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.steps = 0
        self.evaluated: list[float] = []
        self._stop_after = stop_after

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.global_step == self._stop_after:
            raise KeyboardInterrupt

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.steps += 1

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.evaluated.append(kwargs["metrics"]["eval_family_auroc"])


def scores(fitted: Fitted, records: list[LabelledRequest]) -> list[float]:
    windows = [fitted.windower.cut(record.request) for record in records]
    return [each.extraction for each in compute_logits(TorchRuntime(fitted.model), windows, pad_id=fitted.pad_id)]


def same_weights(one: Fitted, other: Fitted) -> bool:
    state = other.model.state_dict()
    return all(torch.equal(tensor, state[name]) for name, tensor in one.model.state_dict().items())


@slow
def test_a_fit_learns_what_families_share_and_not_their_own_words(model: ModelConfig, tmp_path: Path) -> None:
    fitted = fit(TRAIN, VALIDATION, model=model, config=config(), seed=1, folder=tmp_path)
    assert fitted.family_auroc is not None
    assert fitted.family_auroc > 0.95
    assert auroc([int(record.is_extraction) for record in TEST], scores(fitted, TEST)) > 0.95


@slow
def test_a_fit_stops_early_and_gives_back_its_best_evaluation(model: ModelConfig, tmp_path: Path) -> None:
    watcher = Watcher()
    fitted = fit(
        TRAIN,
        VALIDATION,
        model=model,
        config=config(epochs=40, patience=2),
        seed=1,
        folder=tmp_path,
        callbacks=[watcher],
    )
    best = watcher.evaluated.index(max(watcher.evaluated))
    assert len(watcher.evaluated) == best + 1 + 2
    assert watcher.steps < 40 * 12
    assert fitted.family_auroc == max(watcher.evaluated)
    assert fitted.best_epoch == pytest.approx((best + 1) * 0.5)
    labels = np.array([int(record.is_extraction) for record in VALIDATION])
    found = np.array(scores(fitted, VALIDATION))
    families = np.array([record.family for record in VALIDATION])
    per_family = [
        auroc(labels[chosen], found[chosen])
        for chosen in ((labels == 0) | (families == f) for f in sorted(set(families[labels == 1])))
    ]
    assert np.mean(per_family) == pytest.approx(fitted.family_auroc)


@slow
def test_without_validation_a_fit_runs_for_as_long_as_it_is_told(model: ModelConfig, tmp_path: Path) -> None:
    watcher = Watcher()
    fitted = fit(TRAIN, (), model=model, config=config(), seed=1, folder=tmp_path, epochs=1.5, callbacks=[watcher])
    assert watcher.steps == 18
    assert watcher.evaluated == []
    assert fitted.best_epoch == pytest.approx(1.5)
    assert fitted.family_auroc is None


@slow
def test_the_same_seed_gives_the_same_weights(model: ModelConfig, tmp_path: Path) -> None:
    runs = [
        fit(TRAIN, VALIDATION, model=model, config=config(epochs=1), seed=seed, folder=tmp_path / str(i))
        for i, seed in enumerate((1, 1, 2))
    ]
    assert same_weights(runs[0], runs[1])
    assert not same_weights(runs[0], runs[2])


@slow
def test_frozen_layers_come_out_as_they_went_in(model: ModelConfig, bert_folder: Path, tmp_path: Path) -> None:
    frozen = model.model_copy(update={"freeze_layers": 1})
    fitted = fit(TRAIN, (), model=frozen, config=config(), seed=1, folder=tmp_path, epochs=1)
    before = RequestClassifier.from_encoder(bert_folder).encoder.state_dict()
    after = fitted.model.encoder.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(".layer.1." in name for name in changed)


@slow
@pytest.mark.parametrize("stop_after", [14, 20])
def test_an_interrupted_fit_goes_on_to_the_same_weights(model: ModelConfig, tmp_path: Path, stop_after: int) -> None:
    settings = config(epochs=3, patience=9)
    whole = fit(TRAIN, VALIDATION, model=model, config=settings, seed=1, folder=tmp_path / "whole")
    broken = tmp_path / "broken"
    with pytest.raises(KeyboardInterrupt):
        fit(TRAIN, VALIDATION, model=model, config=settings, seed=1, folder=broken, callbacks=[Watcher(stop_after)])
    watcher = Watcher()
    resumed = fit(
        TRAIN, VALIDATION, model=model, config=settings, seed=1, folder=broken, callbacks=[watcher], resume=True
    )
    assert watcher.steps == 36 - stop_after // 6 * 6
    assert same_weights(resumed, whole)
    assert resumed.best_epoch == whole.best_epoch


@slow
def test_resuming_a_fit_that_had_stopped_early_changes_nothing(model: ModelConfig, tmp_path: Path) -> None:
    settings = config(epochs=40, patience=2)
    first = fit(TRAIN, VALIDATION, model=model, config=settings, seed=1, folder=tmp_path)
    again = fit(TRAIN, VALIDATION, model=model, config=settings, seed=1, folder=tmp_path, resume=True)
    assert same_weights(again, first)
    assert (again.family_auroc, again.best_epoch) == (first.family_auroc, first.best_epoch)


@slow
def test_an_interruption_wins_a_fit_no_patience(model: ModelConfig, tmp_path: Path) -> None:
    settings, whole, before, after = config(epochs=40, patience=2), Watcher(), Watcher(stop_after=14), Watcher()
    fit(TRAIN, VALIDATION, model=model, config=settings, seed=1, folder=tmp_path / "a", callbacks=[whole])
    assert len(whole.evaluated) == 3  # the first is perfect, so that two more end it
    with pytest.raises(KeyboardInterrupt):
        fit(TRAIN, VALIDATION, model=model, config=settings, seed=1, folder=tmp_path / "b", callbacks=[before])
    fit(TRAIN, VALIDATION, model=model, config=settings, seed=1, folder=tmp_path / "b", callbacks=[after], resume=True)
    assert before.evaluated + after.evaluated == whole.evaluated


@slow
def test_a_fresh_fit_leaves_no_checkpoint_of_an_earlier_one(model: ModelConfig, tmp_path: Path) -> None:
    fit(TRAIN, (), model=model, config=config(), seed=1, folder=tmp_path, epochs=3)
    assert get_last_checkpoint(str(tmp_path)) == str(tmp_path / "checkpoint-36")
    fit(TRAIN, (), model=model, config=config(), seed=1, folder=tmp_path, epochs=1)
    assert get_last_checkpoint(str(tmp_path)) == str(tmp_path / "checkpoint-12")


@slow
def test_two_processes_fit_together(bert_folder: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        f"""
import importlib.util, os
from pathlib import Path
spec = importlib.util.spec_from_file_location("test_fit", {__file__!r})
toy = importlib.util.module_from_spec(spec)
spec.loader.exec_module(toy)
from stillwatch.train.processes import leave_group
model = toy.ModelConfig(encoder={str(bert_folder)!r}, max_tokens=64, overlap_tokens=8, freeze_layers=0)
watcher = toy.Watcher()
settings = toy.config(epochs=2, evaluations_per_epoch=1)
folder = Path({str(tmp_path / "fit")!r})
fitted = toy.fit(
    toy.TRAIN, toy.VALIDATION, model=model, config=settings, seed=1, folder=folder, callbacks=[watcher]
)
leave_group()
weights = sum(float(p.detach().double().abs().sum()) for p in fitted.model.parameters())
line = f"{{watcher.steps}} {{len(watcher.evaluated)}} {{fitted.family_auroc:.6f}} {{weights!r}}"
(Path({str(tmp_path)!r}) / f"rank-{{os.environ['RANK']}}.txt").write_text(line)
"""
    )
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(program)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(launch, capture_output=True, text=True, timeout=240, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = ((tmp_path / f"rank-{rank}.txt").read_text().split() for rank in (0, 1))
    assert first == second
    assert first[:2] == ["12", "2"]  # half the steps of one process, and still an evaluation an epoch
    assert float(first[2]) > 0.5


def test_windows_longer_than_the_encoder_reads_are_refused(bert_folder: Path, roberta_folder: Path) -> None:
    for folder, pad_id in ((bert_folder, 0), (roberta_folder, 1)):
        network = RequestClassifier.from_encoder(folder)
        check_window(network, 128, pad_id)
        with pytest.raises(EncoderError, match=r"model\.max_tokens: 256 tokens are more than the encoder can read"):
            check_window(network, 256, pad_id)


def test_validation_records_are_dealt_family_by_family() -> None:
    records = make_records(range(1), per_family=90) + make_records(range(1, 3), per_family=4)
    dealt = draw_evenly(records, 40, seed=3)
    counts = {family: sum(record.family == family for record in dealt) for family in {r.family for r in records}}
    assert len(dealt) == len({record.id for record in dealt}) == 40
    assert sorted(counts.values()) == [4, 4, 4, 4, 12, 12]
    assert draw_evenly(records, 40, seed=3) == dealt
    assert draw_evenly(records, 40, seed=4) != dealt
    assert draw_evenly(records, 1000, seed=3) == records


@slow
def test_an_average_of_weights_is_what_is_evaluated_and_left_behind(model: ModelConfig, tmp_path: Path) -> None:
    settings = config(epochs=2, ema_decay=0.9)
    averaged = fit(TRAIN, VALIDATION, model=model, config=settings, seed=1, folder=tmp_path / "a")
    plain = fit(TRAIN, VALIDATION, model=model, config=config(epochs=2), seed=1, folder=tmp_path / "b")
    assert not same_weights(averaged, plain)
    labels = [int(record.is_extraction) for record in VALIDATION]
    assert auroc(labels, scores(averaged, VALIDATION)) > 0.9
    raw = load_file(tmp_path / "a" / Path(find_checkpoint(tmp_path / "a") or "").name / RAW_WEIGHTS)
    assert not torch.equal(raw["extraction_head.weight"], averaged.model.extraction_head.weight)


@slow
def test_without_validation_too_the_average_is_left_behind(model: ModelConfig, tmp_path: Path) -> None:
    settings = config(ema_decay=0.9)
    averaged = fit(TRAIN, (), model=model, config=settings, seed=1, folder=tmp_path, epochs=1)
    saved = load_file(tmp_path / "checkpoint-12" / "model.safetensors")
    assert all(torch.equal(saved[name], tensor) for name, tensor in averaged.model.state_dict().items())


@slow
def test_an_interrupted_average_goes_on_to_the_same_weights(model: ModelConfig, tmp_path: Path) -> None:
    settings = config(epochs=3, patience=9, ema_decay=0.8)
    whole = fit(TRAIN, VALIDATION, model=model, config=settings, seed=1, folder=tmp_path / "whole")
    broken = tmp_path / "broken"
    with pytest.raises(KeyboardInterrupt):
        fit(TRAIN, VALIDATION, model=model, config=settings, seed=1, folder=broken, callbacks=[Watcher(14)])
    resumed = fit(TRAIN, VALIDATION, model=model, config=settings, seed=1, folder=broken, resume=True)
    assert same_weights(resumed, whole)


@slow
def test_a_checkpoint_without_an_average_is_not_gone_on_from_with_one(model: ModelConfig, tmp_path: Path) -> None:
    fit(TRAIN, (), model=model, config=config(), seed=1, folder=tmp_path, epochs=1)
    with pytest.raises(ConfigError, match=r"fit\.ema_decay"):
        fit(TRAIN, (), model=model, config=config(ema_decay=0.9), seed=1, folder=tmp_path, epochs=2, resume=True)


@slow
def test_heads_fitted_first_tell_the_labels_apart_before_the_encoder_learns(
    model: ModelConfig, bert_folder: Path, tmp_path: Path
) -> None:
    crawling = {"learning_rate": 1e-12, "head_learning_rate": 1e-12, "epochs": 1}
    fitted = fit(TRAIN, (), model=model, config=config(head_first=True, **crawling), seed=1, folder=tmp_path / "a")
    fresh = fit(TRAIN, (), model=model, config=config(**crawling), seed=1, folder=tmp_path / "b")
    labels = [int(record.is_extraction) for record in TRAIN]
    assert auroc(labels, scores(fitted, TRAIN)) > max(0.8, auroc(labels, scores(fresh, TRAIN)))
    before = RequestClassifier.from_encoder(bert_folder).encoder.state_dict()
    assert all(torch.allclose(before[name], tensor) for name, tensor in fitted.model.encoder.state_dict().items())


@slow
def test_fits_of_several_seeds_are_averaged(model: ModelConfig, tmp_path: Path) -> None:
    settings = config(epochs=1, head_first=True, seeds=(1, 2))
    soup = fit(TRAIN, VALIDATION, model=model, config=settings, seed=1, folder=tmp_path)
    states = []
    for seed in (1, 2):
        checkpoint = find_checkpoint(tmp_path / f"seed-{seed}")
        assert checkpoint is not None
        states.append(load_file(Path(checkpoint) / "model.safetensors"))
    assert not torch.equal(*(state["extraction_head.weight"] for state in states))
    for name, tensor in soup.model.state_dict().items():
        assert torch.allclose(tensor, (states[0][name] + states[1][name]) / 2, atol=1e-6)
    assert soup.family_auroc is not None
    assert soup.family_auroc > 0.9


@slow
def test_every_way_to_learn_works_beside_every_other(model: ModelConfig, tmp_path: Path) -> None:
    everything = model.model_copy(update={"attribute_weight": 0.2, "contrastive_weight": 0.2})
    settings = config(
        head_first=True, ema_decay=0.9, layer_decay=0.8, token_dropout=0.1, transform_share=0.3, bf16=True, seeds=(1, 2)
    )
    train = [replace(record, attributes=("batch",)) if record.is_extraction else record for record in TRAIN]
    shares = (SourceShare(frozenset({"test"}), 1.0),)
    fitted = fit(train, VALIDATION, model=everything, config=settings, seed=1, folder=tmp_path, shares=shares)
    assert fitted.family_auroc is not None
    assert fitted.family_auroc > 0.9


def test_layers_learn_the_slower_the_lower_they_lie(bert_folder: Path, tmp_path: Path) -> None:
    network = RequestClassifier.from_encoder(bert_folder)
    trainer = RequestTrainer(
        network,
        args=TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to=[]),
        sampler=SequentialSampler([]),
        config=config(learning_rate=1e-3, head_learning_rate=1e-2, layer_decay=0.5),
    )
    rates = {id(p): group["lr"] for group in trainer.create_optimizer().param_groups for p in group["params"]}
    found = {name: rates[id(parameter)] for name, parameter in network.named_parameters()}
    assert {rate for name, rate in found.items() if "_head" in name} == {1e-2}
    assert {rate for name, rate in found.items() if ".layer.1." in name} == {1e-3}
    assert {rate for name, rate in found.items() if ".layer.0." in name} == {5e-4}
    assert {rate for name, rate in found.items() if ".embeddings." in name} == {2.5e-4}
    assert len(found) == len(rates)


@pytest.mark.parametrize("fields", [{"seeds": (1, 2)}, {"seeds": (1,), "head_first": True}, {"transforms": ("x",)}])
def test_options_that_do_not_fit_together_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        config(**fields)
