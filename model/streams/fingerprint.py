"""Fingerprints of a request's skeleton: 64-bit numbers that stay when the filled slot changes, never text.

They tell that two requests were probably filled into one form, not who sent them nor what was filled in. The hashes
need no key and are stable over machines and releases of one `FINGERPRINT_VERSION`, so accounts that never met can be
compared; whoever holds a form can compute its fingerprint, so treat logs of them as logs of opaque identifiers.
"""

from __future__ import annotations

from dataclasses import dataclass

from stillwatch.data.records import Request

FINGERPRINT_VERSION = 1
"""Raised whenever a request's fingerprints change: counts and states of another version mean nothing."""


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Skeletons of one request, each a number below 2^64; a kind that it does not have is an empty tuple.

    Attributes:
        system: of the system text, at most 2.
        instruction: of the user's words without what was filled in, at most 3.
        form: of the output contract (headers, keys, tags) and of the header of exemplars, at most 2.
        opening: of the first exchange (user turn and answer) that a conversation brings along, at most 1.
        tools: of the names of the tools offered, at most 1; compared within an account only.
    """

    system: tuple[int, ...] = ()
    instruction: tuple[int, ...] = ()
    form: tuple[int, ...] = ()
    opening: tuple[int, ...] = ()
    tools: tuple[int, ...] = ()

    @property
    def shared(self) -> tuple[int, ...]:
        """Those that are counted over accounts: all but `tools`, at most 8."""
        return self.system + self.instruction + self.form + self.opening

    @property
    def own(self) -> tuple[int, ...]:
        """Those whose repetition within the account is measured: system, instruction and form."""
        return self.system + self.instruction + self.form


def fingerprint_request(request: Request) -> Fingerprints:
    """The fingerprints of a request."""
    raise NotImplementedError
