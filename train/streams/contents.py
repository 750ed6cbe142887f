"""What the request model says of the requests of streams, each content encoded once and kept on disk.

A simulator fills slots and grows conversations, so a million requests hold nearly a million contents. Encoding all
of them is what a gateway does and what a simulation cannot afford. Requests are sorted into classes: the same
family, language, number of turns (1-2, 3-4, 5-10, more) and the presence of tools. Of each class the first
`per_class` contents are encoded exactly, of longer conversations, which cost many times as much, half and a quarter as
many; a later one is given the outputs of one of them, chosen by its hash, and counts as a stand-in. So every output is
that of a real request of the same family and form, equal contents always have equal outputs, and an account that
repeats one family sees at most `per_class` different embeddings of it.
Everything else about a request (shape, fingerprints, time, sampling) is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stillwatch.data.records import LabelledRequest, Request
from stillwatch.model.logits import RequestLogits
from stillwatch.model.scorer import Scorer

_TURNS = (2, 4, 10)  # upper bounds of the classes of length
_LEAST = 2  # contents of any class
_AT_ONCE = 64  # contents handed to a thread


@dataclass(frozen=True, slots=True)
class Counted:
    """How many requests were seen, and how many of them had outputs of their own content."""

    num_requests: int
    num_exact: int
    num_contents: int
    num_classes: int


class Contents:
    """A growing table of encoded contents; a request is known by its row."""

    def __init__(self, scorer: Scorer, *, per_class: int, folder: Path | None, num_threads: int = 1) -> None:
        """Open the table.

        Args:
            scorer: the request model.
            per_class: contents encoded of each class.
            folder: where encodings are kept between runs, one file a bundle; None keeps nothing.
            num_threads: contents encoded at a time.
        """
        self.scorer, self.per_class, self.num_threads = scorer, per_class, num_threads
        self._file = folder / f"{scorer.bundle.version}.npz" if folder is not None else None
        self._classes: dict[tuple[object, ...], list[int]] = {}
        self._rows: dict[bytes, int] = {}
        self._waiting: list[tuple[bytes, Request]] = []
        self._known: dict[bytes, RequestLogits] = self._load()
        self._outputs: dict[int, RequestLogits] = {}
        self._num_requests = self._num_exact = 0

    def place(self, record: LabelledRequest) -> int:
        """The row whose outputs a request gets; `encode` fills it."""
        request = record.request
        turns = sum(len(request.messages) > bound for bound in _TURNS)
        rows = self._classes.setdefault((record.family, record.lang, turns, bool(request.tools)), [])
        digest = _digest(request)
        self._num_requests += 1
        row = self._rows.get(digest)
        if row is None and len(rows) < max(self.per_class >> turns, _LEAST):
            row = self._rows[digest] = len(self._rows)
            rows.append(row)
            if digest in self._known:
                self._outputs[row] = self._known[digest]
            else:
                self._waiting.append((digest, request))
        if row is None:
            return rows[int.from_bytes(digest[:4], "big") % len(rows)]
        self._num_exact += 1
        return row

    @property
    def num_waiting(self) -> int:
        """Contents that `encode` has still to run through the model."""
        return len(self._waiting)

    def encode(self, on_progress: Callable[[int], None] | None = None) -> None:
        """Encode what waits, and write the file.

        Args:
            on_progress: called with the number of contents done since the last call.
        """
        parts = [self._waiting[start : start + _AT_ONCE] for start in range(0, len(self._waiting), _AT_ONCE)]
        with ThreadPoolExecutor(self.num_threads) as threads:
            for part, outputs in zip(parts, threads.map(self._encode, parts), strict=True):
                for (digest, _), output in zip(part, outputs, strict=True):
                    self._known[digest] = output
                    self._outputs[self._rows[digest]] = output
                if on_progress is not None:
                    on_progress(len(part))
        if self._waiting:
            self._save()
        self._waiting = []

    def get(self, row: int) -> RequestLogits:
        """The outputs of a row; `encode` comes first."""
        return self._outputs[row]

    def table(self) -> NDArray[np.float32]:
        """Embeddings of all rows, shape (contents, width)."""
        return np.stack([self.get(row).embedding for row in range(len(self._rows))])

    def count(self) -> Counted:
        """What was seen and what was encoded."""
        return Counted(self._num_requests, self._num_exact, len(self._rows), len(self._classes))

    def _encode(self, part: Sequence[tuple[bytes, Request]]) -> list[RequestLogits]:
        return self.scorer.encode([request for _, request in part])

    def _load(self) -> dict[bytes, RequestLogits]:
        if self._file is None or not self._file.is_file():
            return {}
        with np.load(self._file, allow_pickle=False) as kept:
            digests = kept["digests"].tobytes()
            columns = [
                kept[name].astype(np.float32) for name in ("extraction", "techniques", "attributes", "embedding")
            ]
        return {
            digests[12 * row : 12 * row + 12]: RequestLogits(float(extraction), techniques, attributes, embedding, 0)
            for row, (extraction, techniques, attributes, embedding) in enumerate(zip(*columns, strict=True))
        }

    def _save(self) -> None:
        if self._file is None:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        outputs = list(self._known.values())
        part = self._file.with_suffix(".part.npz")
        np.savez(
            part,
            digests=np.frombuffer(b"".join(self._known), np.uint8),
            extraction=np.array([each.extraction for each in outputs], np.float32),
            techniques=np.stack([each.techniques for each in outputs]).astype(np.float16),
            attributes=np.stack([each.attributes for each in outputs]).astype(np.float16),
            embedding=np.stack([each.embedding for each in outputs]).astype(np.float16),
        )
        part.replace(self._file)


def _digest(request: Request) -> bytes:
    """A hash of all that the request model reads, before it is rendered: rendering costs more than all else here."""
    parts = [
        part
        for message in request.messages
        for part in (message.role, message.content, *message.other_parts, *(f"{c}" for c in message.tool_calls))
    ]
    parts += [f"{tool}" for tool in request.tools]
    return blake2b(
        "\x00".join([*parts, request.response_format]).encode("utf-8", "surrogatepass"), digest_size=12
    ).digest()
