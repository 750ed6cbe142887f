"""The typed configuration of the suites of streams and campaigns: who is measured, how many, at which promise."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from stillwatch.data.configuration import Config
from stillwatch.data.labels import Technique, Visibility
from stillwatch.data.recipe import Count

Rate = Annotated[float, Field(gt=0, lt=0.5)]


class CaseConfig(Config):
    """Accounts of one kind."""

    name: str
    operator: str
    """One of `data/streams/operators.yaml`."""
    techniques: tuple[Technique, ...] = ()
    """Instead of the operator's own."""
    visibilities: tuple[Visibility, ...] = ()
    """Instead of the operator's own."""
    share: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of extraction, instead of the operator's own."""
    paraphrased: bool = False
    """No two requests share a skeleton: what a perfect paraphrase of each request would leave."""
    campaigns: Count = 20
    """Campaigns in each rotation, each with templates of its own."""
    accounts_each: Count = 3


class HonestConfig(Config):
    """The honest accounts."""

    calibration: Annotated[int, Field(ge=100)] = 2500
    """Accounts in each rotation that thresholds are set on: of tested families and all personas, as on one's own
    traffic."""
    fresh: Annotated[int, Field(ge=100)] = 2500
    """Accounts in each rotation that the promise is checked on."""
    moved: int = 1000
    """Accounts of the validation families and personas, which the stream model has learnt from: a threshold from there,
    as of a bundle that was calibrated on what it knows, tried on the fresh ones."""
    evaluators: int = 100
    """Accounts that measure models with benchmarks, reported apart."""


class BaselineConfig(Config):
    """The published detectors, on the same streams."""

    run: bool = True
    calibration: Annotated[int, Field(ge=100)] = 1200
    """Of the honest accounts, the first so many: they are slow."""
    fresh: Annotated[int, Field(ge=100)] = 1200
    fitted_on: Annotated[int, Field(ge=20)] = 300
    """Accounts of the training world of each label."""


class SuiteConfig(Config):
    """What is the same in both suites."""

    name: str
    title: str
    model: Path = Path("configs/streams.yaml")
    """The stream model that each rotation fits."""
    rotations: Annotated[tuple[Annotated[int, Field(ge=0, le=2)], ...], Field(min_length=1)] = (0, 1, 2)
    rates: Annotated[tuple[Rate, ...], Field(min_length=1)] = (0.001, 0.003, 0.01)
    """Account false-alarm rates to promise; the first is the one that tables are made at."""
    horizon: Annotated[int, Field(ge=100)] = 1000
    """Requests of an account for which the promise holds."""
    bootstrap_replicates: Annotated[int, Field(ge=100)] = 500
    honest: HonestConfig = HonestConfig()


class StreamSuiteConfig(SuiteConfig):
    """`configs/suites/streams.yaml`."""

    kind: Literal["streams"]
    recalibrations: Count = 20
    """Random halves of the honest accounts on which the promise is made and checked."""
    cases: Annotated[tuple[CaseConfig, ...], Field(min_length=1)]
    ablations: bool = True
    """What each group of slots is worth: hidden at scoring time, thresholds set anew."""
    baselines: BaselineConfig = BaselineConfig()

    @model_validator(mode="after")
    def _names_differ(self) -> StreamSuiteConfig:
        names = [case.name for case in self.cases]
        if len(set(names)) < len(names):
            raise ValueError("cases must have different names")
        return self


class ShapeConfig(Config):
    """One disclosed campaign, scaled."""

    name: str
    """One of `data/streams/shapes.yaml`, or an operator's name for a campaign of its own size."""
    scale: Annotated[float, Field(gt=0, le=1)] = 1.0
    campaigns: Count = 2
    """Campaigns in each rotation."""
    most_accounts: Count = 200
    """Accounts of a campaign that are simulated; the leaked share is over their requests and says so."""


class CampaignSuiteConfig(SuiteConfig):
    """`configs/suites/campaigns.yaml`."""

    kind: Literal["campaigns"]
    shapes: Annotated[tuple[ShapeConfig, ...], Field(min_length=1)]
    requests: Annotated[int, Field(ge=16)] = 300
    """Requests of each account that are followed."""
