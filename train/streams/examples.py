"""Streams as training examples: pieces of accounts, what is expected after each request, and what is hidden.

A step of an operator's account counts from its first extraction request on: before it there is nothing to find. Early
steps weigh more. Lengths, pace, extraction logits and whole groups of slots are varied, so that none of them becomes
indispensable.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stillwatch.model.streams.layout import GROUPS, INDEX, WIDTH
from stillwatch.train.streams.corpus import StreamCorpus
from stillwatch.train.streams.settings import NetworkConfig

_PACE = [INDEX["gap"]]
_EXTRACTION = INDEX["extraction"]
_WARM = 16  # requests of a late piece that are read and not judged


@dataclass(frozen=True, slots=True)
class Batch:
    """Pieces of accounts.

    Attributes:
        vectors: raw vectors, shape (accounts, requests, WIDTH).
        targets: 1 for an operator's account, shape (accounts,).
        weights: of each step, summing to 1 for each account, 0 where it does not count, shape (accounts, requests).
        hidden: True for slots to hide, shape (accounts, WIDTH).
    """

    vectors: Tensor
    targets: Tensor
    weights: Tensor
    hidden: Tensor


def iter_batches(corpus: StreamCorpus, config: NetworkConfig, rng: np.random.Generator) -> Iterator[Batch]:
    """One epoch: every account once, both labels in equal numbers, the smaller one more than once where it must.

    Args:
        corpus: streams to learn from.
        config: batch size, lengths, and how much is hidden.
        rng: the source of chance.
    """
    operators = corpus.is_operator()
    sides = [_fill(np.flatnonzero(operators == label), len(corpus) // 2 + 1, rng) for label in (False, True)]
    order = np.stack(sides, axis=1).ravel()
    for start in range(0, len(order), config.batch_size):
        yield make_batch(corpus, order[start : start + config.batch_size].tolist(), config, rng)


def make_batch(
    corpus: StreamCorpus, numbers: Sequence[int], config: NetworkConfig, rng: np.random.Generator | None
) -> Batch:
    """A batch of these accounts; without `rng` nothing is varied and nothing hidden."""
    steps = config.max_steps
    vectors = torch.zeros(len(numbers), steps, WIDTH)
    weights = torch.zeros(len(numbers), steps)
    hidden = torch.zeros(len(numbers), WIDTH, dtype=torch.bool)
    operators = corpus.is_operator()
    for row, number in enumerate(numbers):
        whole = corpus.vectors_of(number)
        extraction = corpus.flags[corpus.bounds[number] : corpus.bounds[number + 1]] > 0
        begin, stop = 0, min(len(whole), steps)
        if rng is not None and len(whole) > 8:
            begin = int(rng.integers(len(whole) - 4)) if rng.random() < config.late_share else 0
            stop = min(len(whole), begin + steps)
            if rng.random() < config.short_share:
                stop = begin + int(rng.integers(4, stop - begin + 1)) if stop - begin > 4 else stop
        piece = torch.from_numpy(whole[begin:stop].astype(np.float32))
        counts = np.ones(stop - begin, bool)
        if operators[number]:
            counts = np.cumsum(extraction[:stop])[begin:] > 0
        if begin > 0:  # a gateway would know what came before
            counts[: min(_WARM, len(counts) - 1)] = False
        weight = counts * (np.arange(stop - begin) + config.early_steps) ** -config.early_power
        if weight.sum() > 0:
            weights[row, : stop - begin] = torch.from_numpy(weight / weight.sum()).float()
        if rng is not None:
            known = piece[:, _PACE] >= 0
            piece[:, _PACE] = torch.where(known, (piece[:, _PACE] + rng.normal(0, config.pace_sd)).clamp(min=0), -1.0)
            factor = rng.uniform(1 - config.content_shrink, 1)
            piece[:, _EXTRACTION] = piece[:, _EXTRACTION] * factor + rng.normal(0, config.content_sd)
            for places in GROUPS.values():
                if rng.random() < config.group_dropout:
                    hidden[row, places] = True
        vectors[row, : stop - begin] = piece
    longest = max(int((weights > 0).any(0).nonzero().max()) + 1, 1) if (weights > 0).any() else 1
    targets = torch.from_numpy(operators[list(numbers)].astype(np.float32))
    return Batch(vectors[:, :longest], targets, weights[:, :longest], hidden)


def _fill(numbers: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    shuffled = rng.permutation(numbers)
    return np.resize(shuffled, size)
