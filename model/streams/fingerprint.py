"""Fingerprints of a request's skeleton: 64-bit numbers that stay when the filled slot changes, never text.

They tell that two requests were probably filled into one form, not who sent them nor what was filled in. The hashes
need no key and are stable over machines and releases of one `FINGERPRINT_VERSION`, so accounts that never met can be
compared; whoever holds a form can compute its fingerprint, so treat logs of them as logs of opaque identifiers.

What was read lately is remembered by its hash: an app's system text and template come with every request.

Words: the least hashes of a skeleton's shingles (MinHash; Broder, 1997), of its head, its tail and its whole, so
that a form is met again whether the slot stands behind, before or within it. Form: labels, headings, tags and keys.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from threading import Lock

from cachetools import LRUCache, cached

from stillwatch.data.labels import Role
from stillwatch.data.records import Message, Request
from stillwatch.model.streams.skeleton import clip_ends, hash_shingles, hash_words, split_segments

FINGERPRINT_VERSION = 1
"""Raised whenever a request's fingerprints change: counts and states of another version mean nothing."""

_SHINGLE_WORDS, _SHINGLE_LETTERS = 4, 16
_SYSTEM_WORDS, _SYSTEM_LETTERS = 6, 26
_ZONE = 3  # segments of the head and of the tail
_MOST_NAMES = 40  # labels, headings, tags and keys that are looked at
_MOST_JSON = 20_000  # characters of a request that is parsed as JSON

_TAG = re.compile(r"</?([A-Za-z][\w:-]{0,30})[^<>\n]{0,80}>")
_LABEL = re.compile(r"(?m)^[ \t>*\-#]*([^\W\d_][^\n:=|,.]{0,30}?)[ \t]*[:=](?=\s|$)")
_HEADING = re.compile(r"(?m)^(?:#{1,6}|={2,}|\*\*)[ \t]*([^\W\d_][^\n#=*]{0,40}?)[ \t*=#:]*$")
_NUMBERED = re.compile(r"\d+")
_REMEMBERED = 32_768  # texts of each kind; some 10 MB when full


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Skeletons of one request, each a number below 2^64; a kind that it does not have is an empty tuple.

    Attributes:
        system: of the system text, at most 2.
        instruction: of the user's last words without what was filled in, at most 3.
        form: of the first and the last two of its keys, tags, headings and labels, those of exemplars among them,
            at most 2.
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
    system = "\n".join(message.content for message in request.messages if message.role is Role.SYSTEM)
    asked = next((message.content for message in reversed(request.messages) if message.role is Role.USER), "")
    tools = sorted({tool.name for tool in request.tools})
    return Fingerprints(
        system=_mark("system", _take_system(system)),
        instruction=_mark("instruction", _take_instruction(asked)),
        form=_mark("form", _take_form(asked, request.response_format)),
        opening=_mark("opening", _take_opening(request.messages)),
        tools=_mark("tools", [hash_words(tools)] if tools else []),
    )


def _hash_text(*texts: str) -> bytes:
    return blake2b("\x00".join(texts).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _mark(kind: str, hashes: list[int]) -> tuple[int, ...]:
    """Equal skeletons of different kinds get different numbers."""
    return tuple(hash_words([kind, str(hashed)]) for hashed in dict.fromkeys(hashes))


@cached(LRUCache(_REMEMBERED), key=_hash_text, lock=Lock())
def _take_system(text: str) -> list[int]:
    if not text:
        return []
    segments = split_segments(text)
    hashes = hash_shingles(segments, width=_SYSTEM_WORDS, least_letters=_SYSTEM_LETTERS)
    if not hashes:
        words = [word for segment in segments for word in segment]
        return [hash_words(words)] if len(words) > 1 else []
    return [min(hashes), max(hashes)]


@cached(LRUCache(_REMEMBERED), key=_hash_text, lock=Lock())
def _take_instruction(text: str) -> list[int]:
    segments = split_segments(text)
    zones = (segments[:_ZONE], segments[-_ZONE:], segments)
    hashes = (hash_shingles(zone, width=_SHINGLE_WORDS, least_letters=_SHINGLE_LETTERS) for zone in zones)
    # the head's least, the tail's least, and the whole's greatest, which neither of them need be
    chosen = [choose(found) for found, choose in zip(hashes, (min, min, max), strict=True) if found]
    words = [word for segment in segments for word in segment]
    return chosen or ([hash_words(words)] if len(words) >= _SHINGLE_WORDS else [])


@cached(LRUCache(_REMEMBERED), key=_hash_text, lock=Lock())
def _take_form(text: str, response_format: str) -> list[int]:
    text = clip_ends(text)
    names = list(_iter_keys(response_format)) + list(_iter_keys(text))
    if not names:
        labels = [_fold_name(name) for name in _LABEL.findall(text)[:_MOST_NAMES]]
        headings = [_fold_name(name) for name in _HEADING.findall(text)[:_MOST_NAMES]]
        tags = [f"<{name.casefold()}>" for name in _TAG.findall(text)[:_MOST_NAMES]]
        names = labels + headings + tags
    names = list(dict.fromkeys(names))
    # those at either end: what was filled in between may bring labels of its own
    return [hash_words(["first", *names[:2]]), hash_words(["last", *names[-2:]])] if len(names) > 1 else []


def _take_opening(messages: tuple[Message, ...]) -> list[int]:
    turns = [message for message in messages if message.role is not Role.SYSTEM]
    if len(turns) < 3 or turns[0].role is not Role.USER or turns[1].role is not Role.ASSISTANT:
        return []
    return [hash_words([turns[0].content, turns[1].content])]


def _iter_keys(text: str) -> Iterator[str]:
    """Keys of the objects of a JSON text, outermost first, down to the third level; none of any other text."""
    if not text.lstrip().startswith(("{", "[")) or len(text) > _MOST_JSON:
        return
    try:
        level = [json.loads(text)]
    except (ValueError, RecursionError):
        return
    for _ in range(3):
        level = [item for value in level for item in (value if isinstance(value, list) else [value])]
        objects = [value for value in level if isinstance(value, dict)][:_MOST_NAMES]
        yield from dict.fromkeys(str(key) for value in objects for key in value)
        level = [inner for value in objects for inner in value.values()]


def _fold_name(name: str) -> str:
    return _NUMBERED.sub("0", " ".join(name.casefold().split()))
