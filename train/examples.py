"""Records as training examples: windows of tokens, a label, a technique, attributes; and how they are stacked.

Long requests are not cut to their head: a training step reads the first and the last window and a random draw of
those between, so that a demand in the middle is seen over the epochs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import torch
from torch import Tensor
from torch.utils.data import Dataset

from stillwatch.data.attributes import ATTRIBUTES
from stillwatch.data.labels import TECHNIQUES
from stillwatch.data.records import LabelledRequest
from stillwatch.model.losses import NO_TECHNIQUE
from stillwatch.model.windows import Windower, Windows
from stillwatch.train.variants import Rewriter, TokenDropout


class Example(TypedDict):
    """One request at a training step."""

    windows: tuple[tuple[int, ...], ...]
    label: int
    technique: int
    attributes: tuple[float, ...]
    family: int


class Examples(Dataset[Example]):
    """Labelled windows. With `max_windows`, longer requests give a fresh draw of their windows at every reading."""

    def __init__(
        self,
        records: Sequence[LabelledRequest],
        windows: Sequence[Windows],
        max_windows: int | None = None,
        *,
        rewriter: Rewriter | None = None,
        dropout: TokenDropout | None = None,
    ) -> None:
        """Keep records and their windows, index by index; for training, with other ways to read them."""
        self.records = records
        self.windows = windows
        self._max_windows = max_windows
        self._rewriter = rewriter
        self._dropout = dropout
        numbers: dict[tuple[str, str], int] = {}
        self._families = [numbers.setdefault((r.label, r.family), len(numbers)) for r in records]

    def __len__(self) -> int:
        """How many records."""
        return len(self.records)

    def __getitem__(self, index: int) -> Example:
        """The windows to read now, the label and the technique of one record."""
        record = self.records[index]
        rewritten = self._rewriter.draw(record) if self._rewriter is not None else None
        ids = self.windows[index].ids if rewritten is None else rewritten
        if self._max_windows is not None and len(ids) > self._max_windows:
            ids = tuple(ids[i] for i in _draw_windows(len(ids), self._max_windows))
        if self._dropout is not None:
            ids = tuple(self._dropout.mask(window) for window in ids)
        technique = TECHNIQUES.index(record.technique) if record.is_extraction and record.technique else NO_TECHNIQUE
        return {
            "windows": ids,
            "label": int(record.is_extraction),
            "technique": technique,
            "attributes": _encode_attributes(record.attributes),
            "family": self._families[index],
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
        input_ids, attention_mask = self.stack([example["windows"] for example in examples])
        return {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "labels": torch.tensor([example["label"] for example in examples]),
            "techniques": torch.tensor([example["technique"] for example in examples]),
            "attributes": torch.tensor([example["attributes"] for example in examples]),
            "families": torch.tensor([example["family"] for example in examples]),
        }

    def stack(self, rows: Sequence[tuple[tuple[int, ...], ...]]) -> tuple[Tensor, Tensor]:
        """Token ids and attention mask of requests given as windows, each of shape (requests, windows, tokens)."""
        shape = (len(rows), max(len(row) for row in rows), max(len(ids) for row in rows for ids in row))
        input_ids = torch.full(shape, self.pad_id, dtype=torch.long)
        attention_mask = torch.zeros(shape, dtype=torch.long)
        for i, row in enumerate(rows):
            for j, ids in enumerate(row):
                input_ids[i, j, : len(ids)] = torch.tensor(ids)
                attention_mask[i, j, : len(ids)] = 1
        return input_ids, attention_mask


def cut_windows(windower: Windower, records: Sequence[LabelledRequest]) -> list[Windows]:
    """The windows of every record's request."""
    return [windower.cut(record.request) for record in records]
