"""From an account's running maximum to an action: thresholds with their promise, and the least evidence for them.

The promise is about the running maximum alone (split-conformal over whole benign accounts); the rule of least
evidence can only take flags away, so it holds with the rule, too.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stillwatch.model.calibration import Action, ThresholdPair, sigmoid
from stillwatch.model.pooling import FloatArray
from stillwatch.model.streams.layout import INDEX
from stillwatch.model.streams.state import AccountState


class Promise(BaseModel):
    """What was promised for a threshold: the share of honest accounts ever at or above it, and on what grounds."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    account_fpr: float = Field(gt=0.0, lt=1.0)
    """The promised share of honest accounts whose running maximum ever reaches the threshold."""
    upper_bound: float = Field(gt=0.0, le=1.0)
    """Upper end of the interval of the realised share."""
    confidence: float = Field(gt=0.0, lt=1.0)
    """Confidence of that bound."""
    horizon_requests: int = Field(ge=1)
    """Requests of each account that the maximum ran over."""
    num_accounts: int = Field(ge=1)
    """Whole benign accounts behind the threshold."""


class StreamCalibration(BaseModel):
    """Thresholds on the running maximum of the stream logit, and the least evidence for acting on them."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    slope: float = Field(gt=0.0)
    """Factor from the stream logit to the calibrated one, whose sigmoid is the probability."""
    intercept: float
    review_logit: float
    """Stream logit from which on an account is for review."""
    flag_logit: float
    """Stream logit from which on an account is flagged, given enough evidence."""
    review_promise: Promise
    flag_promise: Promise
    min_requests: int = Field(default=8, ge=1)
    """Requests of an account before anything beyond review."""
    min_suspicious: int = Field(default=3, ge=1)
    """Distinct requests with a stream logit at or above review before anything beyond review."""

    @model_validator(mode="after")
    def _flag_is_stricter(self) -> StreamCalibration:
        if self.flag_logit < self.review_logit:
            raise ValueError("flag_logit must not be below review_logit")
        return self

    def replace_thresholds(self, pair: ThresholdPair | None) -> StreamCalibration:
        """The same with other thresholds; itself for None. The promises stay those of the bundle's own."""
        return self if pair is None else self.model_copy(update=asdict(pair))


class StreamReason(StrEnum):
    """Why a stream's verdict is not `allow`, and what in its last vector speaks for it. Codes are stable."""

    FLAG_THRESHOLD = "stream_at_or_above_flag"
    REVIEW_THRESHOLD = "stream_at_or_above_review"
    TOO_LITTLE_EVIDENCE = "stream_evidence_too_little_to_flag"
    ALLOW_LISTED = "account_on_allow_list"
    SKELETON_REPEATED = "skeleton_repeated"
    SKELETON_SHARED = "skeleton_shared_with_other_accounts"
    HISTORY_UNEARNED = "history_that_no_earlier_request_led_to"
    TOOLS_NEW = "tools_that_the_account_never_offered"
    CAPABILITIES_SWEPT = "many_techniques_in_turn"


@dataclass(frozen=True, slots=True)
class StreamVerdict:
    """The detector's answer for an account after one more request. Never carries text or the account's name.

    Attributes:
        probability: of an extracting account, calibrated at even odds, from the running maximum.
        logit: the stream logit after this request.
        maximum: the highest of the account so far, which the thresholds are about.
        num_requests: requests seen of the account, this one included.
        num_suspicious: distinct ones with a stream logit at or above review.
        action: `allow`, `review` or `flag`.
        reasons: codes of `StreamReason`, none for a plain `allow`.
        note: the allow-list's note for the audit, or empty.
    """

    probability: float
    logit: float
    maximum: float
    num_requests: int
    num_suspicious: int
    action: Action
    reasons: tuple[StreamReason, ...]
    note: str = ""


def judge(calibration: StreamCalibration, state: AccountState, logit: float, vector: FloatArray) -> StreamVerdict:
    """The verdict on an account after one more request.

    Once flagged, an account stays so until its state is dropped: the maximum never falls.

    Args:
        calibration: thresholds.
        state: the account's, with the logit recorded.
        logit: the stream logit of the last request.
        vector: the last request vector, shape (WIDTH,).
    """
    reasons: list[StreamReason] = []
    action = Action.ALLOW
    if state.maximum >= calibration.review_logit:
        action = Action.REVIEW
        if state.maximum >= calibration.flag_logit:
            enough = state.num_requests >= calibration.min_requests
            if enough and state.num_suspicious >= calibration.min_suspicious:
                action = Action.FLAG
            else:
                reasons.append(StreamReason.TOO_LITTLE_EVIDENCE)
        flagged = action is Action.FLAG
        reasons.insert(0, StreamReason.FLAG_THRESHOLD if flagged else StreamReason.REVIEW_THRESHOLD)
        reasons += [reason for reason, (slot, least) in _SIGNS.items() if vector[INDEX[slot]] >= least]
    return StreamVerdict(
        probability=sigmoid(calibration.slope * state.maximum + calibration.intercept),
        logit=logit,
        maximum=state.maximum,
        num_requests=state.num_requests,
        num_suspicious=state.num_suspicious,
        action=action,
        reasons=tuple(reasons),
    )


def allow_listed(verdict: StreamVerdict, note: str) -> StreamVerdict:
    """The verdict on an account of the allow-list: its numbers stay, its action is `allow`, the note says why."""
    return replace(verdict, action=Action.ALLOW, reasons=(*verdict.reasons, StreamReason.ALLOW_LISTED), note=note)


_SIGNS = {
    StreamReason.SKELETON_REPEATED: ("repetition", 0.5),
    StreamReason.SKELETON_SHARED: ("others_share", 0.5),
    StreamReason.HISTORY_UNEARNED: ("unearned", 0.5),
    StreamReason.TOOLS_NEW: ("tools_new", 0.5),
    StreamReason.CAPABILITIES_SWEPT: ("breadth", 0.8),
}
"""Slots of the last vector, and from which value on they are named as reasons."""
