"""Averages of weights: over the steps of one fit, and over several fits from one start.

Either often generalises better than the last weights of one run, at no cost when requests are scored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from typing_extensions import override

from stillwatch.data.errors import ConfigError
from stillwatch.model.network import RequestClassifier

RAW_WEIGHTS = "raw.safetensors"
"""In a checkpoint, the weights that are trained; its model file holds their average."""

_NUM_AVERAGED = "num_averaged"


def blend_weights(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """How an `AveragedModel` takes in the weights of one more step: an exponential moving average.

    Early on the average is shorter, by the decay min(decay, (1 + steps) / (10 + steps)), so that the first weights
    do not linger in a fit of a few hundred steps (as TensorFlow's ExponentialMovingAverage does).
    """

    def blend(averaged: Sequence[Tensor], current: Sequence[Tensor], num_averaged: Tensor | int) -> None:
        steps = int(num_averaged)
        weight = 1.0 - min(decay, (1 + steps) / (10 + steps))
        with torch.no_grad():
            for mean, value in zip(averaged, current, strict=True):
                mean.lerp_(value, weight)

    return blend


class WeightAverage(TrainerCallback):
    """Exponential moving average of a network's weights, taken after every step; see `blend_weights`."""

    def __init__(self, network: RequestClassifier, decay: float) -> None:
        """Follow `network`; its average begins at the first step."""
        self._network = network
        self._average = AveragedModel(network, multi_avg_fn=blend_weights(decay))

    @override
    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Take the weights of this step into the average."""
        self._average.update_parameters(self._network)

    @contextmanager
    def swap_in(self) -> Iterator[None]:
        """Inside, the network has its average weights; after it, those that are trained."""
        trained = {name: tensor.clone() for name, tensor in self._network.state_dict().items()}
        self.adopt()
        try:
            yield
        finally:
            self._network.load_state_dict(trained)

    def adopt(self) -> None:
        """Give the network its average weights for good."""
        self._network.load_state_dict(self._average.module.state_dict())

    def save(self, folder: Path) -> None:
        """Write the weights that are trained, and over how many steps their average goes."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: tensor.contiguous() for name, tensor in self._network.state_dict().items()}
        save_file({**tensors, _NUM_AVERAGED: self._average.n_averaged}, folder / RAW_WEIGHTS)

    def load(self, folder: Path) -> None:
        """Go on from a checkpoint whose model file, the average, the network has just read.

        Raises:
            ConfigError: the checkpoint was made without an average.
        """
        if not (folder / RAW_WEIGHTS).is_file():
            raise ConfigError("fit.ema_decay: the checkpoint has no average; resume with the settings that made it")
        tensors = load_file(folder / RAW_WEIGHTS)
        self._average.n_averaged.copy_(tensors.pop(_NUM_AVERAGED))
        self._average.module.load_state_dict(self._network.state_dict())
        self._network.load_state_dict(tensors)


def average_states(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of several fits' weights; they must have started from the same weights, heads included.

    Source: Wortsman et al., "Model soups", ICML 2022 (the uniform soup).
    """
    return {
        name: torch.stack([state[name] for state in states]).mean(0) if tensor.is_floating_point() else tensor
        for name, tensor in states[0].items()
    }
