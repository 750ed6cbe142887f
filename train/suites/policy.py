"""The policy of the promotion gate: a typed file, `configs/gate.yaml`, with the same values built in.

It says what a challenger must reach; `stillwatch.train.suites.gate` judges by it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from stillwatch.data.configuration import Config, load_config_file
from stillwatch.train.summary import FPRS

POLICY_FILE = Path("configs") / "gate.yaml"
"""The policy that holds when none is named, where it is there below the working folder."""

Figure = Literal["tpr_at_fpr_0.01", "tpr_at_fpr_0.001", "auroc", "auprc"]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Least = Annotated[int, Field(ge=1)]


class ProtectionConfig(Config):
    """A rate that may not get worse on any group of a slice."""

    slice: Literal["source", "language", "technique"]
    """What the records are grouped by."""
    rate: Literal["fpr", "tpr"]
    """`fpr` of benign records, which must not rise, or `tpr` of extraction records, which must not fall."""
    max_worsening: Share
    """A group fails when its rate is worse by more than this, as a share of records, and the interval of the
    difference excludes none at all."""
    bound: Share | None = None
    """A group fails when the challenger's FPR is above this or its TPR below it, whatever the champion does."""
    min_records: Least = 20
    """Groups of fewer records are told and not judged."""

    @model_validator(mode="after")
    def _the_rate_exists(self) -> ProtectionConfig:
        if (self.slice, self.rate) in (("source", "tpr"), ("technique", "fpr")):
            raise ValueError("a source is judged by its fpr, a technique by its tpr, a language by either")
        return self


_FLOOR: dict[Figure, float] = {"tpr_at_fpr_0.01": 0.1, "auroc": 0.8}


class GateConfig(Config):
    """When a challenger may become champion."""

    aliases: Annotated[tuple[str, ...], Field(min_length=1)] = ("champion",)
    """Aliases that are guarded; others are handed out freely."""
    suites: Annotated[tuple[str, ...], Field(min_length=1)] = ("training", "requests", "rows")
    """The declared suites: evaluations of any other are refused, and both sides must come from the same one.
    `training` is what a training run leaves behind, `requests` is configs/suites/requests.yaml, `rows` are rows named
    by --data alone."""
    must_beat: Figure = "tpr_at_fpr_0.01"
    """The main figure: the lower end of its paired difference must lie above 0."""
    must_not_worsen: tuple[Figure, ...] = ("auroc",)
    """Further figures: the upper end of their paired difference must not lie below 0."""
    floor: dict[Figure, Share] = Field(default_factory=lambda: dict(_FLOOR))
    """Without a champion: what the lower end of each figure's interval must reach."""
    min_extraction_families: Least = 5
    """Fewer families than this decide nothing."""
    min_benign_families: Least = 5
    """The same for benign ones."""
    slice_fpr: float = FPRS[0]
    """The false-positive rate on all rows whose threshold the protected slices are judged at."""
    protected: tuple[ProtectionConfig, ...] = (
        ProtectionConfig(slice="source", rate="fpr", max_worsening=0.02, bound=0.05),
        ProtectionConfig(slice="language", rate="tpr", max_worsening=0.05),
    )
    """Slices that may not get worse."""

    @field_validator("slice_fpr")
    @classmethod
    def _the_threshold_is_measured(cls, fpr: float) -> float:
        if fpr not in FPRS:
            raise ValueError(f"must be one of {', '.join(f'{each:g}' for each in FPRS)}")
        return fpr


def load_policy(path: Path | None = None) -> GateConfig:
    """Read a policy; without a path, `POLICY_FILE` where it is there, else the built-in values.

    Raises:
        ConfigError: the file is missing, is not YAML, or holds an unknown key or a wrong value.
    """
    if path is None and not POLICY_FILE.is_file():
        return GateConfig()
    return load_config_file(GateConfig, path or POLICY_FILE)
