"""Why a request gets no verdict: one table of codes, HTTP statuses and words, and the error that carries one.

What is told is fixed here, but for the field and kind of an `InputError`; no exception's text ever reaches a reply.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from stillwatch.data.errors import InputError


class Code(StrEnum):
    """Codes of refusals. Stable: count and search them."""

    UNAUTHORISED = "unauthorised"
    NOT_FOUND = "not_found"
    METHOD = "method_not_allowed"
    MEDIA_TYPE = "unsupported_media_type"
    TOO_LARGE = "body_too_large"
    BODY_SLOW = "body_too_slow"
    CUT = "body_cut"
    BAD_INPUT = "bad_input"
    TOO_MANY = "too_many_in_flight"
    QUEUE_FULL = "queue_full"
    DEADLINE = "deadline_exceeded"
    NOT_READY = "not_ready"
    DRAINING = "draining"
    SCORER_FAILED = "scorer_failed"
    SERVICE_FAILED = "service_failed"


REFUSALS: Mapping[Code, tuple[int, str]] = MappingProxyType(
    {
        Code.UNAUTHORISED: (401, "send a key of this service as Authorization: Bearer KEY"),
        Code.NOT_FOUND: (404, "there is nothing here; see /openapi.json"),
        Code.METHOD: (405, "another method is needed; see /openapi.json"),
        Code.MEDIA_TYPE: (415, "send Content-Type: application/json and no Content-Encoding"),
        Code.TOO_LARGE: (413, "the body is larger than limits.max_body_bytes"),
        Code.BODY_SLOW: (408, "the body took longer than limits.body_timeout_s"),
        Code.CUT: (400, "the body ended before its end"),
        Code.BAD_INPUT: (400, "the body is not a request"),
        Code.TOO_MANY: (429, "too many calls at once; try again after Retry-After"),
        Code.QUEUE_FULL: (429, "the queue is full, or longer than the deadline; try again after Retry-After"),
        Code.DEADLINE: (503, "the deadline passed before the verdict was there"),
        Code.NOT_READY: (503, "warming up; ask /readyz"),
        Code.DRAINING: (503, "shutting down; ask another replica"),
        Code.SCORER_FAILED: (503, "the scorer failed on this request; the log tells where"),
        Code.SERVICE_FAILED: (500, "the service failed on this call; the log tells where"),
    }
)
"""Status and words of every code."""

UNREADABLE = frozenset({Code.MEDIA_TYPE, Code.TOO_LARGE, Code.BODY_SLOW, Code.CUT, Code.BAD_INPUT})
"""Codes of bodies that this service cannot read; another reader might, so `policy.on_unreadable` decides on them."""


class RefusedError(Exception):
    """A request that gets no verdict.

    Args:
        code: why.
        retry_after_s: seconds after which trying again makes sense, for 429 and 503.
        found: field, kind and remedy, where the body is at fault; never its text.
        account: who sent it as far as that is known, as it was told; for `Service.refuse`, which hashes it.
    """

    def __init__(
        self, code: Code, *, retry_after_s: int = 1, found: InputError | None = None, account: str | None = None
    ) -> None:
        """Keep the parts."""
        super().__init__(code)
        self.code, self.retry_after_s, self.found, self.account = code, retry_after_s, found, account

    @property
    def status(self) -> int:
        """The HTTP status."""
        return REFUSALS[self.code][0]

    @property
    def message(self) -> str:
        """The words of the reply."""
        return REFUSALS[self.code][1] if self.found is None else f"{self.found.kind}; {self.found.remedy}"

    @property
    def field(self) -> str | None:
        """Dotted path of the field at fault, where there is one."""
        return self.found.field if self.found is not None else None

    @property
    def is_temporary(self) -> bool:
        """Whether trying again makes sense."""
        return self.status in (429, 503)
