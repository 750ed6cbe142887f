"""Which rows may teach a model that is given away: only those whose licence is permissive beyond doubt."""

from __future__ import annotations

PERMISSIVE = frozenset({"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "MIT", "ODC-BY", "Unlicense"})
"""SPDX identifiers. Attribution suffices for each of them, and the model card gives it."""


def is_permissive(licence: str) -> bool:
    """Whether every part of a licence statement is one of `PERMISSIVE`.

    Anything that is not a bare identifier, or several joined by `;`, `AND` or `/`, counts as not permissive: a
    remark such as `(code)` or `upstream data ...` means that somebody had a doubt.
    """
    parts = licence.replace(" AND ", ";").replace("/", ";").split(";")
    return bool(licence.strip()) and all(part.strip() in PERMISSIVE for part in parts)
