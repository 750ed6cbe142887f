"""Promises of the check that an author of families runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from stillwatch.data.checking import DRAWS, check_families
from stillwatch.data.commands import data
from stillwatch.data.errors import ConfigError, SourceError
from stillwatch.data.families import SHIPPED_FAMILIES

ONE = """
- family: mine.same
  label: benign
  lang: en
  register: terse
  persona: clerk
  seed: none
  turns:
    - user: ["Please sort the letters of today by the name of the sender and then by town."]
"""


def test_a_family_of_one_wording_is_found_out(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(ONE, "utf-8")
    ((check,), audit) = check_families(path)
    assert (check.name, check.label, check.near_duplicates) == ("mine.same", "benign", DRAWS - 1)
    assert audit is None


def test_shipped_families_are_checked_by_file_or_folder() -> None:
    checks, audit = check_families(SHIPPED_FAMILIES / "starter.yaml")
    assert len(checks) == 4
    assert audit is not None
    assert sum(check.near_duplicates for check in checks) < DRAWS


def test_a_fault_is_told_with_file_family_and_field(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(ONE.replace("seed: none", "seed: poem"), "utf-8")
    with pytest.raises(ConfigError, match=r"mine\.yaml: family mine\.same: field seed"):
        check_families(tmp_path)
    with pytest.raises(SourceError, match="is not there"):
        check_families(tmp_path / "nowhere")


def test_the_command_prints_a_line_for_every_family(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(ONE, "utf-8")
    result = CliRunner().invoke(data, ["check", str(tmp_path)], catch_exceptions=False)
    assert "mine.same" in result.stdout
