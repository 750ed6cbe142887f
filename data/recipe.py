"""What a dataset is made of: the typed recipe of `stillwatch data build`, read from YAML in `configs/`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from stillwatch.data.configuration import Config
from stillwatch.data.transforms import TRANSFORMS

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1)]


class SourceConfig(Config):
    """Where records come from, and how many are taken."""

    kind: Literal["generated", "authored", "files", "adapter"]
    """`generated`: the embedded families; `authored`: the requests shipped with the project; `files`: labelled rows;
    `adapter`: a hub or local dataset in its own columns."""
    path: Path | None = None
    """Relative to `data_root`. For `files`: labelled JSONL, gzip or Parquet, or a folder of them. For `adapter`: a
    file such as those of `configs/sources/`."""
    num_requests: Count = 4000
    """For `generated`: how many requests."""
    families: Path | None = None
    """For `generated`: a folder of family files instead of the shipped ones, relative to `data_root`."""
    max_families: Count | None = None
    """For `generated` and `authored`: only this many families of each label, for learning curves."""
    max_per_source: Count | None = None
    """At most this many training records of one source (a seeded draw); test rows are never thinned."""
    licences: Literal["all", "permissive", "other"] = "all"
    """`permissive`: only rows that may teach a bundle that is given away. `other`: only the rest, to test it on."""

    @model_validator(mode="after")
    def _path_belongs_to_files(self) -> SourceConfig:
        if (self.kind in ("files", "adapter")) != (self.path is not None):
            raise ValueError("path is needed for the kinds files and adapter, and for no other kind")
        if self.kind != "generated" and self.families is not None:
            raise ValueError("families is for the kind generated")
        if self.path is not None and self.max_families is not None:
            raise ValueError("max_families is for the kinds generated and authored")
        return self


class TransformConfig(Config):
    """Variants of records, written in another way, that stand beside them."""

    share: Share = 0.0
    """Share of the decided records that get one variant."""
    names: tuple[str, ...] = tuple(TRANSFORMS)
    strengths: Annotated[tuple[Annotated[float, Field(gt=0.0, le=1.0)], ...], Field(min_length=1)] = (0.3, 0.7)

    @model_validator(mode="after")
    def _names_are_known(self) -> TransformConfig:
        unknown = sorted(set(self.names) - set(TRANSFORMS))
        if unknown or not self.names:
            raise ValueError(f"names must be some of {', '.join(TRANSFORMS)}")
        return self


class DealConfig(Config):
    """How families are dealt into train, validation and test."""

    test_share: Annotated[float, Field(gt=0.0, le=0.5)] = 0.1
    """Share of each label's families that are for testing."""
    validation_share: Annotated[float, Field(gt=0.0, le=0.5)] = 0.1
    """Share of the remaining families that are for validation."""


class Recipe(Config):
    """A dataset, in the order in which it is made."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 7
    data_root: Path = Path()
    """The folder that the paths of sources start from; the working folder when left out."""
    sources: Annotated[tuple[SourceConfig, ...], Field(min_length=1)]
    clean: bool = False
    """Bring texts to one normal form and mask personal data; adapters do so themselves."""
    near_duplicates: Annotated[float, Field(ge=0.5, le=0.95)] = 0.8
    """Jaccard similarity from which two records of one label are one, and one of them goes."""
    balance: bool = True
    """Thin the records until no outward feature tells the labels apart."""
    audit_limit: Annotated[float, Field(ge=0.5, le=1.0)] = 0.6
    """AUC of a single outward feature beyond which the build fails."""
    transforms: TransformConfig = TransformConfig()
    split: DealConfig = DealConfig()
