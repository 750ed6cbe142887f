"""What was computed lately, so that a growing conversation or a shared system prompt is read once.

Keys are digests under a random secret of this scorer: they mean nothing elsewhere and cannot be looked up from outside.
No text is kept, but token ids are as good as text to whoever reads this process's memory, and so is much of an
embedding: the cache lives in memory alone, is written nowhere, dies with the scorer, empties by `clear`, and is off
with 0 bytes. Results are the same, bit by bit, with and without it. Answers come sooner for what was read lately, so
whoever times the scorer can tell that something was.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from secrets import token_bytes
from threading import Lock

from cachetools import LRUCache

from stillwatch.data.errors import ConfigError

DEFAULT_CACHE_BYTES = 32 * 1024 * 1024
"""Some 11,000 windows of the default bundle and 12,000 messages of 300 characters."""
ENTRY_BYTES = 500
"""What an entry takes at most beside its content: three places in dictionaries, a digest, headers of objects."""
_TEXTS_SHARE = 4  # one part in so many is for texts
_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class CacheUse:
    """How a cache fared so far.

    Attributes:
        hits: look-ups that found something.
        misses: look-ups that did not.
        num_entries: what is kept now.
        num_bytes: what that takes, the bookkeeping included.
        max_bytes: what it may take.
    """

    hits: int
    misses: int
    num_entries: int
    num_bytes: int
    max_bytes: int

    @property
    def hit_rate(self) -> float:
        """Share of look-ups that found something; 0 before the first."""
        return self.hits / max(self.hits + self.misses, 1)


@dataclass(frozen=True, slots=True)
class CacheStats:
    """How the two caches of a scorer fared.

    Attributes:
        windows: what the encoder said of windows.
        texts: messages and other texts, normalised and as token ids.
    """

    windows: CacheUse
    texts: CacheUse

    @property
    def num_bytes(self) -> int:
        """What both take."""
        return self.windows.num_bytes + self.texts.num_bytes


class ByteCache:
    """From content to bytes that were made of it; what was longest unused goes first. Thread-safe."""

    def __init__(self, max_bytes: int) -> None:
        """Keep nothing yet.

        Args:
            max_bytes: most that all entries take, their bookkeeping included; 0 to keep nothing ever.
        """
        self._kept: LRUCache[bytes, bytes] = LRUCache(max_bytes, getsizeof=_measure)
        self._secret = token_bytes(blake2b.MAX_KEY_SIZE)
        self._lock = Lock()
        self._hits = self._misses = 0

    @property
    def is_off(self) -> bool:
        """Whether it keeps nothing ever."""
        return self._kept.maxsize == 0

    def digest(self, content: bytes) -> bytes:
        """The key of a content, for `get` and `put` of this cache alone."""
        return blake2b(content, digest_size=_DIGEST_BYTES, key=self._secret).digest()

    def get(self, key: bytes) -> bytes | None:
        """What was kept under a key, if it still is."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                self._misses += 1
            else:
                self._hits += 1
        return kept

    def put(self, key: bytes, value: bytes) -> None:
        """Keep a value; one that is larger than the whole cache is let go."""
        if _measure(value) <= self._kept.maxsize:
            with self._lock:
                self._kept[key] = value

    def clear(self) -> None:
        """Drop everything; the counts go on."""
        with self._lock:
            self._kept.clear()

    def describe(self) -> CacheUse:
        """How it fared so far."""
        with self._lock:
            kept = self._kept
            return CacheUse(self._hits, self._misses, len(kept), int(kept.currsize), int(kept.maxsize))


class ScoringCache:
    """The two caches of a scorer under one bound: a quarter for texts, the rest for windows."""

    def __init__(self, max_bytes: int) -> None:
        """Keep nothing yet.

        Args:
            max_bytes: most that both take together; 0 to keep nothing ever.

        Raises:
            ConfigError: less than 0.
        """
        if max_bytes < 0:
            raise ConfigError("cache_bytes: a number below 0; give a number of bytes, or 0 to keep nothing")
        self.texts = ByteCache(max_bytes // _TEXTS_SHARE)
        self.windows = ByteCache(max_bytes - max_bytes // _TEXTS_SHARE)

    def stats(self) -> CacheStats:
        """How both fared so far."""
        return CacheStats(windows=self.windows.describe(), texts=self.texts.describe())

    def clear(self) -> None:
        """Drop everything; the counts go on."""
        self.windows.clear()
        self.texts.clear()


def _measure(value: bytes) -> int:
    return len(value) + ENTRY_BYTES
