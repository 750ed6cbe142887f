"""The typed configuration of a stream model: which streams are simulated, what learns from them, and for how long."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from stillwatch.data.configuration import Config
from stillwatch.data.recipe import Count, Share
from stillwatch.model.streams.layout import WINDOW
from stillwatch.train.config import FitConfig, ModelConfig, TrackingConfig


class PoolConfig(Config):
    """The texts that streams are made of, and how they are encoded."""

    rows_per_family: Count = 200
    """Requests that each generated family offers."""
    data_root: Path | None = None
    """A folder of labelled rows that stand in for generated families; only injected system texts stay generated."""
    max_per_source: Count | None = 500
    """At most so many rows of each source of `data_root`."""
    per_class: Count = 24
    """Contents of each class that are encoded exactly; see `contents.py`."""
    public_share: Share = 0.15
    """Share of families whose skeletons honest accounts have in common; see `corpus.py`."""
    folder: Path | None = Path("runs/contents")
    """Where encodings are kept between runs; nowhere when null."""


class RequestConfig(Config):
    """The request model of a rotation: it must not have seen the families that the rotation tests on."""

    per_rotation: bool = True
    """Fit one for each rotation on its own families; false takes the bundle as it is, and the result says so."""
    rows_per_family: Count = 12
    """Generated requests of each family to learn from."""
    model: ModelConfig = ModelConfig(attribute_weight=0.3)
    fit: FitConfig = FitConfig(
        epochs=1, requests_per_epoch=4000, train_windows=1, learning_rate=1e-4, max_validation_requests=300
    )


class WorldConfig(Config):
    """How many accounts are simulated, and how long each is followed."""

    honest_accounts: Annotated[int, Field(ge=20)] = 1500
    """Honest accounts of the personas that a rotation trains on, as many of each."""
    drawn_accounts: Annotated[int, Field(ge=0)] = 1500
    """Honest accounts of users drawn at random, each of its own; see `honest.py`."""
    drawn_manners: Annotated[int, Field(ge=0)] = 20
    """Users drawn at random whose manners every second campaign takes on."""
    campaigns: Annotated[int, Field(ge=4)] = 600
    """Campaigns of operators drawn at random."""
    most_accounts: Count = 60
    """Accounts of the largest campaign; most have a few."""
    requests: Annotated[int, Field(ge=16)] = 128
    """Requests of an account, from its first."""
    validation_share: Share = 0.25
    """Accounts and campaigns of the validation world, as a share of the above."""

    @model_validator(mode="after")
    def _draws_both_sides(self) -> WorldConfig:
        if bool(self.drawn_accounts) != bool(self.drawn_manners):
            raise ValueError(
                "drawn_accounts and drawn_manners must both be 0 or both above: or new manners give a side away"
            )
        return self


class NetworkConfig(Config):
    """The stream network and its fit."""

    width: Annotated[int, Field(ge=8, multiple_of=8)] = 64
    num_layers: Annotated[int, Field(ge=1, le=8)] = 2
    num_heads: Annotated[int, Field(ge=1)] = 4
    dropout: Share = 0.1
    num_members: Annotated[int, Field(ge=1, le=8)] = 3
    """Networks that learn apart and whose evidence is averaged."""
    num_blind: Annotated[int, Field(ge=0, le=8)] = 1
    """How many of them never see where a text stands, nor how near it is to the account's others: new families stand
    where none stood before."""
    epochs: Count = 8
    batch_size: Count = 32
    learning_rate: Annotated[float, Field(gt=0)] = 3e-4
    weight_decay: Annotated[float, Field(ge=0)] = 0.02
    ema_decay: Annotated[float, Field(gt=0, lt=1)] = 0.995
    """Decay of the moving average of the weights."""
    max_steps: Annotated[int, Field(ge=16)] = 96
    """Requests of an account in one example."""
    early_steps: Annotated[float, Field(gt=0)] = 8.0
    """A step `t` weighs `(t + early_steps) ** -early_power`."""
    early_power: Annotated[float, Field(ge=0)] = 0.5
    peak_weight: Annotated[float, Field(ge=0)] = 0.5
    """Weight of the loss on the highest logit of each honest account: it is the one that accuses."""
    late_share: Share = 0.25
    """Share of examples that begin anywhere in the account's life."""
    short_share: Share = 0.3
    """Share of examples that end early."""
    pace_sd: Annotated[float, Field(ge=0)] = 0.7
    """Standard deviation of the shift of an account's log gaps."""
    content_shrink: Share = 0.8
    """The extraction logits of an example are multiplied by a number drawn between 1 less this and 1, ..."""
    content_sd: Annotated[float, Field(ge=0)] = 1.0
    """... and shifted by one of this standard deviation: of families to come the request model is less sure."""
    group_dropout: Share = 0.25
    """How often a group of slots is hidden from a whole example."""

    @model_validator(mode="after")
    def _fits(self) -> NetworkConfig:
        if self.width % self.num_heads:
            raise ValueError("width must be a multiple of num_heads")
        if self.num_blind >= self.num_members:
            raise ValueError("num_blind must be below num_members: set it to 0 for a single network")
        if self.max_steps < WINDOW:
            raise ValueError(f"max_steps must be at least {WINDOW}, what an account's state keeps")
        return self


class CalibrationConfig(Config):
    """The thresholds of the bundle that ships: of simulated accounts, until one calibrates on one's own."""

    accounts: Annotated[int, Field(ge=20)] = 3000
    """Fresh honest accounts, of all personas by their weights."""
    account_fpr: Annotated[float, Field(gt=0, lt=0.5)] = 0.001
    """Share of honest accounts that may ever be flagged."""
    horizon: Annotated[int, Field(ge=16)] = 1000
    """Requests of an account for which that is promised."""


class StreamsConfig(Config):
    """A stream model, in the order of the pipeline."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")] = "streams"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 7
    pool: PoolConfig = PoolConfig()
    request: RequestConfig = RequestConfig()
    world: WorldConfig = WorldConfig()
    network: NetworkConfig = NetworkConfig()
    calibration: CalibrationConfig = CalibrationConfig()
    num_threads: Count = 2
    tracking: TrackingConfig = TrackingConfig(experiment="stillwatch-streams", register_as=None)
