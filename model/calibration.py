"""From a raw logit to a probability and an action. The numbers are fitted in training and sealed in the bundle."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stillwatch.model.reference import TrafficReference


class Action(StrEnum):
    """What a verdict asks of the gateway; never more than advice."""

    ALLOW = "allow"
    REVIEW = "review"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class ThresholdPair:
    """Logits from which on something is for review, and flagged."""

    review_logit: float
    flag_logit: float


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What stands in for a bundle's thresholds, for the requests of some callers; None keeps the bundle's.

    Attributes:
        request: on the calibrated logit of a request.
        stream: on the stream logit of an account.
    """

    request: ThresholdPair | None = None
    stream: ThresholdPair | None = None


class Calibration(BaseModel):
    """Platt scaling and the thresholds of a bundle (Platt, 1999).

    The probability is that of extraction at even odds (`prior`): families of either label weigh the same in the
    fit. At a gateway where one request in a thousand is harvested, the thresholds decide, not the probability. For
    families unlike those of the fit it may say too much or too little; the model card tells by how much it did.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    slope: float = Field(gt=0.0)
    """Factor on the raw logit; positive, so that the order of requests never changes."""
    intercept: float
    review_logit: float
    """Calibrated logit from which on a request is for review."""
    flag_logit: float
    """Calibrated logit from which on a request is flagged."""
    review_fpr: float = Field(gt=0.0, lt=1.0)
    """Share of held-out benign requests that the review threshold was set to let through to review."""
    flag_fpr: float = Field(gt=0.0, lt=1.0)
    fitted_on: Literal["validation", "test"] = "validation"
    """Which held-out requests set all of the above; on test requests the false-alarm rates hold by construction."""
    num_benign: int = Field(ge=1)
    """Benign requests behind the fit and the thresholds."""
    num_extraction: int = Field(ge=1)
    attribute_logits: dict[str, float] = Field(default_factory=dict)
    """Raw logit from which on an attribute is named; one that was never precise enough is left out."""
    prior: float = Field(default=0.5, gt=0.0, lt=1.0)
    reference: TrafficReference | None = None
    """What the calibration's requests looked like, to tell drift against; None in bundles of earlier releases."""

    @model_validator(mode="after")
    def _flag_is_stricter(self) -> Calibration:
        if self.flag_logit < self.review_logit:
            raise ValueError("flag_logit must not be below review_logit")
        return self

    def calibrate(self, logit: float) -> float:
        """The calibrated logit of a raw one."""
        return self.slope * logit + self.intercept

    def replace_thresholds(self, pair: ThresholdPair | None) -> Calibration:
        """The same with other thresholds; itself for None."""
        return self if pair is None else self.model_copy(update=asdict(pair))

    def decide(self, calibrated: float) -> Action:
        """The action for a calibrated logit."""
        if calibrated >= self.flag_logit:
            return Action.FLAG
        return Action.REVIEW if calibrated >= self.review_logit else Action.ALLOW


def sigmoid(logit: float) -> float:
    """Probability of a logit, without overflow at either end."""
    if logit >= 0:
        return 1.0 / (1.0 + math.exp(-logit))
    return math.exp(logit) / (1.0 + math.exp(logit))
