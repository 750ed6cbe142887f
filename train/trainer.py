"""A thin layer over the Hugging Face Trainer: our sampler, learning rates by depth, averaged weights, nothing else."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Sampler
from transformers import Trainer

from stillwatch.model.network import RequestClassifier
from stillwatch.train.averaging import WeightAverage
from stillwatch.train.config import FitConfig

_HEADS = frozenset({"extraction_head", "technique_head", "attribute_head", "contrastive_head"})


class RequestTrainer(Trainer):
    """Draws with the given sampler; heads and layers learn at rates of their own.

    With `ema_decay`, the average of the weights is what is evaluated, saved and left behind.
    """

    def __init__(self, model: RequestClassifier, *, sampler: Sampler[int], config: FitConfig, **kwargs: Any) -> None:
        """Everything else is the Trainer's."""
        super().__init__(model, **kwargs)
        self._classifier = model
        self._sampler = sampler
        self._config = config
        self._average: WeightAverage | None = None
        if config.ema_decay is not None:
            self._average = WeightAverage(model, config.ema_decay)
            self.add_callback(self._average)

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return self._sampler

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW with the heads at their own rate, and each layer at `layer_decay` times the rate of the one above."""
        if self.optimizer is None:
            heights = self._measure_heights() if self._config.layer_decay < 1 else {}
            groups: dict[float, list[nn.Parameter]] = {}
            for name, parameter in (self._classifier if model is None else model).named_parameters():
                if not parameter.requires_grad:
                    continue
                if not _HEADS.isdisjoint(name.split(".")):
                    rate = self._config.head_learning_rate
                else:
                    rate = self._config.learning_rate * self._config.layer_decay ** heights.get(id(parameter), 0)
                groups.setdefault(rate, []).append(parameter)
            self.optimizer = torch.optim.AdamW(
                [{"params": parameters, "lr": rate} for rate, parameters in groups.items()],
                weight_decay=self._config.weight_decay,
            )
        return self.optimizer

    def _measure_heights(self) -> dict[int, int]:
        """How many layers stand above each parameter of the encoder: none above the topmost layer and what follows."""
        layers = self._classifier.find_layers()
        place = {id(p): len(layers) - number for number, layer in enumerate(layers, 1) for p in layer.parameters()}
        heights: dict[int, int] = {}
        outside = len(layers)  # the embeddings come before the layers
        for parameter in self._classifier.encoder.parameters():
            if id(parameter) in place:
                outside = 0
            heights[id(parameter)] = place.get(id(parameter), outside)
        return heights

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """The Trainer's own; where no best evaluation was loaded, the network is left with its average weights."""
        output = super().train(*args, **kwargs)
        if self._average is not None and self.state.best_model_checkpoint is None:
            self._average.adopt()
        return output

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """The Trainer's own, on average weights where there are some."""
        with self._averaged():
            return super().evaluate(*args, **kwargs)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        if self._average is not None and output_dir is not None:
            self._average.save(Path(output_dir))
        with self._averaged():
            super()._save(output_dir, state_dict)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        if self._average is not None:
            self._average.load(Path(resume_from_checkpoint))

    def _averaged(self) -> AbstractContextManager[None]:
        return nullcontext() if self._average is None else self._average.swap_in()
