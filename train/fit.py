"""One fit: records in, a classifier out, stopped early on families that it has not seen.

Runs unchanged on a CPU, on a GPU and under `torchrun`. Checkpoints allow an interrupted fit to go on where it was.
It never looks at test families, and never validates on random rows: those measure memory.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from transformers.trainer import TRAINER_STATE_NAME
from transformers.utils import logging as transformers_logging

from stillwatch.data.balance import weigh
from stillwatch.data.records import LabelledRequest
from stillwatch.model.encoder import resolve_encoder
from stillwatch.model.network import RequestClassifier
from stillwatch.model.windows import WindowConfig, Windower
from stillwatch.train.averaging import average_states
from stillwatch.train.classifier import build_network, check_window, pad_token_id
from stillwatch.train.config import FitConfig, ModelConfig
from stillwatch.train.examples import Examples, WindowCollator, cut_windows
from stillwatch.train.probing import fit_heads
from stillwatch.train.processes import count_processes
from stillwatch.train.progress import FitBar
from stillwatch.train.sampling import FamilySampler, SourceShare
from stillwatch.train.trainer import RequestTrainer
from stillwatch.train.validation import FamilyMetric, draw_evenly
from stillwatch.train.variants import Rewriter, TokenDropout


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a fit leaves behind.

    Attributes:
        model: the classifier at its best evaluation (at the end, where nothing was held out).
        windower: cuts requests as it was trained.
        tokenizer_file: the encoder's `tokenizer.json`.
        pad_id: token id of padding.
        best_epoch: epochs trained at that point, in fractions.
        family_auroc: best held-out result, or None.
    """

    model: RequestClassifier
    windower: Windower
    tokenizer_file: Path
    pad_id: int
    best_epoch: float
    family_auroc: float | None


def fit(
    train: Sequence[LabelledRequest],
    validation: Sequence[LabelledRequest],
    *,
    model: ModelConfig,
    config: FitConfig,
    seed: int,
    folder: Path,
    shares: Sequence[SourceShare] = (),
    epochs: float | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    resume: bool = False,
) -> Fitted:
    """Fit a classifier.

    Args:
        train: records to learn from; ambiguous ones must not be among them.
        validation: records of other families; empty to train for `epochs` without a stop.
        model: the classifier's configuration.
        config: the fit's configuration.
        seed: of weights, draws and windows.
        folder: where checkpoints go.
        shares: how draws are dealt to sources; by their records when empty.
        epochs: instead of `config.epochs`; may be a fraction.
        callbacks: more Trainer callbacks, such as a logger of steps.
        resume: go on from the last checkpoint in `folder`, if there is one; else those found there are deleted.

    Raises:
        EncoderError: the encoder cannot be found, has too few layers to freeze, or reads shorter windows.
    """
    set_seed(seed)
    transformers_logging.disable_progress_bar()
    if config.num_threads is not None:
        torch.set_num_threads(config.num_threads)
    encoder = resolve_encoder(model.encoder, model.revision)
    network = build_network(encoder, model)
    tokenizer_file = encoder / "tokenizer.json"
    windower = Windower.load(tokenizer_file, WindowConfig(model.max_tokens, model.overlap_tokens))
    pad_id = pad_token_id(network, tokenizer_file)
    check_window(network, model.max_tokens, pad_id)
    windows = cut_windows(windower, train)
    held_out = draw_evenly(validation, config.max_validation_requests, seed)
    plan = _Plan(
        examples=Examples(
            train,
            windows,
            config.train_windows,
            rewriter=Rewriter(config.transform_share, config.transforms, windower) if config.transform_share else None,
            dropout=TokenDropout.load(tokenizer_file, config.token_dropout) if config.token_dropout else None,
        ),
        held_out=Examples(held_out, cut_windows(windower, held_out), config.train_windows),
        config=config,
        epochs=epochs if epochs is not None else config.epochs,
        shares=shares,
        pad_id=pad_id,
        callbacks=callbacks,
        resume=resume,
    )
    if config.head_first:
        fit_heads(
            network,
            Examples(train, windows, config.train_windows),
            list(plan.make_sampler(seed)),
            pad_id=pad_id,
            batch_size=2 * config.batch_size,
            bf16=config.bf16,
        )
    if not config.seeds:
        best_epoch, family_auroc = plan.run(network, seed, folder)[1:]
        return Fitted(network, windower, tokenizer_file, pad_id, best_epoch, family_auroc)
    runs = [plan.run(copy.deepcopy(network), each, folder / f"seed-{each}") for each in config.seeds]
    network = runs[0][0]
    network.load_state_dict(average_states([each.state_dict() for each, _, _ in runs]))
    best_epoch = float(np.median([each for _, each, _ in runs]))
    return Fitted(network, windower, tokenizer_file, pad_id, best_epoch, plan.evaluate(network, folder))


@dataclass(frozen=True, slots=True)
class _Plan:
    """What every run of a fit shares; runs differ by their seed and their folder alone."""

    examples: Examples
    held_out: Examples
    config: FitConfig
    epochs: float
    shares: Sequence[SourceShare]
    pad_id: int
    callbacks: Sequence[TrainerCallback]
    resume: bool

    @property
    def num_draws(self) -> int:
        return self.config.requests_per_epoch or len(self.examples)

    def make_sampler(self, seed: int) -> FamilySampler:
        return FamilySampler(
            self.examples,
            num_draws=self.num_draws,
            family_balance=self.config.family_balance,
            batch_size=self.config.batch_size,
            seed=seed,
            record_weights=weigh(self.examples.records) if self.config.balance_surface else None,
            window_balance=self.config.window_balance,
            shares=self.shares,
        )

    def run(self, network: RequestClassifier, seed: int, folder: Path) -> tuple[RequestClassifier, float, float | None]:
        """Train the network; gives it back with the epoch of its best evaluation and the result of that."""
        trainer = self._make_trainer(network, seed, folder)
        if not self.resume and trainer.is_world_process_zero():
            for stale in folder.glob("checkpoint-*"):  # or a later resume might take one of them for its own
                shutil.rmtree(stale)
        trainer.train(resume_from_checkpoint=find_checkpoint(folder) if self.resume else None)
        best = trainer.state.best_metric
        best_step = trainer.state.best_global_step or trainer.state.global_step
        steps_per_epoch = max(1.0, trainer.state.global_step / (trainer.state.epoch or 1.0))
        return network, best_step / steps_per_epoch, None if best is None else float(best)

    def evaluate(self, network: RequestClassifier, folder: Path) -> float | None:
        """The held-out result of a network that no single run left behind."""
        if not len(self.held_out):
            return None
        trainer = self._make_trainer(network, 0, folder)
        return trainer.evaluate()["eval_family_auroc"]

    def _make_trainer(self, network: RequestClassifier, seed: int, folder: Path) -> RequestTrainer:
        config, held_out = self.config, self.held_out if len(self.held_out) else None
        draws_per_step = config.batch_size * count_processes()
        steps = max(1, self.num_draws // draws_per_step // config.evaluations_per_epoch)
        arguments = TrainingArguments(
            output_dir=str(folder),
            num_train_epochs=self.epochs,
            per_device_train_batch_size=config.batch_size,
            per_device_eval_batch_size=config.batch_size,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            warmup_steps=config.warmup_share,
            use_cpu=not torch.accelerator.is_available(),
            bf16=config.bf16,
            seed=seed,
            logging_steps=max(1, steps // 10),
            eval_strategy="steps" if held_out else "no",
            eval_steps=steps,
            save_strategy="steps",
            save_steps=steps,
            save_total_limit=1,
            restore_callback_states_from_checkpoint=True,
            load_best_model_at_end=held_out is not None,
            metric_for_best_model="family_auroc" if held_out else None,
            greater_is_better=True if held_out else None,
            remove_unused_columns=False,
            label_names=["labels"],
            report_to=[],
            ddp_timeout=4 * 3600,  # the other processes wait while the first one scores a fold
            disable_tqdm=True,
        )
        trainer = RequestTrainer(
            model=network,
            args=arguments,
            data_collator=WindowCollator(self.pad_id),
            train_dataset=self.examples,
            eval_dataset=held_out,
            compute_metrics=FamilyMetric(self.held_out.records),
            callbacks=[*self.callbacks, *([EarlyStoppingCallback(config.patience)] if held_out else [])],
            sampler=self.make_sampler(seed),
            config=config,
        )
        trainer.remove_callback(PrinterCallback)  # it prints logs where results are piped
        trainer.add_callback(FitBar(f"fitting {folder.name}"))
        return trainer


def find_checkpoint(folder: Path) -> str | None:
    """The last whole checkpoint in a folder; one that a kill left half written is passed over."""
    whole = [path.parent for path in folder.glob(f"checkpoint-*/{TRAINER_STATE_NAME}")]  # the state is saved last
    return str(max(whole, key=lambda path: int(path.name.rpartition("-")[2]))) if whole else None
