"""Finds texts that are nearly the same, by MinHash and locality-sensitive hashing.

Broder (1997), "On the resemblance and containment of documents"; Leskovec, Rajaraman and Ullman, "Mining of
Massive Datasets", chapter 3; the index is datasketch's. Texts are compared as sets of five-character shingles
after folding case, digits and white space, so any script will do. The similarity is estimated from 128
permutations (standard error 0.035 at 0.8), so pairs near the threshold may be missed or added.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
from datasketch import MinHash, MinHashLSH
from numpy.typing import NDArray

from stillwatch.data.clusters import Clusters
from stillwatch.data.errors import ConfigError

NUM_PERMUTATIONS = 128
"""Values in a signature."""

SHINGLE = 5
"""Characters in a shingle."""

_DIGITS = re.compile(r"\d+")
_BLOCK = 2048  # shingles permuted at once, so that the working set stays in the cache
_FACTOR = 0x9E3779B1  # odd, 2^32 over the golden ratio

Hashes = NDArray[np.uint32]


def fold(text: str) -> str:
    """The text as it is compared: case folded, a run of digits as one zero, white space as one blank."""
    return " ".join(_DIGITS.sub("0", text.casefold()).split())


def near_duplicates(texts: Sequence[str], *, threshold: float = 0.8) -> list[tuple[int, int]]:
    """Pairs of near-duplicate texts that span the groups of such texts.

    Not every pair is named: one is left out where the pairs before it join its two texts already, so that a
    group of n texts gives n - 1 pairs. Texts without a visible character have no duplicates.

    Args:
        texts: the texts.
        threshold: Jaccard similarity of the shingle sets from which two texts count as near-duplicates.

    Returns:
        pairs of indices, the lesser first, in rising order.

    Raises:
        ConfigError: the threshold is not between 0.5 and 0.95.
    """
    if not 0.5 <= threshold <= 0.95:
        raise ConfigError("threshold: a similarity outside its range; choose one from 0.5 to 0.95")
    representatives: dict[str, int] = {}
    clusters = Clusters(len(texts))
    pairs = []
    for index, text in enumerate(texts):
        folded = fold(text)
        first = representatives.setdefault(folded, index) if folded else index
        if clusters.join(first, index):
            pairs.append((first, index))
    for first, index in _iter_similar(representatives, threshold):
        if clusters.join(first, index):
            pairs.append((first, index))
    return sorted(pairs)


def _iter_similar(indices: dict[str, int], threshold: float) -> Iterator[tuple[int, int]]:
    """Pairs of texts whose signatures agree in at least `threshold` of their values."""
    index = _Index(threshold, len(indices))
    names = list(indices.values())
    for row, text in enumerate(indices):
        for candidate in index.add(text):
            yield names[candidate], names[row]


class Distinct:
    """Remembers texts, and tells of each whether it is nearly the same as one before.

    Args:
        threshold: see `near_duplicates`.
    """

    def __init__(self, threshold: float = 0.8) -> None:
        """Remember nothing yet."""
        self._index = _Index(threshold)
        self._seen: set[str] = set()

    def add(self, text: str) -> bool:
        """Remember a text; False where it is a near-duplicate, which is then not remembered."""
        folded = fold(text)
        if folded in self._seen or self._index.add(folded, keep_similar=False):
            return False
        self._seen.add(folded)
        return True


class _Index:
    """Signatures of folded texts, numbered from 0, with their bands for look-up."""

    def __init__(self, threshold: float, room: int = 16) -> None:
        self._threshold = threshold
        self._permutations = MinHash(num_perm=NUM_PERMUTATIONS, scheme="affine32").permutations
        self._bands = MinHashLSH(threshold=threshold, num_perm=NUM_PERMUTATIONS, weights=(0.2, 0.8))
        self._signatures = np.empty((max(room, 1), NUM_PERMUTATIONS), dtype=np.uint32)
        self._size = 0

    def add(self, folded: str, *, keep_similar: bool = True) -> list[int]:
        """Add a text and give the numbers of those before that are similar to it, in rising order."""
        signature = _sign(_hash_shingles(folded), self._permutations)
        sketch = MinHash(hashvalues=signature, permutations=self._permutations, scheme="affine32")
        similar = []
        candidates = sorted(self._bands.query(sketch))
        if candidates:
            agreement = (self._signatures[candidates] == signature).mean(axis=1)
            similar = [c for c, share in zip(candidates, agreement.tolist(), strict=True) if share >= self._threshold]
        if keep_similar or not similar:
            if self._size == len(self._signatures):
                self._signatures = np.concatenate([self._signatures, np.empty_like(self._signatures)])
            self._signatures[self._size] = signature
            self._bands.insert(self._size, sketch, check_duplication=False)
            self._size += 1
        return similar


def _hash_shingles(text: str) -> Hashes:
    """The distinct hashes of a text's shingles; a shorter text is one shingle."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    width = min(SHINGLE, len(codes))
    hashes = np.zeros(len(codes) - width + 1, dtype=np.uint32)
    for offset in range(width):
        hashes = (hashes ^ codes[offset : offset + len(hashes)]) * np.uint32(_FACTOR)
        hashes ^= hashes >> np.uint32(15)
    return np.unique(hashes)


def _sign(hashes: Hashes, permutations: NDArray[np.uint32]) -> Hashes:
    """The least value of each permutation over the hashes, of shape (NUM_PERMUTATIONS,)."""
    factors, offsets = permutations
    signature = np.full(NUM_PERMUTATIONS, np.iinfo(np.uint32).max, dtype=np.uint32)
    for start in range(0, len(hashes), _BLOCK):
        block = hashes[start : start + _BLOCK, None] * factors + offsets
        signature = np.minimum(signature, block.min(axis=0))
    return signature
