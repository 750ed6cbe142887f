"""The Trainer's logs, by step and by epoch, from a real Trainer."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments

from stillwatch.train.callbacks import StepLogger


class Kept:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.points: list[tuple[str, int, float]] = []

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        self.points += [(name, step, value) for name, value in metrics.items()]

    def steps(self, name: str) -> list[int]:
        return [step for key, step, _ in self.points if key == name]


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"loss": ((self.weight * x - labels) ** 2).mean(), "logits": self.weight * x}


class Points(Dataset[dict[str, Tensor]]):
    def __len__(self) -> int:
        return 12

    def __getitem__(self, place: int) -> dict[str, Tensor]:
        x = torch.tensor(float(place))
        return {"x": x, "labels": 2 * x}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    sink = Kept()
    args = TrainingArguments(
        output_dir=str(tmp_path_factory.mktemp("trainer")),
        num_train_epochs=3,
        per_device_train_batch_size=4,
        logging_steps=1,
        eval_strategy="steps",
        eval_steps=2,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
    )
    Trainer(
        model=Line(), args=args, train_dataset=Points(), eval_dataset=Points(), callbacks=[StepLogger(sink)]
    ).train()
    return sink


def test_losses_are_told_at_every_step(kept: Kept) -> None:
    assert kept.steps("train/loss") == list(range(1, 10))
    assert kept.steps("train/learning_rate") == list(range(1, 10))


def test_validation_is_told_at_the_step_it_was_made(kept: Kept) -> None:
    assert set(kept.steps("validation/loss")) >= {2, 4, 6, 8}


def test_each_epoch_is_told_once_with_its_mean_loss_and_last_validation(kept: Kept) -> None:
    assert kept.steps("epoch/train_loss") == [1, 2, 3]
    assert kept.steps("epoch/validation_loss") == [1, 2, 3]
    losses = [value for name, _, value in kept.points if name == "train/loss"]
    told = [value for name, _, value in kept.points if name == "epoch/train_loss"]
    assert told == pytest.approx([sum(losses[start : start + 3]) / 3 for start in (0, 3, 6)])
    validation = {step: value for name, step, value in kept.points if name == "validation/loss"}
    by_epoch = [value for name, _, value in kept.points if name == "epoch/validation_loss"]
    assert by_epoch == [validation[max(step for step in validation if step <= last)] for last in (3, 6, 9)]


def test_the_summary_is_told_once(kept: Kept) -> None:
    assert kept.steps("summary/runtime") == [9]


def test_no_log_is_lost_under_another_name(kept: Kept) -> None:
    assert {name.split("/")[0] for name, _, _ in kept.points} == {"train", "validation", "epoch", "summary"}
