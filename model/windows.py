"""Windows of tokens instead of a silent cut: every token of a request stands in at least one window.

A short request is one window. A long one is packed greedily; where a segment spills into the next window, its
marker is repeated there and a few tokens overlap, so that a demand on the seam is read whole once. The passages of a
long request (paragraphs, or lines and sentences where those are long) are noted beside its windows: a demand that
drowns in the innocent text of its window can then be read on its own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tokenizers import Tokenizer

from stillwatch.data.errors import BundleError
from stillwatch.data.records import Request
from stillwatch.model.cache import ByteCache
from stillwatch.model.normalise import Traces
from stillwatch.model.render import DECODED, Place, iter_segments, mark
from stillwatch.model.texts import TextReader

MAX_MARKER = 8
"""Tokens of a marker that are repeated in each window."""
_LONG = 4
"""A request of more characters than this many times the tokens of a window has passages."""


@dataclass(frozen=True, slots=True)
class WindowConfig:
    """How requests are cut. `max_tokens` counts special tokens too; `overlap_tokens` are read twice at a seam."""

    max_tokens: int = 256
    overlap_tokens: int = 24


@dataclass(frozen=True, slots=True)
class Passage:
    """A paragraph or a part of one.

    Attributes:
        ids: its token ids.
        segment: index of the segment that it stands in.
        window: index of the window that it begins in.
    """

    ids: tuple[int, ...]
    segment: int
    window: int


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of one request.

    Attributes:
        ids: token ids of each window, special tokens included.
        num_tokens: tokens of the request, each counted once.
        num_characters: characters of the request.
        traces: what normalising undid before the cut.
        passages: of a long request, in reading order; none of a short one.
        markers: token ids of each segment's marker, where there are passages.
        segments: for each window, the index of the segment that fills most of it.
        places: where in the request each segment stands.
    """

    ids: tuple[tuple[int, ...], ...]
    num_tokens: int
    num_characters: int
    traces: Traces = field(default_factory=Traces)
    passages: tuple[Passage, ...] = ()
    markers: tuple[tuple[int, ...], ...] = ()

    segments: tuple[int, ...] = ()
    places: tuple[Place, ...] = ()

    @property
    def margins(self) -> tuple[float, ...]:
        """What is taken off the logit of each window: nothing."""
        return (0.0,) * len(self.ids)


class Windower:
    """Cuts requests into windows with one tokenizer. Thread-safe; holds no state of a request but in `texts`."""

    def __init__(self, tokenizer: Tokenizer, config: WindowConfig, texts: ByteCache | None = None) -> None:
        """Take over a tokenizer; its own truncation and padding are switched off.

        Args:
            tokenizer: of the encoder.
            config: how to cut.
            texts: where texts that were read are remembered; None to remember nothing.
        """
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True  # "[SEP]" in a request is five characters of text
        self._reader = TextReader(tokenizer, texts)
        self._markers: dict[str, list[int]] = {}
        self.config = config
        self._overlap = config.overlap_tokens
        self._prefix, self._suffix = _special_tokens(tokenizer)
        self._room = config.max_tokens - len(self._prefix) - len(self._suffix)
        if self._room <= 2 * self._overlap + 8:
            raise BundleError(
                f"max_tokens: {config.max_tokens} leaves no room for text beside an overlap of {self._overlap}; "
                "use larger windows or a smaller overlap"
            )

    @classmethod
    def load(cls, path: Path, config: WindowConfig, texts: ByteCache | None = None) -> Windower:
        """Read `tokenizer.json`.

        Args:
            path: the file.
            config: how to cut.
            texts: as for the constructor.

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
        return cls(loaded, config, texts)

    def cut(self, request: Request) -> Windows:
        """The windows of `request`, in reading order, at least one."""
        raw = list(iter_segments(request))
        is_long = sum(len(segment.text) for segment in raw) > _LONG * self.config.max_tokens
        texts = self._reader.read([segment.text for segment in raw], in_passages=is_long)
        segments: list[tuple[str, list[list[int]], Place]] = []
        traces = Traces()
        for segment, text in zip(raw, texts, strict=True):
            segments.append((mark(segment.marker, text.traces), text.parted, segment.place))
            segments += [(DECODED, parted, segment.place) for parted in text.decoded]
            traces += text.traces
        markers = [self._encode_marker(name) for name, _, _ in segments]
        windows: list[list[int]] = [[]]
        passages: list[Passage] = []
        fullest: dict[int, tuple[int, int]] = {}  # by window, tokens and index of the segment that has most of it
        num_tokens = 0
        for number, ((name, parted, _), marker) in enumerate(zip(segments, markers, strict=True)):
            num_tokens += len(marker) + sum(map(len, parted))
            if name == DECODED and windows[-1]:
                windows.append([])  # beside the blob that it was found in it would drown
            first, before = len(windows) - 1, len(windows[-1])
            ends = self._pack(windows, marker[:MAX_MARKER], [token for ids in parted for token in ids])
            for window in range(first, len(windows)):
                added = len(windows[window]) - (before if window == first else 0)
                if added > fullest.get(window, (0, 0))[0]:
                    fullest[window] = added, number
            if is_long:
                passages += _note_passages(parted, number, ends)
        return Windows(
            ids=tuple(self.seal(window) for window in windows),
            num_tokens=num_tokens,
            num_characters=request.num_characters,
            traces=traces,
            passages=tuple(passages),
            markers=tuple(tuple(marker[:MAX_MARKER]) for marker in markers) if is_long else (),
            segments=tuple(fullest.get(window, (0, 0))[1] for window in range(len(windows))),
            places=tuple(place for _, _, place in segments),
        )

    @property
    def room(self) -> int:
        """Tokens of text and markers that fit into a window."""
        return self._room

    def encode(self, text: str) -> list[int]:
        """Token ids of a text as it stands, without special tokens."""
        return self._reader.encode([text])[0]

    def seal(self, ids: Sequence[int]) -> tuple[int, ...]:
        """Token ids between the special tokens of the encoder."""
        return (*self._prefix, *ids, *self._suffix)

    def _encode_marker(self, marker: str) -> list[int]:
        """Token ids of a marker; there are but a few, and each is encoded once."""
        if marker not in self._markers:
            self._markers[marker] = self.encode(marker)
        return self._markers[marker]

    def _pack(self, windows: list[list[int]], marker: list[int], text: list[int]) -> list[tuple[int, int]]:
        """Add a segment; returns up to which of its tokens each window reads, and the index of the window."""
        # A tail of a few tokens would split a sentence for nothing: start a new window instead.
        least = min(len(marker) + len(text), max(self._room // 4, len(marker) + 1))
        if windows[-1] and self._room - len(windows[-1]) < least:
            windows.append([])
        start = 0
        ends: list[tuple[int, int]] = []
        while True:
            windows[-1] += marker
            end = start + self._room - len(windows[-1])
            windows[-1] += text[start:end]
            ends.append((end, len(windows) - 1))
            if end >= len(text):
                return ends
            start = max(start, end - self._overlap)
            windows.append([])


def _note_passages(parted: list[list[int]], segment: int, ends: list[tuple[int, int]]) -> list[Passage]:
    passages, place, at = [], 0, 0
    for ids in parted:
        while at + 1 < len(ends) and ends[at][0] <= place:
            at += 1
        passages.append(Passage(tuple(ids), segment, ends[at][1]))
        place += len(ids)
    return passages


def _special_tokens(tokenizer: Tokenizer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What the tokenizer puts before and after a text; asked of it, so that no encoder family is assumed."""
    bare = tokenizer.encode("a", add_special_tokens=False).ids
    full = tokenizer.encode("a", add_special_tokens=True).ids
    start = next(i for i in range(len(full) - len(bare) + 1) if full[i : i + len(bare)] == bare)
    return tuple(full[:start]), tuple(full[start + len(bare) :])
