"""The audit record of a verdict: numbers, codes, hashes and thresholds, enough to answer an appeal; never text."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict

from stillwatch.model.verdict import Verdict
from stillwatch.serve.service.policy import Decision
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
