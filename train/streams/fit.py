"""One fit of the stream network, of a fixed number of epochs.

What is kept is a moving average of the weights, which is worth more than those of any one step. Nothing is held out to
stop on: in one rotation the few families and personas of a validation world said after one epoch that it was enough,
where eight find far more of the operators that extract with few of their requests; see train/README.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from stillwatch.data.errors import ConfigError
from stillwatch.train.averaging import blend_weights
from stillwatch.train.streams.corpus import StreamCorpus
from stillwatch.train.streams.examples import Batch, iter_batches
from stillwatch.train.streams.network import StreamNetwork
from stillwatch.train.streams.settings import NetworkConfig

_LEAST_SD = 0.05  # a slot that hardly varies is not blown up
_WARMUP_STEPS = 4  # at least, of a tenth of all: a schedule with none divides by zero


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch: its place from 0 and its mean loss."""

    number: int
    loss: float


@dataclass(frozen=True, slots=True)
class FittedNetwork:
    """The network after its last epoch, and how the fit went."""

    network: StreamNetwork
    epochs: tuple[Epoch, ...]


def fit_network(
    world: StreamCorpus, config: NetworkConfig, *, seed: int, on_epoch: Callable[[Epoch], None] | None = None
) -> FittedNetwork:
    """Fit.

    Args:
        world: streams of honest accounts and of operators.
        config: of network and fit.
        seed: of weights and draws.
        on_epoch: called after each.

    Raises:
        ConfigError: `world` holds accounts of one label only.
    """
    if len(set(world.is_operator().tolist())) < 2:
        raise ConfigError("world: accounts of one label only; simulate honest accounts and campaigns")
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = build_network(config)
    _set_scale(network, world)
    steps = config.epochs * -(-2 * (len(world) // 2 + 1) // config.batch_size)
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        config.learning_rate,
        total_steps=max(steps, 2 * _WARMUP_STEPS),
        pct_start=max(0.1, min(_WARMUP_STEPS / steps, 0.5)),
    )
    average = AveragedModel(network, multi_avg_fn=blend_weights(config.ema_decay))
    epochs: list[Epoch] = []
    for number in range(config.epochs):
        network.train()
        losses = []
        for batch in iter_batches(world, config, rng):
            loss = compute_loss(network, batch, config)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            average.update_parameters(network)
            losses.append(float(loss.detach()))
        epochs.append(Epoch(number, float(np.mean(losses))))
        if on_epoch is not None:
            on_epoch(epochs[-1])
    averaged = cast(StreamNetwork, average.module)
    averaged.eval()
    return FittedNetwork(averaged, tuple(epochs))


def build_network(config: NetworkConfig) -> StreamNetwork:
    """A network of this shape with fresh weights."""
    return StreamNetwork(
        width=config.width,
        num_layers=config.num_layers,
        num_heads=config.num_heads,
        dropout=config.dropout,
        num_members=config.num_members,
        num_blind=config.num_blind,
    )


def compute_loss(network: StreamNetwork, batch: Batch, config: NetworkConfig) -> torch.Tensor:
    """Cross-entropy at every step, and of the smooth maximum of honest accounts; the sum over members."""
    normalised = network.normalise(batch.vectors).masked_fill(batch.hidden[:, None, :], 0.0)
    logits = network.ask_members(normalised)
    targets = batch.targets[:, None].expand_as(logits)
    by_step = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    loss = (by_step * batch.weights).sum(-1).mean(-1)
    if config.peak_weight:
        seen = logits.masked_fill(batch.weights <= 0, -30.0)
        peaks = functional.softplus(torch.logsumexp(seen, dim=-1) - np.log(8.0)) * (1 - batch.targets)
        loss = loss + config.peak_weight * peaks.mean(-1)
    return loss.sum()


def _set_scale(network: StreamNetwork, world: StreamCorpus) -> None:
    rows = world.vectors.astype(np.float32)
    network.mean.copy_(torch.from_numpy(rows.mean(0)))
    network.scale.copy_(torch.from_numpy(np.maximum(rows.std(0), _LEAST_SD)))
