"""What OpenAPI tells of the routes beyond their code: bodies with examples, headers, and every status of a reply.

The fuzz tests hold the service to it: an undocumented status or media type is a fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from stillwatch.serve.service.reading import ACCOUNT_HEADER, DEADLINE_HEADER, MAX_ACCOUNT_CHARACTERS, TIME_HEADER
from stillwatch.serve.service.replies import (
    REFUSAL_EXAMPLE,
    REQUEST_EXAMPLES,
    SCORE_EXAMPLE,
    BatchReply,
    RefusalReply,
    ScoreReply,
    StateReply,
)

Responses = dict[int | str, dict[str, Any]]

_REFUSAL = {"model": RefusalReply, "content": {"application/json": {"example": REFUSAL_EXAMPLE}}}
_BATCH = {"requests": [example["value"] for example in REQUEST_EXAMPLES.values()]}
_EXAMPLES: Mapping[type[BaseModel], Mapping[str, object]] = {
    ScoreReply: REQUEST_EXAMPLES,
    BatchReply: {"batch": {"summary": "Bodies and wrappers", "value": _BATCH}},
}
_HEADERS: Mapping[str, tuple[str, dict[str, object]]] = {
    ACCOUNT_HEADER: ("Who sent it", {"type": "string", "minLength": 1, "maxLength": MAX_ACCOUNT_CHARACTERS}),
    TIME_HEADER: ("When, Unix time in seconds; now where left out or in the future", {"type": "number", "minimum": 0}),
    DEADLINE_HEADER: (
        "Milliseconds in which an answer is due, from queue.least_deadline_ms to queue.deadline_ms",
        {"type": "number", "exclusiveMinimum": 0},
    ),
}

UNAUTHORISED: Responses = {401: {"description": "No key, or an unknown one", **_REFUSAL}}

METRICS: Responses = {200: {"content": {CONTENT_TYPE_LATEST: {"schema": {"type": "string"}}}}, **UNAUTHORISED}

READINESS: Responses = {200: {"model": StateReply}, 503: {"model": StateReply, "description": "Not now"}}


def describe_call(model: type[BaseModel]) -> dict[str, Any]:
    """The body and the headers of a scoring call that is answered by `model`."""
    content = {"application/json": {"schema": {"type": "object"}, "examples": _EXAMPLES[model]}}
    headers = [
        {"name": name, "in": "header", "required": False, "description": about, "schema": schema}
        for name, (about, schema) in _HEADERS.items()
    ]
    return {"requestBody": {"required": True, "content": content}, "parameters": headers}


def describe_replies(model: type[BaseModel]) -> Responses:
    """Every status that a scoring call is answered with."""
    example: object = SCORE_EXAMPLE if model is ScoreReply else {"results": [SCORE_EXAMPLE, REFUSAL_EXAMPLE]}
    told: Responses = {200: {"model": model, "content": {"application/json": {"example": example}}}, **UNAUTHORISED}
    about = {
        400: "Not a request",
        408: "The body came too slowly",
        413: "The body is too large",
        415: "Not application/json",
        429: "Overloaded: nothing was scored; see Retry-After",
        503: "No verdict in time, not ready, or the scorer failed; see Retry-After",
    }
    return told | {status: {"description": words, **_REFUSAL} for status, words in about.items()}
