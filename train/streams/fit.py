"""One fit of the stream network, stopped early on accounts of families and personas that it has not seen.

What is kept is a moving average of the weights, which is worth more than those of any one step. It looks at no tested
family. What is compared between epochs is what a flag is worth: the share of held-out operators' accounts that are
above the highest logit of all but one in a hundred held-out honest accounts.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from stillwatch.data.errors import ConfigError
from stillwatch.train.averaging import blend_weights
from stillwatch.train.metrics import auroc
from stillwatch.train.streams.corpus import StreamCorpus
from stillwatch.train.streams.examples import Batch, iter_batches
from stillwatch.train.streams.network import StreamNetwork
from stillwatch.train.streams.scoring import score_streams
from stillwatch.train.streams.settings import NetworkConfig

_LEAST_SD = 0.05  # a slot that hardly varies is not blown up
_SHARE = 0.01  # of honest accounts that may be above the threshold of a comparison
_BY = (10, 25, 50, 100)
_WARMUP_STEPS = 4  # at least, of a tenth of all: a schedule with none divides by zero


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch: its loss, and the held-out result: AUROC and share caught, both of accounts' running maxima."""

    number: int
    loss: float
    auroc: float
    caught: float

    @property
    def merit(self) -> float:
        """What early stopping compares."""
        return self.caught + self.auroc


@dataclass(frozen=True, slots=True)
class FittedNetwork:
    """The network at its best epoch, and how the fit went."""

    network: StreamNetwork
    epochs: tuple[Epoch, ...]
    best: int


def fit_network(
    train: StreamCorpus,
    validation: StreamCorpus | None,
    config: NetworkConfig,
    *,
    seed: int,
    num_epochs: int | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> FittedNetwork:
    """Fit.

    Args:
        train: streams of honest accounts and of operators.
        validation: streams of other families and personas; None trains for `num_epochs` without a stop.
        config: of network and fit.
        seed: of weights and draws.
        num_epochs: instead of `config.epochs`.
        on_epoch: called after each.

    Raises:
        ConfigError: `train` or `validation` holds accounts of one label only.
    """
    for corpus in (train, validation):
        if corpus is not None and len(set(corpus.is_operator().tolist())) < 2:
            raise ConfigError("world: accounts of one label only; simulate honest accounts and campaigns")
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = build_network(config)
    _set_scale(network, train)
    total = num_epochs or config.epochs
    steps = total * -(-2 * (len(train) // 2 + 1) // config.batch_size)
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        config.learning_rate,
        total_steps=max(steps, 2 * _WARMUP_STEPS),
        pct_start=max(0.1, min(_WARMUP_STEPS / steps, 0.5)),
    )
    average = AveragedModel(network, multi_avg_fn=blend_weights(config.ema_decay))
    epochs: list[Epoch] = []
    best, best_weights = 0, copy.deepcopy(network.state_dict())
    for number in range(total):
        network.train()
        losses = []
        for batch in iter_batches(train, config, rng):
            loss = compute_loss(network, batch, config)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            average.update_parameters(network)
            losses.append(float(loss.detach()))
        averaged = cast(StreamNetwork, average.module)
        result = _validate(averaged, validation) if validation is not None else (0.0, 0.0)
        epochs.append(Epoch(number, float(np.mean(losses)), *result))
        if on_epoch is not None:
            on_epoch(epochs[-1])
        if validation is None or number == 0 or epochs[-1].merit > epochs[best].merit:
            best, best_weights = number, copy.deepcopy(averaged.state_dict())
        elif number - best >= config.patience:
            break
    network.load_state_dict(best_weights)
    network.eval()
    return FittedNetwork(network, tuple(epochs), best)


def build_network(config: NetworkConfig) -> StreamNetwork:
    """A network of this shape with fresh weights."""
    return StreamNetwork(
        width=config.width,
        num_layers=config.num_layers,
        num_heads=config.num_heads,
        dropout=config.dropout,
        num_members=config.num_members,
    )


def find_epochs(
    train: StreamCorpus,
    validation: StreamCorpus,
    config: NetworkConfig,
    *,
    seed: int,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> FittedNetwork:
    """Fit one member alone, to see for how many epochs all of them should learn; arguments as of `fit_network`."""
    alone = config.model_copy(update={"num_members": 1})
    return fit_network(train, validation, alone, seed=seed, on_epoch=on_epoch)


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


def _set_scale(network: StreamNetwork, train: StreamCorpus) -> None:
    rows = train.vectors.astype(np.float32)
    network.mean.copy_(torch.from_numpy(rows.mean(0)))
    network.scale.copy_(torch.from_numpy(np.maximum(rows.std(0), _LEAST_SD)))


def _validate(network: StreamNetwork, validation: StreamCorpus) -> tuple[float, float]:
    logits = score_streams(network, [validation.vectors_of(number) for number in range(len(validation))])
    operators = validation.is_operator()
    peaks = np.array([each.max() for each in logits])
    threshold = np.quantile(peaks[~operators], 1 - _SHARE, method="higher")
    caught = [
        np.mean([each[:by].max() > threshold for each, is_op in zip(logits, operators, strict=True) if is_op])
        for by in _BY
    ]
    return auroc(operators.astype(np.int64), peaks), float(np.mean(caught))
