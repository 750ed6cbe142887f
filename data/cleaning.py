"""Cleans texts that come from elsewhere: one normal form, and personal data masked in their own form.

A mask keeps length and form (an address stays an address, a number a number), for a placeholder in every masked row
would be a shortcut of its own. What is masked: e-mail addresses, telephone numbers with a country code, IP addresses,
bank account and card numbers that pass their check sums, and secret keys of well-known shapes. Names of persons and
postal addresses are not found: a dataset with such texts is not anonymous.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import unicodedata
from dataclasses import replace

from phonenumbers import Leniency, PhoneNumberMatcher

from stillwatch.data.records import LabelledRequest

_EMAIL = re.compile(r"[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}")
_IPV4 = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}\b")
_CARD = re.compile(r"(?<![\d.])(?:\d[ -]?){12,18}\d(?![\d.])")
_SECRET = re.compile(r"\b(?:sk-|ghp_|gho_|xox[abp]-|AKIA|AIza|hf_|glpat-)[\w-]{12,}")


def clean(record: LabelledRequest) -> LabelledRequest:
    """The record with every message in normal form and its personal data masked."""
    messages = tuple(
        replace(message, content=mask_personal_data(normalise(message.content))) for message in record.request.messages
    )
    return replace(record, request=replace(record.request, messages=messages))


def normalise(text: str) -> str:
    """Unicode NFC, line feeds alone, no blanks at line ends, at most two line feeds in a row, no blanks around."""
    text = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")
    lines = "\n".join(line.rstrip() for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", lines).strip()


def mask_personal_data(text: str) -> str:
    """Replace personal data by made-up data of the same form; equal data gets equal replacements in every text."""
    text = _SECRET.sub(lambda match: _scramble(match[0], keep=4), text)
    text = _EMAIL.sub(lambda match: f"user{_number(match[0], 10_000)}@example.org", text)
    text = _IPV4.sub(_mask_address, text)
    text = _IBAN.sub(lambda match: _scramble(match[0], keep=2) if _is_iban(match[0]) else match[0], text)
    text = _CARD.sub(lambda match: _scramble(match[0]) if _is_card(match[0]) else match[0], text)
    if "+" not in text:
        return text
    pieces, end = [], 0
    for match in PhoneNumberMatcher(text, None, leniency=Leniency.VALID):
        pieces += [text[end : match.start], _scramble(match.raw_string, keep=3)]
        end = match.end
    return "".join((*pieces, text[end:]))


def _mask_address(match: re.Match[str]) -> str:
    try:
        address = ipaddress.ip_address(match[0])
    except ValueError:
        return match[0]
    # Those of private networks name nobody, and 192.0.2.0/24 is kept for documentation (RFC 5737).
    return f"192.0.2.{_number(match[0], 254) + 1}" if address.is_global else match[0]


def _is_iban(text: str) -> bool:
    """ISO 13616: rearranged and read as a number, 1 modulo 97."""
    compact = text.replace(" ", "")
    return int("".join(str(int(letter, 36)) for letter in compact[4:] + compact[:4])) % 97 == 1


def _is_card(text: str) -> bool:
    """ISO/IEC 7812: the Luhn sum is a multiple of ten."""
    digits = [int(letter) for letter in text if letter.isdigit()]
    doubled = [digit * 2 - 9 * (digit > 4) if place % 2 else digit for place, digit in enumerate(reversed(digits))]
    return len(set(digits)) > 1 and sum(doubled) % 10 == 0


def _scramble(text: str, keep: int = 0) -> str:
    """Other letters for letters and other digits for digits after the first `keep` characters."""
    noise = hashlib.sha256(text.encode()).digest() * (len(text) // 32 + 1)
    return text[:keep] + "".join(map(_scramble_letter, text[keep:], noise))


def _scramble_letter(letter: str, noise: int) -> str:
    if letter.isdigit():
        return str(noise % 10)
    if letter.isascii() and letter.isalpha():
        return chr((65 if letter.isupper() else 97) + noise % 26)
    return letter


def _number(text: str, limit: int) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) % limit
