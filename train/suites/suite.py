"""The typed suites of `configs/suites/`: what an evaluation asks, written down before anybody looks.

`kind: requests` asks systems as they are, `kind: training` fits them anew with something held out. Suites of streams
and campaigns have schemas of their own; `read_kind` tells which one a file is.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal, get_args

import yaml
from pydantic import Field, model_validator

from stillwatch.data.configuration import Config, load_config_file
from stillwatch.data.errors import ConfigError, kind_of
from stillwatch.data.recipe import Count, SourceConfig
from stillwatch.data.transforms import TRANSFORMS

Kind = Literal["requests", "training", "streams", "campaigns"]
KINDS: tuple[Kind, ...] = get_args(Kind)

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
CaseLabel = Literal["benign", "extraction"]
Strength = Annotated[float, Field(gt=0.0, le=1.0)]


class CaseConfig(Config):
    """One question. Rates are told at the thresholds of all rows: no group gets a threshold of its own."""

    name: Name
    """Unlike any other's of the suite."""
    title: Annotated[str, Field(min_length=1)]
    """The question in words."""


class AllCase(CaseConfig):
    """All records that one request decides."""

    kind: Literal["all"]


class SourcesCase(CaseConfig):
    """Records of named sources, each a group: hard benign ones, for example."""

    kind: Literal["sources"]
    sources: Annotated[tuple[str, ...], Field(min_length=1)]
    """Values of the field `source`; `authored.*` means all that begin so. What is absent is said, and no error."""
    labels: tuple[CaseLabel, ...] = ("benign",)


class AmbiguousCase(CaseConfig):
    """Records whose purpose the text does not tell, by source."""

    kind: Literal["ambiguous"]


class LanguagesCase(CaseConfig):
    """Records by language."""

    kind: Literal["languages"]
    min_records: Count = 20
    """Languages with fewer decided records stand together under `other`."""


class LengthsCase(CaseConfig):
    """Records by length as they came."""

    kind: Literal["lengths"]
    edges: Annotated[tuple[Count, ...], Field(min_length=1)] = (300, 1_000, 3_000, 10_000, 30_000, 100_000)
    """Characters at which a bucket ends and the next begins, rising."""

    @model_validator(mode="after")
    def _edges_rise(self) -> LengthsCase:
        if list(self.edges) != sorted(set(self.edges)):
            raise ValueError("edges must rise")
        return self


class ChangedCase(CaseConfig):
    """Records that are changed and scored again; systems that read no text are left out."""

    max_records: Count = 100
    """At most so many of each label, dealt evenly over families."""
    labels: Annotated[tuple[CaseLabel, ...], Field(min_length=1)] = ("extraction", "benign")


class PaddingCase(ChangedCase):
    """The request buried in innocent text."""

    kind: Literal["padding"]
    num_characters: Annotated[tuple[Count, ...], Field(min_length=1)] = (20_000, 100_000)
    """Characters of innocent text around it."""


class TransformsCase(ChangedCase):
    """The request written in another way."""

    kind: Literal["transforms"]
    names: Annotated[tuple[str, ...], Field(min_length=1)] = tuple(TRANSFORMS)
    strengths: Annotated[tuple[Strength, ...], Field(min_length=1)] = (0.3, 0.7, 1.0)

    @model_validator(mode="after")
    def _names_are_known(self) -> TransformsCase:
        if set(self.names) - set(TRANSFORMS):
            raise ValueError(f"names must be some of {', '.join(TRANSFORMS)}")
        return self


AnyCase = Annotated[
    AllCase | SourcesCase | AmbiguousCase | LanguagesCase | LengthsCase | PaddingCase | TransformsCase,
    Field(discriminator="kind"),
]


class RequestSuite(Config):
    """Systems as they are, on rows that none of them says it has learnt."""

    kind: Literal["requests"] = "requests"
    name: Name
    title: Annotated[str, Field(min_length=1)]
    """What the suite asks, in words."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 7
    """Of every draw and bootstrap."""
    bootstrap_replicates: Annotated[int, Field(ge=100)] = 500
    sources: tuple[SourceConfig, ...] = ()
    """The rows when `--data` names none, such as generated ones; paths start from the working folder."""
    unseen_only: bool = True
    """Leave out records of families that a system says it was trained on."""
    cases: tuple[AnyCase, ...] = ()

    @model_validator(mode="after")
    def _names_differ(self) -> RequestSuite:
        names = [case.name for case in self.cases]
        if len(set(names)) < len(names):
            raise ValueError("cases must have different names")
        return self


class TrainingSuite(Config):
    """Systems fitted in the run, by the pipeline of `stillwatch train`, each on what it is not tested on."""

    kind: Literal["training"]
    name: Name
    title: Annotated[str, Field(min_length=1)]
    base: Path
    """A training configuration, relative to the suite's file."""
    overrides: tuple[str, ...] = ()
    """`key=value` pairs over it."""
    data_role: Literal["rotate", "test"] = "rotate"
    """What the rows of `--data` are for; see `SourceConfig.role` of the training configuration."""
    overrides_with_data: tuple[str, ...] = ()
    """Further pairs when `--data` is given, such as `sources.0.role=train`."""


def read_kind(path: Path) -> Kind:
    """Which kind of suite a file holds.

    Raises:
        ConfigError: it is missing, no YAML, or names no kind that is known.
    """
    try:
        raw = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: no such file; the suites that come with Stillwatch are in configs/suites/"
        ) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: not readable as YAML in UTF-8; mend the file") from error
    kind = raw.get("kind") if isinstance(raw, dict) else None
    for known in KINDS:
        if kind == known:
            return known
    raise ConfigError(f"{path}: kind: {kind_of(kind)} that is not known; give one of {', '.join(KINDS)}")


def load_request_suite(path: Path) -> RequestSuite:
    """Read a suite of `kind: requests`; errors as in `load_config_file`."""
    return load_config_file(RequestSuite, path)


def load_training_suite(path: Path) -> TrainingSuite:
    """Read a suite of `kind: training`; errors as in `load_config_file`. `base` is made to start from the file."""
    suite = load_config_file(TrainingSuite, path)
    return suite.model_copy(update={"base": path.parent / suite.base})


def digest_suite(suite: Config) -> str:
    """SHA-256 of a suite's settings: the same digest means the same questions."""
    return hashlib.sha256(json.dumps(suite.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()
