"""The error tree, drawn once. Every message names the field, the value's kind and the remedy.

StillwatchError
├── InputError      a request, row or file that cannot be read
├── ConfigError     a configuration that cannot be used
├── SplitError      a split that would leak
├── SourceError     a data source that is missing or refused
├── AuditError      a dataset whose labels can be told by outward features
├── EncoderError    a base encoder that is missing or not the one pinned
├── BundleError     a bundle that is incomplete, changed or too new
├── ExportError     an export that does not agree with the model it came from
├── StoreError      a store of account states that is away or too busy
└── TrackingError   a tracking server or registry that refused

No message ever carries user text: the *kind* of a value is told ("a list", "a number"), never the value.
"""

from __future__ import annotations


class StillwatchError(Exception):
    """Root of all errors meant for a user; the command line prints it in one line and exits with `exit_code`."""

    exit_code = 1


class InputError(StillwatchError):
    """A request, row or file that cannot be read.

    Args:
        field: dotted path of the offending field, such as `messages.2.content`.
        kind: what was found there, in words and without its content.
        remedy: what to do.
        where: file and line, when known.
    """

    exit_code = 65  # EX_DATAERR of sysexits.h

    def __init__(self, field: str, kind: str, remedy: str, where: str | None = None) -> None:
        """Keep the parts, so that callers can map them without parsing the message."""
        self.field, self.kind, self.remedy, self.where = field, kind, remedy, where
        super().__init__(f"{where + ': ' if where else ''}{field}: {kind}; {remedy}")

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, str, str | None]]:
        """Pickle by the parts, so that it passes from worker processes."""
        return type(self), (self.field, self.kind, self.remedy, self.where)

    def at(self, where: str) -> InputError:
        """The same error with its place (`file:line`) told."""
        return InputError(self.field, self.kind, self.remedy, where)


class ConfigError(StillwatchError):
    """A configuration with an unknown key, a wrong type or a value out of its range."""

    exit_code = 78  # EX_CONFIG


class SplitError(StillwatchError):
    """A split in which a family, a near-duplicate or a session would stand on two sides."""

    exit_code = 65


class SourceError(StillwatchError):
    """A data source that is missing, empty or not allowed here."""

    exit_code = 66  # EX_NOINPUT


class AuditError(StillwatchError):
    """A dataset in which an outward feature alone tells the labels apart beyond the limit."""

    exit_code = 65


class EncoderError(StillwatchError):
    """A base encoder that cannot be found, or whose files are not the pinned ones."""

    exit_code = 66


class BundleError(StillwatchError):
    """A bundle that is incomplete, was changed after it was sealed, or has an unknown format."""

    exit_code = 65


class ExportError(StillwatchError):
    """An exported model whose scores do not agree with the model it came from."""

    exit_code = 70  # EX_SOFTWARE


class StoreError(StillwatchError):
    """A store of account states that cannot be reached, or in which others were always faster.

    Args:
        reason: a stable code, such as `state_store_away`.
        remedy: what to do.
    """

    exit_code = 75  # EX_TEMPFAIL

    def __init__(self, reason: str, remedy: str) -> None:
        """Keep the code, so that callers can go on without the store and say why."""
        self.reason = reason
        super().__init__(f"{reason}; {remedy}")


class TrackingError(StillwatchError):
    """A tracking store or registry that cannot be reached or refused a request."""

    exit_code = 69  # EX_UNAVAILABLE


def kind_of(value: object) -> str:
    """The kind of a value in JSON's words, never its content: `a list of 3`, `a number`, `null`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "an empty string" if not value else f"a string of {len(value)} characters"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, list | tuple):
        return "an empty list" if not value else f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an empty object" if not value else "an object"
    return f"a {type(value).__name__}"
