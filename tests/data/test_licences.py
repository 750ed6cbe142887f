"""A licence statement that leaves a doubt is no permission."""

from __future__ import annotations

import pytest

from stillwatch.data.licences import is_permissive


@pytest.mark.parametrize(
    "statement",
    ["MIT", "CC0-1.0", "Apache-2.0", " MIT ", "MIT; Apache-2.0", "MIT/Apache-2.0", "BSD-3-Clause AND ODC-BY"],
)
def test_bare_permissive_identifiers_are_taken(statement: str) -> None:
    assert is_permissive(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "",
        " ",
        ";",
        "MIT;",
        "none stated",
        "unknown",
        "Apache-2.0 (code)",
        "MIT, upstream data unknown",
        "MIT; CC-BY-NC-4.0",
        "CC-BY-NC-4.0 AND MIT",
        "MIT OR GPL-3.0",
        "CC-BY-4.0",
        "GPL-3.0",
        "apache 2",
        "MIT-ish",
    ],
)
def test_a_doubt_in_any_part_refuses_the_whole(statement: str) -> None:
    assert not is_permissive(statement)
