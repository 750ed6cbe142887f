"""Hands the Trainer's logs to a tracker, by step and by epoch. It opens and closes no run: its owner does.

Names: `train/loss` and `validation/auroc` count steps; `epoch/train_loss` and `epoch/validation_auroc`
count epochs (the last validation of each); `summary/...` is told once, at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Protocol

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from typing_extensions import override


class MetricSink(Protocol):
    """Whatever takes figures by step: a `Tracker`."""

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Keep each figure under its name at `step`."""


class StepLogger(TrainerCallback):
    """A Trainer callback; use it with `report_to="none"` so that nothing is logged twice.

    Args:
        sink: where the figures go.
    """

    def __init__(self, sink: MetricSink) -> None:
        """Keep the sink."""
        self._sink = sink
        self._losses: list[float] = []
        self._validation: dict[str, float] = {}

    @override
    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, object] | None = None,
        **kwargs: object,
    ) -> None:
        """Pass on one log of the Trainer at the current step."""
        if not state.is_world_process_zero or not logs:
            return
        figures = {key: float(value) for key, value in logs.items() if isinstance(value, int | float)}
        self._losses += [figures["loss"]] if "loss" in figures else []
        self._validation |= {
            key.removeprefix("eval_"): value for key, value in figures.items() if key.startswith("eval_")
        }
        self._sink.log_metrics({_rename(key): value for key, value in figures.items()}, step=state.global_step)

    @override
    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Tell the epoch that has ended; the Trainer evaluates after its own end of the epoch."""
        self._tell_epoch(state)

    @override
    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Tell the last epoch, whole or not."""
        self._tell_epoch(state)

    def _tell_epoch(self, state: TrainerState) -> None:
        figures = {f"epoch/validation_{key}": value for key, value in self._validation.items()}
        if self._losses:
            figures["epoch/train_loss"] = sum(self._losses) / len(self._losses)
        if figures and state.is_world_process_zero:
            self._sink.log_metrics(figures, step=ceil((state.epoch or 0.0) - 1e-6))
        self._losses, self._validation = [], {}


def _rename(key: str) -> str:
    if key.startswith("eval_"):
        return f"validation/{key.removeprefix('eval_')}"
    if key.startswith("train_"):
        return f"summary/{key.removeprefix('train_')}"
    return f"train/{key}"
