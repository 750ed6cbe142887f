"""Other ways to read a training request, drawn anew at every reading: written otherwise, or with tokens masked.

Nothing is stored: a variant is rendered and cut into windows when it is drawn. Draws come from torch's generator, so
that a fit repeats them under the same seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer

from stillwatch.data.errors import EncoderError
from stillwatch.data.records import LabelledRequest
from stillwatch.data.transforms import transform
from stillwatch.model.windows import Windower

Window = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Rewriter:
    """Reads a share of the requests through a transform of random kind and strength.

    Attributes:
        share: of the readings that are transformed.
        names: transforms of `data/transforms.py` to draw from.
        windower: cuts what comes out.
    """

    share: float
    names: Sequence[str]
    windower: Windower

    def draw(self, record: LabelledRequest) -> tuple[Window, ...] | None:
        """The windows of a variant of the record, or None where this reading is of the record as it is."""
        if float(torch.rand(())) >= self.share:
            return None
        name = self.names[int(torch.randint(len(self.names), ()))]
        strength = 1.0 - float(torch.rand(()))  # above 0
        seed = int(torch.randint(2**31, ()))
        return self.windower.cut(transform(record, name, strength=strength, seed=seed).request).ids


@dataclass(frozen=True, slots=True)
class TokenDropout:
    """Masks tokens of a window; those that the tokenizer itself puts in are left.

    Attributes:
        share: of the tokens, each drawn on its own.
        mask_id: what stands in their place.
        special_ids: tokens that stay.
    """

    share: float
    mask_id: int
    special_ids: frozenset[int]

    @classmethod
    def load(cls, tokenizer_file: Path, share: float) -> TokenDropout:
        """Ask a tokenizer for its mask, or where it has none for its unknown token.

        Raises:
            EncoderError: it has neither.
        """
        added = Tokenizer.from_file(str(tokenizer_file)).get_added_tokens_decoder()
        special = {index: token.content.lower() for index, token in added.items() if token.special}
        for sign in ("mask", "unk"):
            if found := [index for index, content in special.items() if sign in content]:
                return cls(share, found[0], frozenset(special))
        raise EncoderError(
            "fit.token_dropout: the encoder's tokenizer has no mask and no unknown token; leave it out for this encoder"
        )

    def mask(self, window: Window) -> Window:
        """The window with a fresh draw of its tokens masked."""
        drawn = (torch.rand(len(window)) < self.share).tolist()
        return tuple(
            self.mask_id if hit and token not in self.special_ids else token
            for token, hit in zip(window, drawn, strict=True)
        )
