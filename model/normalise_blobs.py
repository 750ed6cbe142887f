"""Finds text that was written in an encoding, and decodes it: base64, hex, percent, HTML references, escapes, rot13.

A blob is decoded only when a sample of it is plausible text; an image in base64 costs one look at its first bytes. The
blob stays where it stands: what was decoded is read beside it. It breaks no cipher but rot13, unpacks nothing that is
compressed, and does not put together a blob that is spread over several messages.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote_to_bytes

from stillwatch.model.normalise_prose import find_rotated_lines, reads_as_prose

_SAMPLE = 64
"""Characters of a blob that are decoded to see whether it is text."""
_LEAST_CHARACTERS = 12
_LEAST_TEXT_SHARE = 0.95
_LEAST_LETTER_SHARE = 0.5

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{20,}={0,2}(?:\r?\n[A-Za-z0-9+/_-]{16,}={0,2})*")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2}){12,}|(?:(?:0x)?[0-9A-Fa-f]{2}[ ,:]{1,2}){11,}(?:0x)?[0-9A-Fa-f]{2}\b")
_PERCENT = re.compile(r"(?:[^\s%]{0,24}%[0-9A-Fa-f]{2}){6,}[^\s%]{0,24}")
_REFERENCES = re.compile(r"(?:&#(?:\d{2,7}|[xX][0-9A-Fa-f]{2,6});[^&\n]{0,3}){6,}")
_ESCAPES = re.compile(
    r"(?:\\(?:u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|U[0-9A-Fa-f]{8}|u\{[0-9A-Fa-f]{1,6}\})[^\\\n]{0,3}){6,}"
)
_ESCAPE = re.compile(r"\\(?:u\{([0-9A-Fa-f]{1,6})\}|[uUx]([0-9A-Fa-f]+))")


class Encoding(StrEnum):
    """How a text was written."""

    BASE64 = "base64"
    HEX = "hex"
    PERCENT = "percent"
    REFERENCES = "html_references"
    ESCAPES = "escapes"
    ROT13 = "rot13"
    INVISIBLE = "invisible"
    """In characters without a picture; see `read_smuggled`."""


@dataclass(frozen=True, slots=True)
class Blob:
    """What was decoded.

    Attributes:
        encoding: how it was written.
        text: what it says.
        is_disguise: whether nothing called for the encoding: prose in base64 or hex, or escaped plain letters.
    """

    encoding: Encoding
    text: str
    is_disguise: bool


def iter_blobs(text: str, word_runs: frozenset[int]) -> Iterator[Blob]:
    """The encoded texts within `text`, kind by kind; each is decoded once, what is inside it is not looked into.

    Args:
        text: where they stand.
        word_runs: what `find_word_runs` says of it.
    """
    if len(text) < _LEAST_CHARACTERS:
        return
    for match in _BASE64.finditer(text):
        yield from _decode_run(match.group())
    if word_runs & {2, 4}:  # 48 65, 0x48 0x65
        for match in _HEX.finditer(text):
            if not match.group().isalnum():  # those without blanks were seen above
                yield from _decode_hex(match.group())
    for mark, pattern, encoding, decode, is_plain in _MARKED:
        if mark in text:
            for match in pattern.finditer(text):
                decoded = decode(match.group())
                if _is_text(decoded):
                    yield Blob(encoding, decoded, is_plain(match.group()) and reads_as_prose(decoded))
    if rotated := find_rotated_lines(text):
        yield Blob(Encoding.ROT13, "\n".join(rotated).translate(_ROT13), is_disguise=True)


def _decode_run(run: str) -> Iterator[Blob]:
    """A run of letters and digits: hex, base64 over one line or several, or nothing of the kind."""
    if _HEX.fullmatch(run.rstrip("=")):
        yield from _decode_hex(run)
        return
    lines = run.split()
    # Lines of one length are one blob; else each line is one, and the lines that follow a word are none.
    is_wrapped = len(lines) > 1 and len({len(line) for line in lines[:-1]}) == 1 and len(lines[-1]) <= len(lines[0])
    for blob in ["".join(lines)] if is_wrapped else lines:
        if len(blob) >= 20 and (text := _decode_text(blob, _decode_base64, 4)) is not None:
            yield Blob(Encoding.BASE64, text, reads_as_prose(text) and " " in text)


def _decode_hex(run: str) -> Iterator[Blob]:
    digits = re.sub(r"0x|[^0-9A-Fa-f]", "", run)
    text = _decode_text(digits[: len(digits) // 2 * 2], bytes.fromhex, 2)
    # Columns of numbers give capital letters in no order.
    if text is not None and (not text.isascii() or reads_as_prose(text, least_letters=_LEAST_CHARACTERS)):
        yield Blob(Encoding.HEX, text, " " in text)


def _decode_text(blob: str, decode: Callable[[str], bytes], unit: int) -> str | None:
    """The text in a blob, or None; samples from its start and its middle are tried before the whole."""
    middle = len(blob) // 2 // unit * unit
    samples = (blob[:_SAMPLE], blob[middle : middle + _SAMPLE])
    try:
        if not any(_is_text(_read_bytes(decode(sample))) for sample in samples):
            return None
        text = _read_bytes(decode(blob))
    except (binascii.Error, ValueError):
        return None
    return text if _is_text(text) else None


def _read_bytes(data: bytes) -> str:
    """UTF-8, or nothing where more is broken than a cut at either end explains."""
    text = data.decode("utf-8", "ignore")
    return text if len(text.encode("utf-8")) >= 0.95 * len(data) - 6 else ""


def _decode_base64(blob: str) -> bytes:
    plain = blob.rstrip("=").replace("-", "+").replace("_", "/")
    plain = plain[: len(plain) - (len(plain) % 4 == 1)]
    return base64.b64decode(plain + "=" * (-len(plain) % 4))


def _decode_percent(run: str) -> str:
    return unquote_to_bytes(run.replace("+", " ")).decode("utf-8", "ignore")


def _decode_escapes(run: str) -> str:
    text = _ESCAPE.sub(lambda match: chr(min(int(match[1] or match[2], 16), 0x10FFFF)), run)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "ignore")  # joins pairs of surrogates


def _has_plain_percent(run: str) -> bool:
    """Whether letters are encoded that a URL may hold as they are."""
    return len(re.findall("%(?:4[1-9A-Fa-f]|5[0-9Aa]|6[1-9A-Fa-f]|7[0-9Aa])", run)) >= _LEAST_CHARACTERS


def _has_plain_reference(run: str) -> bool:
    return sum(c.isascii() and c.isalpha() for c in html.unescape(run)) >= _LEAST_CHARACTERS


def _has_plain_escape(run: str) -> bool:
    return len(re.findall(r"\\(?:u00|x|U000000|u\{)[4-7][0-9A-Fa-f]", run)) >= _LEAST_CHARACTERS


def _is_text(text: str) -> bool:
    """Whether this is text: enough of it, hardly a control character, mostly letters and blanks."""
    if len(text.encode("utf-8", "ignore")) < _LEAST_CHARACTERS:
        return False
    visible = sum(c.isprintable() or c in "\t\r\n" for c in text[:4096])
    letters = sum(c.isalpha() or c in " \n" for c in text[:4096])
    length = len(text[:4096])
    return visible >= _LEAST_TEXT_SHARE * length and letters >= _LEAST_LETTER_SHARE * length


_Marked = tuple[str, re.Pattern[str], Encoding, Callable[[str], str], Callable[[str], bool]]
_MARKED: tuple[_Marked, ...] = (
    ("%", _PERCENT, Encoding.PERCENT, _decode_percent, _has_plain_percent),
    ("&#", _REFERENCES, Encoding.REFERENCES, html.unescape, _has_plain_reference),
    ("\\", _ESCAPES, Encoding.ESCAPES, _decode_escapes, _has_plain_escape),
)
_ROT13 = str.maketrans(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "NOPQRSTUVWXYZABCDEFGHIJKLMnopqrstuvwxyzabcdefghijklm"
)
