"""A run tells the commit that it was made from, where there is one."""

from __future__ import annotations

import subprocess
from pathlib import Path

from stillwatch.train.provenance import describe_provenance


def test_a_checkout_tells_its_commit_and_another_folder_none(tmp_path: Path) -> None:
    assert "git.commit" not in describe_provenance(seed=0, folder=tmp_path)
    git = ["/usr/bin/env", "git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run([*git, "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "a"], cwd=tmp_path, check=True)
    assert describe_provenance(seed=0, folder=tmp_path)["git.dirty"] == "false"
    (tmp_path / "b").touch()
    tags = describe_provenance(seed=0, folder=tmp_path)
    assert len(tags["git.commit"]) == 40
    assert tags["git.dirty"] == "true"
