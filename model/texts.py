"""A text as token ids: normalised, cut to passages where its request is long, and remembered where there is a cache.

Texts are read together, so that the tokenizer is called once for all that are new. What comes from the cache is what
reading again would give.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from itertools import accumulate, pairwise

import numpy as np
from tokenizers import Tokenizer

from stillwatch.model.cache import ByteCache
from stillwatch.model.normalise import Traces, normalise

_LEAST_PASSAGE, _PART, _MOST_PASSAGE = 60, 240, 700
"""Characters: a shorter paragraph joins the next one, a longer one is cut to parts of about so many."""
_BORDERS = tuple(
    map(re.compile, (r"\n[^\S\n]*\n\s*", r"\n\s*", r"(?:[.!?][\"')\]]*\s+|[\u3002\uff01\uff1f]\s*)", r"\s+"))
)
_NUM_TRACES = len(fields(Traces))


@dataclass(frozen=True, slots=True)
class ReadText:
    """A text as token ids.

    Attributes:
        traces: what normalising undid.
        parted: token ids of each of its passages, or of the whole where it was not cut.
        decoded: the same for each text that was decoded from it.
    """

    traces: Traces
    parted: list[list[int]]
    decoded: list[list[list[int]]]


class TextReader:
    """Reads texts with one tokenizer. Thread-safe."""

    def __init__(self, tokenizer: Tokenizer, cache: ByteCache | None = None) -> None:
        """Take over a tokenizer.

        Args:
            tokenizer: without truncation and padding.
            cache: of this tokenizer alone; None to read everything each time.
        """
        self._tokenizer = tokenizer
        self._cache = None if cache is None or cache.is_off else cache
        self._ids = np.dtype(np.uint16 if tokenizer.get_vocab_size() <= 2**16 else np.uint32)

    def read(self, texts: Sequence[str], *, in_passages: bool) -> list[ReadText]:
        """Texts as token ids, in order.

        Args:
            texts: as they came.
            in_passages: whether to cut them.
        """
        if self._cache is None:
            return self._read_anew(texts, in_passages)
        keys = [self._cache.digest(bytes([in_passages]) + text.encode("utf-8", "surrogatepass")) for text in texts]
        kept = {key: self._cache.get(key) for key in dict.fromkeys(keys)}
        found = {key: self._unpack(value) for key, value in kept.items() if value is not None}
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        for key, text in zip(new, self._read_anew(list(new.values()), in_passages), strict=True):
            found[key] = text
            self._cache.put(key, self._pack(text))
        return [found[key] for key in keys]

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of texts as they stand, without special tokens."""
        return [e.ids for e in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def _read_anew(self, texts: Sequence[str], in_passages: bool) -> list[ReadText]:
        normalised = [normalise(text) for text in texts]
        wholes = [whole for each in normalised for whole in (each.text, *each.decoded)]
        parts = [split_passages(whole) if in_passages else [whole] for whole in wholes]
        ids = iter(self.encode([part for each in parts for part in each]))
        read = iter([[next(ids) for _ in each] for each in parts])
        return [ReadText(each.traces, next(read), [next(read) for _ in each.decoded]) for each in normalised]

    def _pack(self, text: ReadText) -> bytes:
        """Counts first: traces, texts, parts of each text, tokens of each part; then all token ids."""
        texts = [text.parted, *text.decoded]
        parts = [part for each in texts for part in each]
        counts = [*astuple(text.traces), len(texts), *map(len, texts), *map(len, parts)]
        ids = np.fromiter((token for part in parts for token in part), self._ids, sum(map(len, parts)))
        return np.array(counts, np.uint32).tobytes() + ids.tobytes()

    def _unpack(self, kept: bytes) -> ReadText:
        *traces, num_texts = np.frombuffer(kept, np.uint32, _NUM_TRACES + 1).tolist()
        place = 4 * (_NUM_TRACES + 1)
        nums_parts = np.frombuffer(kept, np.uint32, num_texts, place).tolist()
        place += 4 * num_texts
        lengths = np.frombuffer(kept, np.uint32, sum(nums_parts), place).tolist()
        ids = np.frombuffer(kept, self._ids, -1, place + 4 * len(lengths)).tolist() if any(lengths) else []
        parts = [ids[start:end] for start, end in pairwise(accumulate(lengths, initial=0))]
        texts = [parts[start:end] for start, end in pairwise(accumulate(nums_parts, initial=0))]
        return ReadText(Traces(*traces), texts[0], texts[1:])


def split_passages(text: str) -> list[str]:
    """A text in paragraphs, and long paragraphs in lines, sentences or words; together they are the whole text."""
    parts = _split(text, _BORDERS[0], _LEAST_PASSAGE)
    for border in _BORDERS[1:]:
        parts = [
            each for part in parts for each in ([part] if len(part) <= _MOST_PASSAGE else _split(part, border, _PART))
        ]
    return parts


def _split(text: str, border: re.Pattern[str], least: int) -> list[str]:
    """Cut behind borders, into parts of at least so many characters but for the last."""
    parts, start = [], 0
    for match in border.finditer(text):
        if match.end() - start >= least:
            parts.append(text[start : match.end()])
            start = match.end()
    return [*parts, text[start:]] if start < len(text) or not parts else parts
