"""Records as training examples: windows of tokens, a label, a technique; how they are drawn and how they are stacked.

Long requests are not cut to their head: a training step reads the first and the last window and a random draw of
those between, so that a demand in the middle is seen over the epochs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from stillwatch.data.attributes import ATTRIBUTES
from stillwatch.data.labels import TECHNIQUES
from stillwatch.data.records import LabelledRequest
from stillwatch.model.network import NO_TECHNIQUE
from stillwatch.model.windows import Windower, Windows


class Example(TypedDict):
    """One request at a training step."""

    windows: tuple[tuple[int, ...], ...]
    label: int
    technique: int
    attributes: tuple[float, ...]


class Examples(Dataset[Example]):
    """Labelled windows. With `max_windows`, longer requests give a fresh draw of their windows at every reading."""

    def __init__(
        self, records: Sequence[LabelledRequest], windows: Sequence[Windows], max_windows: int | None = None
    ) -> None:
        """Keep records and their windows, index by index."""
        self.records = records
        self.windows = windows
        self._max_windows = max_windows

    def __len__(self) -> int:
        """How many records."""
        return len(self.records)

    def __getitem__(self, index: int) -> Example:
        """The windows to read now, the label and the technique of one record."""
        record = self.records[index]
        ids = self.windows[index].ids
        if self._max_windows is not None and len(ids) > self._max_windows:
            ids = tuple(ids[i] for i in _draw_windows(len(ids), self._max_windows))
        technique = TECHNIQUES.index(record.technique) if record.is_extraction and record.technique else NO_TECHNIQUE
        return {
            "windows": ids,
            "label": int(record.is_extraction),
            "technique": technique,
            "attributes": _encode_attributes(record.attributes),
        }


def _encode_attributes(attributes: Sequence[str]) -> tuple[float, ...]:
    """1 or 0 for each of `ATTRIBUTES`; NaN where nobody has said what a request asks for."""
    return tuple(float(name in attributes) if attributes else math.nan for name in ATTRIBUTES)


def _draw_windows(num_windows: int, max_windows: int) -> list[int]:
    if max_windows == 1:
        return [int(torch.randint(num_windows, ()))]
    between = torch.randperm(num_windows - 2)[: max_windows - 2] + 1
    return sorted({0, num_windows - 1, *between.tolist()})


@dataclass(frozen=True, slots=True)
class WindowCollator:
    """Stacks examples to tensors of shape (requests, windows, tokens), padded as little as the batch allows."""

    pad_id: int

    def __call__(self, examples: list[Example]) -> dict[str, Tensor]:
        """Stack a batch."""
        rows = [example["windows"] for example in examples]
        shape = (len(rows), max(len(row) for row in rows), max(len(ids) for row in rows for ids in row))
        input_ids = torch.full(shape, self.pad_id, dtype=torch.long)
        attention_mask = torch.zeros(shape, dtype=torch.long)
        for i, row in enumerate(rows):
            for j, ids in enumerate(row):
                input_ids[i, j, : len(ids)] = torch.tensor(ids)
                attention_mask[i, j, : len(ids)] = 1
        return {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "labels": torch.tensor([example["label"] for example in examples]),
            "techniques": torch.tensor([example["technique"] for example in examples]),
            "attributes": torch.tensor([example["attributes"] for example in examples]),
        }


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
        """
        sizes = Counter((r.label, r.family) for r in examples.records)
        raw = np.array([sizes[r.label, r.family] ** -family_balance for r in examples.records])
        raw *= np.array([len(w.ids) for w in examples.windows]) ** window_balance
        if record_weights is not None:
            raw *= record_weights
        labels = np.array([r.is_extraction for r in examples.records])
        for side in (True, False):
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


def cut_windows(windower: Windower, records: Sequence[LabelledRequest]) -> list[Windows]:
    """The windows of every record's request."""
    return [windower.cut(record.request) for record in records]
