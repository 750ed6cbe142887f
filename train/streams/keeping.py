"""A simulated world on disk: its columns as NumPy arrays, under a key that says what it was made of. No pickle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from hashlib import sha256
from pathlib import Path

import numpy as np

from stillwatch.train.streams.corpus import Member, StreamCorpus

_COLUMNS = tuple(field.name for field in fields(StreamCorpus) if field.name not in ("members", "family_names"))


def keep_corpus(path: Path, key: str, members: Sequence[Member], make: Callable[[], StreamCorpus]) -> StreamCorpus:
    """Load a world that was made of the same things, else make it and write it.

    Args:
        path: its file.
        key: all that the vectors depend on, beside the accounts.
        members: its accounts.
        make: makes it.
    """
    names = "/".join(member.stream.account for member in members)
    digest = sha256(f"{key}/{names}".encode()).hexdigest()
    if path.is_file():
        with np.load(path, allow_pickle=False) as kept:
            if str(kept["digest"]) == digest:
                columns = {name: kept[name] for name in _COLUMNS}
                return StreamCorpus(tuple(members), family_names=tuple(kept["family_names"].tolist()), **columns)
    corpus = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.npz")
    columns = {name: getattr(corpus, name) for name in _COLUMNS}
    np.savez(part, digest=np.array(digest), family_names=np.array(corpus.family_names), **columns)
    part.replace(path)
    return corpus
