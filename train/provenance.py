"""Which code, on which machine, made a run: the tags that let somebody repeat it.

A commit is told only where the code lies in a git checkout; an installed wheel is told by its version.
"""

from __future__ import annotations

import getpass
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("stillwatch", "torch", "transformers", "numpy", "scikit-learn", "onnxruntime", "mlflow")
"""Packages whose version can change a result."""


def describe_provenance(*, seed: int, folder: Path | None = None) -> dict[str, str]:
    """Tags of the code and the machine; those of git and user are named as MLflow's page expects them.

    Args:
        seed: seed of the run.
        folder: where the code lies; the folder of this package when left out.
    """
    tags = {
        "seed": str(seed),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "mlflow.source.name": "stillwatch",
        "mlflow.source.type": "LOCAL",
        "mlflow.user": _name_user(),
    }
    for package in PACKAGES:
        try:
            tags[f"version.{package}"] = version(package)
        except PackageNotFoundError:
            tags[f"version.{package}"] = "absent"
    return tags | _describe_git(folder or Path(__file__).parent)


def _name_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"


def _describe_git(folder: Path) -> dict[str, str]:
    try:
        commit = subprocess.run(
            ["/usr/bin/env", "git", "rev-parse", "HEAD"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
        status = subprocess.run(
            ["/usr/bin/env", "git", "status", "--porcelain"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return {}  # a wheel, or a machine without git
    dirty = "true" if status.stdout.strip() else "false"
    return {
        "git.commit": commit.stdout.strip(),
        "git.dirty": dirty,
        "mlflow.source.git.commit": commit.stdout.strip(),
        "mlflow.source.git.dirty": dirty,
    }
