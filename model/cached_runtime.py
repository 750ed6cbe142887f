"""A runtime that remembers what it said of windows: the same outputs, bit by bit, without running the network again."""

from __future__ import annotations

from struct import Struct

import numpy as np

from stillwatch.data.errors import BundleError
from stillwatch.model.cache import ByteCache
from stillwatch.model.runtimes import IntArray, Runtime, WindowOutputs

_WIDTHS = Struct("<2I")


class CachedRuntime:
    """Stands before a runtime that reads one window a call; what such a runtime says depends on the window alone."""

    def __init__(self, inner: Runtime, cache: ByteCache) -> None:
        """Take over a runtime.

        Args:
            inner: what runs the network.
            cache: of this runtime alone.

        Raises:
            BundleError: the runtime reads several windows a call, so that their company would show in the last bits.
        """
        if inner.max_batch != 1:
            raise BundleError(f"{inner.name}: reads {inner.max_batch} windows a call; only single windows are cached")
        self._inner, self._cache = inner, cache
        self.name, self.precision, self.max_batch = inner.name, inner.precision, 1

    def run(self, input_ids: IntArray, attention_mask: IntArray) -> WindowOutputs:
        """Score windows; see `Runtime.run`. Several at once go past the cache."""
        if len(input_ids) != 1:
            return self._inner.run(input_ids, attention_mask)
        key = self._cache.digest(input_ids.tobytes() + attention_mask.tobytes())
        if (kept := self._cache.get(key)) is not None:
            return _unpack(kept)
        found = self._inner.run(input_ids, attention_mask)
        self._cache.put(key, _pack(found))
        return found


def _pack(found: WindowOutputs) -> bytes:
    row = np.concatenate((found.extraction, *found.techniques, *found.attributes, *found.embedding), dtype=np.float32)
    return _WIDTHS.pack(found.techniques.shape[1], found.attributes.shape[1]) + row.tobytes()


def _unpack(kept: bytes) -> WindowOutputs:
    num_techniques, num_attributes = _WIDTHS.unpack_from(kept)
    row = np.frombuffer(kept, np.float32, offset=_WIDTHS.size)[None]
    ends = (1, 1 + num_techniques, 1 + num_techniques + num_attributes)
    return WindowOutputs(row[0, :1], row[:, ends[0] : ends[1]], row[:, ends[1] : ends[2]], row[:, ends[2] :])
