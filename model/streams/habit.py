"""A bounded memory of what an account sent before and how often: two queues of least recent use.

The segmented LRU of Karedla, Love and Wherry (1994): what was sent once waits in a first queue, what was sent again
moves to a second, so that a long run of new skeletons cannot push out those that return. Keys are 24 bits of a hash:
with 240 of them, one look-up in 70,000 finds a key that another fingerprint left.
"""

from __future__ import annotations

import numpy as np

from stillwatch.data.errors import InputError

ONCE_ROOM, AGAIN_ROOM = 120, 120
"""Keys that each queue holds."""

_KEY_BITS = 24
_MOST = 255


class Habit:
    """Counts of an account's own fingerprints, the rarest and oldest forgotten first."""

    __slots__ = ("_again", "_once")

    def __init__(self) -> None:
        """Nothing was sent yet."""
        self._once: dict[int, int] = {}  # dictionaries keep the order of insertion: the first is the oldest
        self._again: dict[int, int] = {}

    def count(self, fingerprint: int) -> int:
        """How often it was sent, 0 when never or forgotten, at most 255."""
        key = _shorten(fingerprint)
        return self._again.get(key) or self._once.get(key, 0)

    def add(self, fingerprint: int) -> None:
        """Note that it was sent once more."""
        key = _shorten(fingerprint)
        before = self._again.pop(key, 0) or self._once.pop(key, 0)
        if not before:
            self._put_once(key, 1)
            return
        if len(self._again) >= AGAIN_ROOM:
            oldest = next(iter(self._again))
            self._put_once(oldest, self._again.pop(oldest))
        self._again[key] = min(before + 1, _MOST)

    def _put_once(self, key: int, count: int) -> None:
        if len(self._once) >= ONCE_ROOM:
            del self._once[next(iter(self._once))]
        self._once[key] = count

    def to_bytes(self) -> bytes:
        """Both queues, oldest first: their lengths, a byte each, then four bytes a key with its count."""
        pairs = [*self._once.items(), *self._again.items()]
        packed = np.array([key << 8 | count for key, count in pairs], "<u4")
        return bytes((len(self._once), len(self._again))) + packed.tobytes()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Habit:
        """Read what `to_bytes` wrote.

        Raises:
            InputError: the lengths do not fit the bytes.
        """
        num_once, num_again = raw[0], raw[1]
        if num_once > ONCE_ROOM or num_again > AGAIN_ROOM or len(raw) != 2 + 4 * (num_once + num_again):
            raise InputError("state", "queues of other lengths than told", "drop this state; the account starts anew")
        packed = np.frombuffer(raw, "<u4", offset=2).tolist()
        habit = cls()
        habit._once = {value >> 8: value & 255 for value in packed[:num_once]}
        habit._again = {value >> 8: value & 255 for value in packed[num_once:]}
        return habit


def _shorten(fingerprint: int) -> int:
    return fingerprint >> (64 - _KEY_BITS)
