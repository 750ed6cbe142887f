"""One rotation of a stream model: request model, projection, worlds to learn from, network. The table of contents.

Families, personas and named operators that the rotation tests are in none of it; an honest user or an operator drawn at
random may come close to one. Worlds and network are kept on disk,
so that what was made once is not made again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stillwatch.data.streams.personas import choose_personas
from stillwatch.data.streams.pool import INJECTED_FAMILIES, Pool
from stillwatch.model.streams.accounts import MemoryAccountCounter
from stillwatch.model.streams.observation import Projection
from stillwatch.train.progress import bar
from stillwatch.train.streams.contents import Contents
from stillwatch.train.streams.corpus import Member, StreamCorpus, build_corpus, iter_records
from stillwatch.train.streams.fit import Epoch, FittedNetwork, fit_network
from stillwatch.train.streams.holdout import Holdout, Side, deal_holdouts
from stillwatch.train.streams.keeping import keep_corpus, keep_network
from stillwatch.train.streams.projection import fit_projection
from stillwatch.train.streams.request_models import RequestModel, load_request_model
from stillwatch.train.streams.settings import PoolConfig, StreamsConfig
from stillwatch.train.streams.worlds import draw_personas, make_drawn_campaigns, make_drawn_honest, make_honest

_PROJECTED_REQUESTS = 10  # of each account, for the projection
_TRAIN_SEED, _VALIDATION_SEED = 1, 2
_WORLD_VERSION = 2
"""Raised whenever the same settings would make other accounts, so that no kept world is taken for one of today."""
MEASURED_SEED = 10
"""Worlds that are measured have seeds from here on; see `StreamsConfig.seed`."""


@dataclass(frozen=True, slots=True, eq=False)
class Workshop:
    """What a rotation simulates with.

    Attributes:
        config: of the stream model.
        holdout: the rotation.
        pool: all texts.
        pools: the pool of each side.
        request: the request model.
        contents: its encodings; they grow with every world.
        projection: fitted on the contents of training.
        folder: where worlds are kept.
    """

    config: StreamsConfig
    holdout: Holdout
    pool: Pool
    pools: dict[Side, Pool]
    request: RequestModel
    contents: Contents
    projection: Projection
    folder: Path

    def build(self, name: str, members: Sequence[Member], *, first: int, paraphrased: bool = False) -> StreamCorpus:
        """Run a world, or take up the one that was kept.

        Args:
            name: of the world, for its file.
            members: its accounts.
            first: requests of each.
            paraphrased: whether operators put every request in other words; see `build_corpus`.
        """

        def run() -> StreamCorpus:
            num_requests = sum(min(first, member.stream.num_requests) for member in members)
            with bar(f"simulating {name}", num_requests, "requests") as advance:
                return build_corpus(
                    members,
                    self.contents,
                    self.projection,
                    MemoryAccountCounter(),
                    first=first,
                    public_share=self.config.pool.public_share,
                    paraphrased=paraphrased,
                    on_progress=advance,
                )

        texts = sorted(pool.fingerprint for pool in self.pools.values())
        config = self.config.model_dump_json(include={"seed", "pool", "request", "world"})
        key = f"{_WORLD_VERSION}/{config}/{self.request.scorer.bundle.version}/{first}/{paraphrased}/{texts}"
        return keep_corpus(self.folder / f"{name}.npz", key, members, run)


@dataclass(frozen=True, slots=True, eq=False)
class Rotation:
    """A fitted rotation and the workshop that it was made in."""

    workshop: Workshop
    fitted: FittedNetwork


def load_pool(config: PoolConfig, *, seed: int) -> Pool:
    """The texts of all streams."""
    if config.data_root is None:
        return Pool.from_families(seed=seed, rows_per_family=config.rows_per_family)
    from stillwatch.data.reading import read_labelled
    from stillwatch.data.sources import thin

    records = read_labelled(config.data_root)
    if config.max_per_source is not None:
        records = thin(records, config.max_per_source, seed)
    injected = Pool.from_families(INJECTED_FAMILIES, seed=seed, rows_per_family=config.rows_per_family)
    return Pool.from_records(records).join(injected)


def open_workshop(
    config: StreamsConfig, holdout: Holdout, pool: Pool, folder: Path, *, bundle: Path | None = None
) -> Workshop:
    """Make ready what a rotation simulates with.

    Args:
        config: of the stream model.
        holdout: the rotation.
        pool: all texts.
        folder: of the rotation.
        bundle: see `load_request_model`.
    """
    request = load_request_model(holdout, pool, config, folder, bundle=bundle)
    contents = Contents(
        request.scorer, per_class=config.pool.per_class, folder=config.pool.folder, num_threads=config.num_threads
    )
    pools = holdout.pools(pool)
    projection = _project(config, holdout, pools["train"], contents)
    return Workshop(config, holdout, pool, pools, request, contents, projection, folder)


def build_worlds(workshop: Workshop) -> tuple[StreamCorpus, StreamCorpus]:
    """The worlds of training and validation."""
    config = workshop.config
    train = workshop.build("train", _make_world(workshop, "train", 1.0, _TRAIN_SEED), first=config.world.requests)
    share = config.world.validation_share
    checked = _make_world(workshop, "validation", share, _VALIDATION_SEED)
    return train, workshop.build("validation", checked, first=config.world.requests)


def run_rotation(
    workshop: Workshop, *, on_epoch: Callable[[Epoch], None] | None = None
) -> tuple[Rotation, StreamCorpus]:
    """Simulate and fit on both worlds; the training world comes with it.

    The families of validation are the only ones to learn from that the request model has not learnt from, too: they
    teach the network how little a logit of unseen families says.
    """
    config = workshop.config
    train, validation = build_worlds(workshop)

    def run() -> FittedNetwork:
        return fit_network(train.join(validation), config.network, seed=config.seed, on_epoch=on_epoch)

    path, worlds = workshop.folder / "network.safetensors", (train, validation)
    return Rotation(workshop, keep_network(path, config.network, seed=config.seed, worlds=worlds, make=run)), train


def deal_rotations(config: StreamsConfig, pool: Pool) -> list[Holdout]:
    """The three rotations of a configuration."""
    return deal_holdouts(pool, choose_personas(()), seed=config.seed)


def _make_world(workshop: Workshop, side: Side, share: float, number: int) -> list[Member]:
    world, pool, personas = workshop.config.world, workshop.pools[side], workshop.holdout.personas[side]
    seed = workshop.config.seed * 100 + number
    honest = make_honest(
        pool, personas, num_accounts=max(20, round(share * world.honest_accounts)), seed=seed, evenly=True
    )
    honest += make_drawn_honest(pool, num_accounts=round(share * world.drawn_accounts), seed=seed)
    return honest + make_drawn_campaigns(
        pool,
        personas,
        num_campaigns=max(4, round(share * world.campaigns)),
        most_accounts=world.most_accounts,
        num_requests=world.requests,
        seed=seed,
        drawn=draw_personas(pool, world.drawn_manners, seed=f"{seed}/manners"),
    )


def _project(config: StreamsConfig, holdout: Holdout, pool: Pool, contents: Contents) -> Projection:
    world, personas = config.world, holdout.personas["train"]
    members = make_honest(pool, personas, num_accounts=200, seed=config.seed * 100, evenly=True)
    members += make_drawn_campaigns(
        pool, personas, num_campaigns=60, most_accounts=2, num_requests=world.requests, seed=config.seed * 100
    )
    rows = {contents.place(record) for record in iter_records(members, _PROJECTED_REQUESTS)}
    with bar("encoding", contents.num_waiting, "contents") as advance:
        contents.encode(advance)
    return fit_projection([contents.get(row) for row in sorted(rows)])
