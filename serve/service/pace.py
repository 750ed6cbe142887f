"""How much work a request is, and how fast work was done lately: by this the queue tells who would be too late.

Estimates, made without cutting a text: a wrong one refuses a request that had time, or lets one in that is late; no
verdict depends on it.
"""

from __future__ import annotations

from stillwatch.data.records import Request

_MEMORY = 0.9  # of what was learnt, when another batch is done
_CHARACTERS_A_TOKEN = 4
_FIXED_TOKENS = 32  # what a request costs besides its text, as tokens
_KNOWN_SHARE = 0.125  # of the work, for messages before the last: mostly encoded with an earlier request


class Pace:
    """Seconds a token of effort, as a ratio of sums: many cheap batches do not outweigh a dear one. Not thread-safe."""

    def __init__(self) -> None:
        """Know nothing yet: whatever comes will take no time."""
        self._seconds = self._effort = 0.0

    @property
    def s_per_token(self) -> float:
        """Seconds that one worker takes for a token of effort."""
        return self._seconds / self._effort if self._effort else 0.0

    def learn(self, effort: float, seconds: float) -> None:
        """Note a batch that one worker did."""
        self._seconds = _MEMORY * self._seconds + seconds
        self._effort = _MEMORY * self._effort + effort


def estimate_tokens(request: Request) -> int:
    """Roughly the tokens of a request, without cutting it: a quarter of its characters, at least one."""
    return 1 + request.num_characters // _CHARACTERS_A_TOKEN


def estimate_effort(request: Request, *, remembers: bool) -> float:
    """Roughly the work of a request, in tokens to encode.

    Args:
        request: the request.
        remembers: whether encodings are kept; then all but the last message counts for an eighth.
    """
    last = len(request.messages[-1].content) if request.messages else 0
    share = _KNOWN_SHARE if remembers else 1.0
    return _FIXED_TOKENS + (last + share * (request.num_characters - last)) / _CHARACTERS_A_TOKEN
