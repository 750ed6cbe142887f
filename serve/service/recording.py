"""The audit record of a verdict, or of a body that got none: numbers, codes, hashes and thresholds; never text.

It is enough to answer an appeal.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict

from stillwatch.model.verdict import Verdict
from stillwatch.serve.service.policy import Decision
from stillwatch.serve.service.refusals import RefusedError
from stillwatch.serve.service.tenants import AskedRequest


def build_record(
    verdict_id: str, request: AskedRequest, verdict: Verdict, decision: Decision, thresholds: Mapping[str, float]
) -> dict[str, object]:
    """What is kept of a verdict.

    Args:
        verdict_id: what `stillwatch explain` asks for.
        request: with hashed names.
        verdict: on it.
        decision: what was done.
        thresholds: those that were in force, by name.
    """
    told = verdict.to_dict()
    stream, model_version, degraded = told.pop("stream"), told.pop("model_version"), told.pop("degraded")
    del told["id"]
    return {
        "id": verdict_id,
        "time_s": time.time(),
        "request_time_s": request.time_s,
        "account_hash": request.account,
        "request_id_hash": request.id,
        **asdict(decision),
        "request": told,
        "stream": stream,
        "degraded": degraded,
        "thresholds": dict(thresholds),
        "tenant": None if request.tenant is None else request.tenant.name,
        "allow_listed": request.note,
        "model_version": model_version,
    }


def build_refusal_record(
    record_id: str, account_hash: str | None, refused: RefusedError, decision: Decision
) -> dict[str, object]:
    """What is kept of a body that could not be read, so that an account that sends many of them is seen.

    Args:
        record_id: what `stillwatch explain` asks for.
        account_hash: of who sent it, where that is known.
        refused: why.
        decision: what was done.
    """
    return {
        "id": record_id,
        "time_s": time.time(),
        "account_hash": account_hash,
        **asdict(decision),
        "refused": {"code": refused.code, "field": refused.field},
    }
