"""A text as it was meant: Unicode in one form, hidden characters gone, look-alikes folded, encoded text read too.

Undoes the disguises of `data/disguises.py` and their like, and counts what it undid: the counts are evidence, and are
all that leaves this module beside the text. Text of one script comes out unchanged but for NFKC (full-width forms
become plain ones, ligatures letters). Plain ASCII passes at tens of megabytes a second. Misspellings, leetspeak,
reversed text and ciphers beyond rot13 are left to the encoder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields

from stillwatch.model.normalise_blobs import Blob, Encoding, iter_blobs
from stillwatch.model.normalise_letters import (
    compose_letters,
    fold_look_alikes,
    join_letters,
    read_smuggled,
    remove_hidden,
)
from stillwatch.model.normalise_prose import find_word_runs

MAX_DEPTH = 2
"""How many encodings, one inside the other, are undone."""
MAX_DECODED = 500_000
"""Characters of decoded text that are read of one text; blobs beyond are counted in `Traces.skipped`."""

MOST_APART = 32
"""Decoded texts of one text that are read one by one; those beyond are read together, so that a page of scraps costs
no more than a page."""
_MOST_SKIPPED = 1000  # counted; what comes after them is not looked at

LEAST_HIDDEN = 24
LEAST_WORDS = 8
LEAST_DISGUISED = 80
"""Counts from which hiding is called so. Of 7,500 honest requests of 23 public sources one in 7,500 reached any."""

_ENCLOSED = {chr(start + i): chr(ord("A") + i) for start in (0x1F150, 0x1F170) for i in range(26)}
_ENCLOSED_LETTER = re.compile(f"[{''.join(_ENCLOSED)}]")
"""Letters in circles and squares that NFKC leaves as they are."""


@dataclass(frozen=True, slots=True)
class Traces:
    """What was undone, as counts. They add up.

    Attributes:
        hidden_characters: characters without a picture that no script called for.
        look_alike_words: words that mixed scripts and were folded.
        spelt_words: words that were spelt out letter by letter and joined.
        decoded_blobs: texts that were decoded, in any encoding.
        disguised_characters: characters of decoded prose that nothing called to encode.
        skipped_blobs: texts that were not decoded because too much had been.
    """

    hidden_characters: int = 0
    look_alike_words: int = 0
    spelt_words: int = 0
    decoded_blobs: int = 0
    disguised_characters: int = 0
    skipped_blobs: int = 0

    @property
    def hides_characters(self) -> bool:
        """Whether there are more hidden characters than copying from pages and files leaves behind."""
        return self.hidden_characters >= LEAST_HIDDEN

    @property
    def swaps_letters(self) -> bool:
        """Whether more words mix scripts, or are spelt out, than slips and word games explain."""
        return self.look_alike_words >= LEAST_WORDS or self.spelt_words >= LEAST_WORDS

    @property
    def encodes_text(self) -> bool:
        """Whether there is more prose in needless encodings than a name or a greeting."""
        return self.disguised_characters >= LEAST_DISGUISED

    @property
    def is_disguised(self) -> bool:
        """Whether any of the three holds."""
        return self.hides_characters or self.swaps_letters or self.encodes_text

    def __add__(self, other: Traces) -> Traces:
        """Count both."""
        return Traces(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(Traces)))


@dataclass(frozen=True, slots=True)
class Normalised:
    """A text as it was meant.

    Attributes:
        text: the text itself; encoded parts stay where they stand.
        decoded: what those parts say, in the order of their finding.
        traces: what was undone.
    """

    text: str
    decoded: tuple[str, ...]
    traces: Traces


def normalise(text: str) -> Normalised:
    """Undo what hides a text from a reader of its tokens."""
    clear, traces, word_runs = _clear(text)
    decoded: list[str] = []
    num_read = 0
    outer = [(text, clear, word_runs)]
    for _ in range(MAX_DEPTH):
        found: list[str] = []
        num_disguised, num_skipped = 0, 0
        for blob in (blob for each in outer for blob in _iter_blobs(*each)):
            if num_read + len(blob.text) > MAX_DECODED:
                num_skipped += 1
                if num_skipped == _MOST_SKIPPED:
                    break
                continue
            num_read += len(blob.text)
            num_disguised += len(blob.text) if blob.is_disguise else 0
            found.append(blob.text)
        traces += Traces(decoded_blobs=len(found), disguised_characters=num_disguised, skipped_blobs=num_skipped)
        if len(found) > MOST_APART:
            found[MOST_APART:] = ["\n".join(found[MOST_APART:])]
        outer = []
        for each in found:
            inner, inner_traces, word_runs = _clear(each)
            decoded.append(inner)
            traces += inner_traces
            outer.append((each, inner, word_runs))
    return Normalised(clear, tuple(decoded), traces)


def _clear(text: str) -> tuple[str, Traces, frozenset[int]]:
    visible, num_hidden = remove_hidden(text)
    num_folded, num_joined = 0, 0
    if not visible.isascii():
        visible = _ENCLOSED_LETTER.sub(lambda match: _ENCLOSED[match.group()], visible)
        # Before NFKC, which turns some look-alikes into letters that look like no other.
        visible, num_folded = fold_look_alikes(visible)
        visible = compose_letters(visible)
    word_runs = find_word_runs(visible)
    if 1 in word_runs:
        visible, num_joined = join_letters(visible)
    return visible, Traces(num_hidden, num_folded, num_joined), word_runs


def _iter_blobs(raw: str, clear: str, word_runs: frozenset[int]) -> Iterator[Blob]:
    yield from iter_blobs(clear, word_runs)
    if not raw.isascii() and (smuggled := read_smuggled(raw)):
        yield Blob(Encoding.INVISIBLE, smuggled, is_disguise=True)
