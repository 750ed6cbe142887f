"""Checks a built wheel against the checkout: every file that ships is in it, nothing else is, and it is light.

Run it from the checkout: `.venv/bin/python tests/house/wheel.py dist/NAME.whl`. Exits with 1 and says what is wrong.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from zipfile import ZipFile

FOLDERS = ("data", "model", "train", "serve")
DATA_FILES = (
    "data/families/*.yaml",
    "data/material/**/*.yaml",
    "data/authored/*.jsonl",
    "data/pages/*.j2",
    "data/streams/**/*.yaml",
    "data/streams/*.json",
    "model/letters/*",
    "train/suites/pages/*.j2",
)
DEFAULT_BUNDLE = Path("model/default")
MAX_MB = 40


def list_shipped() -> set[str]:
    """Files of the checkout that a wheel must hold, by their path in it."""
    found = {path for folder in FOLDERS for pattern in ("*.py", "py.typed") for path in Path(folder).rglob(pattern)}
    found |= {path for pattern in DATA_FILES for path in Path().glob(pattern)}
    manifest = DEFAULT_BUNDLE / "manifest.json"
    if not manifest.is_file():
        raise SystemExit(f"{DEFAULT_BUNDLE}: no default bundle in the checkout; train one and copy it there")
    found |= {manifest, *(DEFAULT_BUNDLE / name for name in json.loads(manifest.read_text("utf-8"))["files"])}
    return {f"stillwatch/{path.as_posix()}" for path in found}


def main(wheel: Path) -> None:
    """Compare, and say how large it is."""
    size_mb = wheel.stat().st_size / 1e6
    with ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if not name.endswith("/") and ".dist-info/" not in name}
    shipped = list_shipped()
    if missing := sorted(shipped - held):
        raise SystemExit(f"the wheel lacks {len(missing)} files: {', '.join(missing[:10])}")
    if strange := sorted(held - shipped):
        raise SystemExit(f"the wheel holds {len(strange)} files that should not ship: {', '.join(strange[:10])}")
    if size_mb >= MAX_MB:
        raise SystemExit(f"the wheel has {size_mb:.1f} MB; it must stay under {MAX_MB}")
    print(f"{wheel.name}: {len(held)} files, {size_mb:.1f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
