"""Progress bars of long work, on standard error, so that standard output stays clean for pipes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from typing_extensions import override


@contextmanager
def bar(what: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """A progress bar; yields a function that takes how many units were done since its last call."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=total)
        yield lambda num_done: progress.advance(task, num_done)


class FitBar(TrainerCallback):
    """The Trainer's progress as one bar with the latest loss and held-out result, instead of its printed logs."""

    def __init__(self, what: str) -> None:
        """`what` is told before the bar."""
        self._what = what
        self._told: dict[str, str] = {}
        self._progress: Progress | None = None

    @override
    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Open the bar."""
        if not state.is_world_process_zero:
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[told]}"),
        )
        self._progress = Progress(*columns, console=Console(stderr=True))
        self._task = self._progress.add_task(self._what, total=state.max_steps, told="")
        self._progress.start()

    @override
    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Move the bar."""
        if self._progress is not None:
            self._progress.update(self._task, completed=state.global_step)

    @override
    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        **kwargs: object,
    ) -> None:
        """Tell the latest loss and held-out AUROC; each evaluation gets a line."""
        if self._progress is None or logs is None:
            return
        self._told |= {
            name: f"{name} {logs[key]:.3f}"
            for key, name in (("loss", "loss"), ("eval_family_auroc", "held-out AUROC"))
            if key in logs
        }
        told = ", ".join(self._told.values())
        self._progress.update(self._task, told=told)
        if "eval_family_auroc" in logs:  # a line of its own: a bar leaves nothing in the log of a background run
            self._progress.console.print(f"{self._what}: step {state.global_step} of {state.max_steps}: {told}")

    @override
    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Close the bar."""
        if self._progress is not None:
            self._progress.stop()
