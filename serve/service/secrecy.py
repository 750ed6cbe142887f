"""Hashes of what must not lie about: accounts, callers' request ids, fingerprints of texts (keyed) and API keys.

A keyed hash hides an account from whoever lacks the key, and keeps it one account for whoever counts. API keys are
made here from 256 random bits, so a plain SHA-256 of one cannot be guessed back.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stillwatch.data.errors import ConfigError

KEY_VARIABLE = "STILLWATCH_ACCOUNT_KEY"
"""Environment variable with the key of the hashes, where no file is named."""

LEAST_KEY_BYTES = 16
_DIGITS = 32
_KEY_LINE = re.compile(r"([A-Za-z0-9_.-]{1,64}):([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class KeyedHasher:
    """HMAC-SHA-256 (RFC 2104), cut to 128 bits. `is_lasting` is False where the key is of this process only."""

    key: bytes
    is_lasting: bool = True

    def hash_account(self, account: str) -> str:
        """The name under which an account is stored and logged, 32 hexadecimal digits."""
        return self._hash(b"account:", account)

    def hash_request_id(self, request_id: str) -> str:
        """The caller's own id of a request as the audit keeps it; an account of the same letters has another hash."""
        return self._hash(b"request:", request_id)

    def hash_fingerprint(self, fingerprint: int) -> str:
        """The name under which a server counts who sent a text: without the key, no known text can be looked up."""
        return self._hash(b"fingerprint:", f"{fingerprint:016x}")

    def _hash(self, kind: bytes, text: str) -> str:
        return hmac.new(self.key, kind + text.encode("utf-8", "surrogatepass"), "sha256").hexdigest()[:_DIGITS]


def load_hasher(key_file: Path | None, environment: Mapping[str, str] = os.environ) -> KeyedHasher:
    """The hasher with the key of a file, else of the environment, else a random one.

    Raises:
        ConfigError: the file cannot be read, or the key is shorter than 16 bytes.
    """
    if key_file is None and KEY_VARIABLE not in environment:
        return KeyedHasher(secrets.token_bytes(32), is_lasting=False)
    where = f"accounts.key_file: {key_file}" if key_file is not None else KEY_VARIABLE
    key = _read(key_file, "accounts.key_file") if key_file is not None else environment[KEY_VARIABLE].encode()
    key = key.strip()
    if len(key) < LEAST_KEY_BYTES:
        raise ConfigError(f"{where}: a key of {len(key)} bytes; use {LEAST_KEY_BYTES} random ones or more")
    return KeyedHasher(key)


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """The SHA-256 of every key that is let in, by the name it was given."""

    digests: Mapping[str, str]

    def find(self, key: str) -> str | None:
        """The name of the key, None where it is none of them; the time taken does not tell how near it came."""
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        found = [name for name, known in self.digests.items() if hmac.compare_digest(digest, known)]
        return found[0] if found else None


def make_api_key(name: str) -> tuple[str, str]:
    """A new key, and the line of it for the keys file.

    Raises:
        ConfigError: the name is no word of letters, digits, `_`, `.` and `-`.
    """
    key = "sw-" + secrets.token_urlsafe(32)
    line = f"{name}:{hashlib.sha256(key.encode()).hexdigest()}"
    if _KEY_LINE.fullmatch(line) is None:
        raise ConfigError("--new-key: not a name; use up to 64 letters, digits, `_`, `.` and `-`")
    return key, line


def load_api_keys(path: Path) -> ApiKeys:
    """The keys file: a line each, `name:digest`; blank lines and those that begin with `#` are passed over.

    Raises:
        ConfigError: the file cannot be read, a line is of another form, a name or a key stands twice, or there is none.
    """
    digests: dict[str, str] = {}
    lines = _read(path, "auth.keys_file").decode("utf-8", "replace").splitlines()
    for number, text in enumerate(lines, 1):
        line = text.strip()
        if not line or line.startswith("#"):
            continue
        match = _KEY_LINE.fullmatch(line)
        if match is None or match[1] in digests:
            kind = "no `name:digest`" if match is None else "a name for the second time"
            raise ConfigError(f"auth.keys_file: {path}:{number}: {kind}; write what --new-key printed")
        if match[2] in digests.values():
            raise ConfigError(f"auth.keys_file: {path}:{number}: a key that has a name already; make one for each")
        digests[match[1]] = match[2]
    if not digests:
        raise ConfigError(f"auth.keys_file: {path}: no key in it; make one with stillwatch serve --new-key NAME")
    return ApiKeys(digests)


def _read(path: Path, field: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{field}: {path}: cannot be read ({error.strerror}); name a readable file") from error
