"""What the service answers, typed: the same classes make the replies and OpenAPI. No field holds text of a request."""

from __future__ import annotations

from dataclasses import asdict

from pydantic import BaseModel, ConfigDict, Field

from stillwatch.model.verdict import Verdict
from stillwatch.serve.service.batching import Timing
from stillwatch.serve.service.policy import Decision
from stillwatch.serve.service.refusals import RefusedError


class _Reply(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    action: str
    """`allow`, `review` or `flag`: what is done, or in shadow mode what would be."""
    enforced: bool
    """Whether it is done; False in shadow mode and for `allow`."""
    block: bool
    """Whether the gateway must not let the request pass."""


class RequestPart(BaseModel):
    """What the request alone shows; see `Verdict`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: str
    probability: float
    logit: float
    techniques: dict[str, float]
    reasons: list[str]
    evidence: dict[str, int | str | None] | None
    """Window, turn and role of what scored highest; None for `allow`."""
    coverage: dict[str, object]
    """What was read."""


class StreamPart(BaseModel):
    """What the account's stream shows; see `StreamVerdict`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: str
    probability: float
    logit: float
    maximum: float
    num_requests: int
    num_suspicious: int
    reasons: list[str]
    note: str


class ScoreReply(_Reply):
    """A verdict and what to do."""

    id: str
    """Of this verdict: what `stillwatch explain` asks for."""
    request: RequestPart
    stream: StreamPart | None
    """None where the account was not told, the bundle has no stream model, or `degraded` says why."""
    degraded: str | None
    """Why the stream was not followed although it should have been, such as `state_store_away`: judge by the request
    alone what stands here, and the account when the store is back."""
    tenant: str | None = None
    """Whose thresholds were in force; None for the bundle's."""
    allow_listed: bool = False
    """Whether it is allowed for the sake of its account alone."""
    model_version: str
    queue_ms: float
    """Waiting."""
    scoring_ms: float
    """Scoring the batch that it was in."""


class Refusal(BaseModel):
    """Why there is no verdict."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str
    message: str
    field: str | None = None
    """Dotted path of the field at fault, where there is one."""


class RefusalReply(_Reply):
    """No verdict, why, and what to do all the same, by `policy.on_failure` or `policy.on_unreadable`."""

    error: Refusal


class BatchReply(BaseModel):
    """One answer a request, in order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    results: list[ScoreReply | RefusalReply]


class StateReply(BaseModel):
    """Whether the service lives or takes requests."""

    status: str = Field(examples=["ok", "ready", "warming_up", "draining"])
    degraded: str | None = Field(None, examples=["state_store_away"])
    """Why streams are not followed at present; requests are scored all the same."""


def build_score_reply(
    verdict_id: str,
    verdict: Verdict,
    decision: Decision,
    timing: Timing,
    *,
    tenant: str | None = None,
    allow_listed: bool = False,
) -> ScoreReply:
    """The reply for a verdict."""
    told = verdict.to_dict()
    request = {name: told[name] for name in RequestPart.model_fields}
    return ScoreReply(
        id=verdict_id,
        **asdict(decision),
        request=RequestPart.model_validate(request),
        stream=None if verdict.stream is None else StreamPart.model_validate(told["stream"]),
        degraded=verdict.degraded,
        tenant=tenant,
        allow_listed=allow_listed,
        model_version=verdict.model_version,
        queue_ms=round(timing.queue_s * 1000, 3),
        scoring_ms=round(timing.scoring_s * 1000, 3),
    )


def build_refusal_reply(refused: RefusedError, decision: Decision) -> RefusalReply:
    """The reply without a verdict."""
    return RefusalReply(
        **asdict(decision), error=Refusal(code=refused.code, message=refused.message, field=refused.field)
    )


def explain_block(reply: ScoreReply | RefusalReply) -> str:
    """What a caller whose request is blocked is told: whom to ask about it, or that it may be tried again."""
    if isinstance(reply, ScoreReply):
        return f"Blocked: it looks like extraction of the model. To appeal, name the verdict {reply.id}."
    return f"Not let through: it could not be checked ({reply.error.code})."


_DECISION = {"action": "flag", "enforced": False, "block": False}

SCORE_EXAMPLE = {
    **_DECISION,
    "id": "4b3f0c6e9d3f4c0f8f1e2d3c4b5a6978",
    "request": {
        "action": "flag",
        "probability": 0.974,
        "logit": 3.636,
        "techniques": {"reasoning_elicitation": 0.9, "instruction_harvesting": 0.1},
        "reasons": ["extraction_at_or_above_flag", "technique_reasoning_elicitation"],
        "evidence": {"window": 0, "turn": 0, "role": "user"},
        "coverage": {"characters": 310, "tokens": 80, "windows": 1, "windows_encoded": 1, "top_window": 0},
    },
    "stream": None,
    "degraded": None,
    "model_version": "stillwatch-default-d889ef2deda2",
    "queue_ms": 0.1,
    "scoring_ms": 12.5,
}
REFUSAL_EXAMPLE = {
    "action": "allow",
    "enforced": False,
    "block": False,
    "error": {"code": "queue_full", "message": "the queue is full; try again after Retry-After", "field": None},
}
REQUEST_EXAMPLES = {
    "openai": {
        "summary": "A Chat Completions body as it is",
        "value": {"model": "any", "messages": [{"role": "user", "content": "Which plants like shade?"}]},
    },
    "anthropic": {
        "summary": "A Messages body as it is",
        "value": {
            "model": "any",
            "max_tokens": 64,
            "system": "Be brief.",
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Name a river."}]}],
        },
    },
    "wrapper": {
        "summary": "Either, with who sent it and when",
        "value": {
            "request": {"messages": [{"role": "user", "content": "Name a river."}]},
            "account": "org-17/key-4",
            "time_s": 1764000000.0,
        },
    },
}
