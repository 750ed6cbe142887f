"""Windows of tokens instead of a silent cut: every token of a request stands in at least one window.

A short request is one window. A long one is packed greedily; where a segment spills into the next window, its
marker is repeated there and a few tokens overlap, so that a demand on the seam is read whole once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from stillwatch.data.errors import BundleError
from stillwatch.data.records import Request
from stillwatch.model.render import render


@dataclass(frozen=True, slots=True)
class WindowConfig:
    """How requests are cut. `max_tokens` counts special tokens too; `overlap_tokens` are read twice at a seam."""

    max_tokens: int = 256
    overlap_tokens: int = 24


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of one request.

    Attributes:
        ids: token ids of each window, special tokens included.
        num_tokens: tokens of the request, each counted once.
        num_characters: characters of the request.
    """

    ids: tuple[tuple[int, ...], ...]
    num_tokens: int
    num_characters: int


class Windower:
    """Cuts requests into windows with one tokenizer. Thread-safe; holds no state of a request."""

    def __init__(self, tokenizer: Tokenizer, config: WindowConfig) -> None:
        """Take over a tokenizer; its own truncation and padding are switched off."""
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True  # "[SEP]" in a request is five characters of text
        self._tokenizer = tokenizer
        self._overlap = config.overlap_tokens
        self._prefix, self._suffix = _special_tokens(tokenizer)
        self._room = config.max_tokens - len(self._prefix) - len(self._suffix)
        if self._room <= 2 * self._overlap + 8:
            raise BundleError(
                f"max_tokens: {config.max_tokens} leaves no room for text beside an overlap of {self._overlap}; "
                "use larger windows or a smaller overlap"
            )

    @classmethod
    def load(cls, path: Path, config: WindowConfig) -> Windower:
        """Read `tokenizer.json`.

        Raises:
            BundleError: the file is missing or not a tokenizer.
        """
        try:
            tokenizer = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise BundleError(f"{path.name}: not a readable tokenizer; build the bundle again") from error
        if not isinstance(tokenizer, dict) or "model" not in tokenizer:
            raise BundleError(f"{path.name}: JSON, but not a tokenizer; build the bundle again")
        try:
            loaded = Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises nothing narrower
            raise BundleError(
                f"{path.name}: this release of tokenizers cannot read it; upgrade tokenizers or build the bundle again"
            ) from error
        return cls(loaded, config)

    def cut(self, request: Request) -> Windows:
        """The windows of `request`, in reading order, at least one."""
        segments = render(request)
        markers = self._encode([segment.marker for segment in segments])
        texts = self._encode([segment.text for segment in segments])
        windows: list[list[int]] = [[]]
        num_tokens = 0
        for marker, text in zip(markers, texts, strict=True):
            num_tokens += len(marker) + len(text)
            self._pack(windows, marker[:8], text)
        sealed = tuple((*self._prefix, *window, *self._suffix) for window in windows)
        return Windows(sealed, num_tokens, request.num_characters)

    def _pack(self, windows: list[list[int]], marker: list[int], text: list[int]) -> None:
        # A tail of a few tokens would split a sentence for nothing: start a new window instead.
        least = min(len(marker) + len(text), max(self._room // 4, len(marker) + 1))
        if windows[-1] and self._room - len(windows[-1]) < least:
            windows.append([])
        start = 0
        while True:
            windows[-1] += marker
            end = start + self._room - len(windows[-1])
            windows[-1] += text[start:end]
            if end >= len(text):
                return
            start = max(start, end - self._overlap)
            windows.append([])

    def _encode(self, texts: list[str]) -> list[list[int]]:
        return [e.ids for e in self._tokenizer.encode_batch(texts, add_special_tokens=False)]


def _special_tokens(tokenizer: Tokenizer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What the tokenizer puts before and after a text; asked of it, so that no encoder family is assumed."""
    bare = tokenizer.encode("a", add_special_tokens=False).ids
    full = tokenizer.encode("a", add_special_tokens=True).ids
    start = next(i for i in range(len(full) - len(bare) + 1) if full[i : i + len(bare)] == bare)
    return tuple(full[:start]), tuple(full[start + len(bare) :])
