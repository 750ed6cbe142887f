"""What a rotation made, on disk, under keys that say what it was made of: worlds and the fitted network. No pickle."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from hashlib import sha256
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from stillwatch.train.streams.corpus import Member, StreamCorpus
from stillwatch.train.streams.fit import Epoch, FittedNetwork, build_network
from stillwatch.train.streams.network import NETWORK_VERSION
from stillwatch.train.streams.settings import NetworkConfig

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


def keep_network(
    path: Path,
    config: NetworkConfig,
    *,
    seed: int,
    worlds: Sequence[StreamCorpus],
    make: Callable[[], FittedNetwork],
) -> FittedNetwork:
    """Load a network that was fitted on the same worlds in the same way, else fit it and write it.

    Args:
        path: its file, of safetensors.
        config: of network and fit.
        seed: of the fit.
        worlds: that it learns from.
        make: fits it.
    """
    digest = sha256(f"{NETWORK_VERSION}/{seed}/{config.model_dump_json()}".encode())
    for world in worlds:
        for column in (world.bounds, world.vectors, world.flags):
            digest.update(np.ascontiguousarray(column).tobytes())
    key = digest.hexdigest()
    if path.is_file():
        with safe_open(path, framework="pt") as kept:
            told = kept.metadata() or {}
        if told.get("digest") == key:
            network = build_network(config)
            network.load_state_dict(load_file(path))
            network.eval()
            epochs = tuple(Epoch(**each) for each in json.loads(told["epochs"]))
            return FittedNetwork(network, epochs)
    fitted = make()
    epochs_text = json.dumps([asdict(epoch) for epoch in fitted.epochs])
    part = path.with_suffix(".part")
    save_file(
        {name: tensor.contiguous() for name, tensor in fitted.network.state_dict().items()},
        part,
        {"digest": key, "epochs": epochs_text},
    )
    part.replace(path)
    return fitted
