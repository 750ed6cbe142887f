"""Accounts that are known and welcome, such as evaluators: kept as keyed hashes, each with a note for the audit.

The list hides who is on it from whoever holds the file without the key; it does not hide how many there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

from stillwatch.data.errors import ConfigError

_LEAST_KEY_BYTES = 16
_DIGEST_BYTES = 16


class AllowList:
    """Notes by keyed hash of the account."""

    def __init__(self, key: bytes, notes: Mapping[str, str]) -> None:
        """Take the list over.

        Args:
            key: the secret key, 16 to 64 bytes.
            notes: by the account's hash, as `hash_account` gives it: who vouches for it, and since when.

        Raises:
            ConfigError: the key is too short or too long, or an account has no note.
        """
        if not _LEAST_KEY_BYTES <= len(key) <= blake2b.MAX_KEY_SIZE:
            raise ConfigError(f"allow-list: a key of {len(key)} bytes; use 16 to 64 random ones")
        if not all(note.strip() for note in notes.values()):
            raise ConfigError("allow-list: an account without a note; say who vouches for it, for the audit")
        self._key, self._notes = key, dict(notes)

    def find(self, account: str) -> str | None:
        """The account's note, or None where it is not on the list."""
        return self._notes.get(hash_account(account, self._key))


def hash_account(account: str, key: bytes) -> str:
    """The keyed hash of an account, 32 hexadecimal digits (BLAKE2b, RFC 7693)."""
    return blake2b(account.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES, key=key).hexdigest()
