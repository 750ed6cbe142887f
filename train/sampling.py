"""Which records a training step reads: labels evenly, families as evenly as asked, lengths alike in a batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from stillwatch.train.examples import Examples


@dataclass(frozen=True, slots=True)
class SourceShare:
    """What share of the draws of either label goes to some sources, relative to that of others.

    Attributes:
        sources: names as in the `source` field of records.
        share: above 0; a share without records of a label is dealt to the others.
    """

    sources: frozenset[str]
    share: float


class FamilySampler(Sampler[int]):
    """Draws labels evenly, and families within a label between evenly by record and evenly by family.

    Batches hold requests of like length, so that little padding is computed; their order is shuffled. The draw
    depends on seed and epoch alone: the same in every process of a distributed run, and after a resume.
    """

    def __init__(
        self,
        examples: Examples,
        *,
        num_draws: int,
        family_balance: float,
        batch_size: int,
        seed: int,
        record_weights: NDArray[np.float64] | None = None,
        window_balance: float = 0.0,
        shares: Sequence[SourceShare] = (),
    ) -> None:
        """Weigh each record by its label and family.

        Args:
            examples: what is drawn from.
            num_draws: draws in an epoch.
            family_balance: 0 draws records evenly, 1 draws families evenly.
            batch_size: requests in a batch of one process.
            seed: of all epochs.
            record_weights: multiplies the weight of each record, shape (records,).
            window_balance: 0 draws requests of any length evenly, 1 in proportion to their windows.
            shares: how draws are dealt to sources, every one of them named; by their weights when empty.
        """
        sizes = Counter((r.label, r.family) for r in examples.records)
        raw = np.array([sizes[r.label, r.family] ** -family_balance for r in examples.records])
        raw *= np.array([len(w.ids) for w in examples.windows]) ** window_balance
        if record_weights is not None:
            raw *= record_weights
        labels = np.array([r.is_extraction for r in examples.records])
        for side in (True, False):
            for each in shares:
                members = (labels == side) & np.array([r.source in each.sources for r in examples.records])
                raw[members] *= each.share / (raw[members].sum() or 1.0)
            raw[labels == side] /= raw[labels == side].sum() or 1.0
        self._weights = raw / raw.sum()
        self._lengths = np.array([sum(map(len, w.ids[:2])) for w in examples.windows])
        self._num_draws, self._batch_size, self._seed, self._epoch = num_draws, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer before each epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        """Draws in an epoch."""
        return self._num_draws

    def __iter__(self) -> Iterator[int]:
        """Indices of one epoch, in batches of like length."""
        rng = np.random.default_rng((self._seed, self._epoch))
        draws = rng.choice(len(self._weights), size=self._num_draws, p=self._weights)
        pool = self._batch_size * 24
        batches: list[NDArray[np.int64]] = []
        for start in range(0, len(draws), pool):
            chunk = draws[start : start + pool]
            chunk = chunk[np.argsort(self._lengths[chunk], kind="stable")]
            batches += [chunk[i : i + self._batch_size] for i in range(0, len(chunk), self._batch_size)]
        full = [batch for batch in batches if len(batch) == self._batch_size]
        rng.shuffle(full)  # a short batch must stay last, or the loader would cut across batches
        rest = [batch for batch in batches if len(batch) < self._batch_size]
        return iter([int(i) for batch in (*full, *rest) for i in batch])
