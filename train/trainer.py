"""A thin layer over the Hugging Face Trainer: our sampler, two learning rates, and nothing else."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.data import Sampler
from transformers import Trainer

from stillwatch.model.network import RequestClassifier

_HEADS = frozenset({"extraction_head", "technique_head", "attribute_head"})


class RequestTrainer(Trainer):
    """Draws with the given sampler; the heads learn at their own rate."""

    def __init__(
        self, model: RequestClassifier, *, sampler: Sampler[int], head_learning_rate: float, **kwargs: Any
    ) -> None:
        """Everything else is the Trainer's."""
        super().__init__(model, **kwargs)
        self._classifier = model
        self._sampler = sampler
        self._head_learning_rate = head_learning_rate

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return self._sampler

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW with the encoder at `learning_rate` and the heads at `head_learning_rate`."""
        if self.optimizer is None:
            target = self._classifier if model is None else model
            learning = [(name, p) for name, p in target.named_parameters() if p.requires_grad]
            heads = [p for name, p in learning if not _HEADS.isdisjoint(name.split("."))]
            encoder = [p for name, p in learning if _HEADS.isdisjoint(name.split("."))]
            groups = [
                {"params": encoder, "lr": self.args.learning_rate},
                {"params": heads, "lr": self._head_learning_rate},
            ]
            self.optimizer = torch.optim.AdamW(
                [group for group in groups if group["params"]], weight_decay=self.args.weight_decay
            )
        return self.optimizer
