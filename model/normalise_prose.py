"""Does a text read as prose of the Latin alphabet? A cheap test by pairs of letters; it knows no word.

The table is counted over the project's own authored requests. Text of other alphabets cannot be judged here and is
never called gibberish. The test tells rot13 and random letters from prose; it does not tell languages apart.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TABLE = Path(__file__).parent / "letters" / "bigrams.json"
MOST_BITS = 5.0
"""Bits a letter, given the one before it: prose takes 3.5 to 4.2, random letters 7 and more."""
LEAST_GAIN = 1.0
"""Bits a letter that undoing rot13 must save before a line is taken for it."""
_LEAST_LETTERS = 24

WORD_RUNS = {1: 5, 2: 11, 4: 11}
"""Length of words, and how many in a row are looked for: letters spelt out, pairs of hex digits, the same with 0x."""
_LEAST_RUN = 9

Bytes = NDArray[np.uint8]


@cache
def _load_classes() -> Bytes:
    """From a byte to 0 .. 25 for a letter in either case, 26 for anything else."""
    classes = np.full(256, 26, np.uint8)
    classes[ord("A") : ord("Z") + 1] = classes[ord("a") : ord("z") + 1] = np.arange(26)
    return classes


@cache
def _load_alphanumerics() -> NDArray[np.int8]:
    """From a byte to 1 for an ASCII letter or digit, else 0."""
    return np.array([chr(code).isalnum() and code < 128 for code in range(256)], np.int8)


@cache
def _load_bits() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Bits by pair of classes, shape (27 * 27,): of a text as it stands, and after undoing rot13."""
    rows = json.loads(TABLE.read_text("utf-8"))["bits"]
    bits = np.array([[int(digit, 16) for digit in row] for row in rows], np.float32)
    turned = np.array([*((np.arange(26) + 13) % 26), 26])
    return bits.ravel(), bits[np.ix_(turned, turned)].ravel()


def reads_as_prose(text: str, *, least_letters: int = _LEAST_LETTERS) -> bool:
    """Whether the letters of `text` follow one another as in prose; false where there are fewer than that many."""
    classes = _load_classes()[np.frombuffer(text.encode("ascii", "replace"), np.uint8)]
    if np.count_nonzero(classes < 26) < least_letters:
        return False
    counted = classes[1:] < 26
    pairs = classes[:-1].astype(np.int16) * 27 + classes[1:]
    return bool(_load_bits()[0][pairs[counted]].mean() <= MOST_BITS)


def find_word_runs(text: str) -> frozenset[int]:
    """Which lengths of `WORD_RUNS` come as many times in a row, with few signs between the words.

    A quick look before slow searches; letters beyond ASCII count as signs.
    """
    if len(text) < _LEAST_RUN:
        return frozenset()
    codes = np.frombuffer(text.encode("ascii", "replace"), np.uint8)
    borders = np.flatnonzero(np.diff(_load_alphanumerics()[codes], prepend=0, append=0))
    starts, lengths = borders[::2], borders[1::2] - borders[::2]
    found = set()
    for length, count in WORD_RUNS.items():
        chosen = np.flatnonzero(lengths == length)
        if len(chosen) >= count:
            first, last = chosen[: len(chosen) - count + 1], chosen[count - 1 :]
            is_run = (last - first == count - 1) & (starts[last] - starts[first] <= (length + 4) * count)
            found |= {length} if is_run.any() else set()
    return frozenset(found)


def find_rotated_lines(text: str) -> tuple[str, ...]:
    """Lines that read as prose after undoing rot13 and not before, as they stand; short ones only beside longer."""
    codes = np.frombuffer(text.encode("ascii", "replace"), np.uint8)  # a byte for every character
    classes = _load_classes()[codes]
    if len(classes) < _LEAST_LETTERS:
        return ()
    pairs = classes[:-1].astype(np.int16) * 27 + classes[1:]
    counted = classes[1:] < 26
    plain, turned = (np.where(counted, bits[pairs], 0) for bits in _load_bits())
    ends = np.append(np.flatnonzero(codes[:-1] == ord("\n")), len(pairs))
    starts = np.concatenate([[0], ends[:-1]])
    whole = ends > starts
    starts, ends = starts[whole], ends[whole]
    letters = np.add.reduceat(counted, starts, dtype=np.int64)
    before, after = np.add.reduceat(plain, starts), np.add.reduceat(turned, starts)
    rotated = (letters >= _LEAST_LETTERS) & (after <= MOST_BITS * letters) & (before - after >= LEAST_GAIN * letters)
    if rotated.any():
        rotated |= after < before
    return tuple(text[starts[i] : ends[i] + 1].strip("\n") for i in np.flatnonzero(rotated))
