"""The walls between the folders, as DESIGN.md draws them: read from the source, and seen in running processes."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stillwatch.model.bundle import Bundle

FOLDERS = ("data", "model", "train", "serve")
MAY_IMPORT = {
    "data": {"data"},
    "model": {"data", "model"},
    "train": {"data", "model", "train"},
    "serve": {"data", "model", "serve"},
}
NEVER_IMPORTS = {
    "data": {"torch", "mlflow"},
    "model": {"mlflow"},
    "train": set[str](),
    "serve": {"torch", "mlflow", "datasets"},
}
TRACKING = "stillwatch.train.tracking"
MLFLOW_PAGES = {f"{TRACKING}.{page}" for page in ("entries", "refusals", "store", "tracker")}
"""All modules that may import mlflow; the room's door settles its environment before they do."""
RECORDS_AND_LABELS = {f"stillwatch.data.{name}" for name in ("attributes", "errors", "labels", "records", "dialects")}
DOOR = {
    "model": RECORDS_AND_LABELS,
    "serve": RECORDS_AND_LABELS | {f"stillwatch.data.{name}" for name in ("configuration", "limits", "reading")},
}
NOT_FOR_SERVING = {"torch", "transformers", "mlflow", "datasets", "pandas", "sklearn", "scipy", "yaml", "jinja2"}


def find_modules(repository: Path) -> dict[str, ast.Module]:
    """Every module of the four folders by its import name, parsed."""
    modules = {}
    for folder in FOLDERS:
        for path in (repository / folder).rglob("*.py"):
            parts = path.relative_to(repository).with_suffix("").parts
            name = ".".join(("stillwatch", *(part for part in parts if part != "__init__")))
            modules[name] = ast.parse(path.read_text("utf-8"))
    return modules


def iter_imports(tree: ast.Module) -> Iterator[str]:
    """What a module imports anywhere in it, also inside functions and by `import_module`.

    `from a import b` gives `a` and `a.b`: which of them is the module is known only to who has the file list.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (module, *(f"{module}.{alias.name}" for alias in node.names))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "__import__"):
            name = node.args[0]
            yield name.value if isinstance(name, ast.Constant) and isinstance(name.value, str) else ".unknown"


@pytest.fixture(scope="module")
def imports(repository: Path) -> dict[str, set[str]]:
    """Imports by module; of our own modules only those that exist, of others the top-level name."""
    trees = find_modules(repository)
    packages = {f"stillwatch.{folder}" for folder in FOLDERS}
    return {
        module: {
            name if name.startswith(("stillwatch", ".")) else name.partition(".")[0]
            for name in iter_imports(tree)
            if not name.startswith("stillwatch") or name in trees or name in packages
        }
        for module, tree in trees.items()
    }


def folder_of(module: str) -> str:
    return module.split(".")[1]


def reach(imports: dict[str, set[str]], start: set[str]) -> set[str]:
    """`start` and all of our modules that they import, directly or through others."""
    seen: set[str] = set()
    waiting = set(start)
    while waiting:
        module = waiting.pop()
        seen.add(module)
        waiting |= {name for name in imports.get(module, set()) if name.startswith("stillwatch.")} - seen
    return seen


def test_the_reader_of_imports_sees_every_form() -> None:
    source = """
import torch.nn
from stillwatch.data import errors

def late():
    from mlflow import entities
    from . import near
    importlib.import_module("datasets")
    importlib.import_module(name)
"""
    assert set(iter_imports(ast.parse(source))) == {
        "torch.nn",
        "stillwatch.data",
        "stillwatch.data.errors",
        "mlflow",
        "mlflow.entities",
        ".",
        "..near",
        "datasets",
        ".unknown",
    }


def test_the_four_folders_are_all_read(imports: dict[str, set[str]]) -> None:
    assert {folder_of(module) for module in imports} == set(FOLDERS)


def test_imports_are_absolute_and_known_before_running(imports: dict[str, set[str]]) -> None:
    assert not [(module, name) for module, names in imports.items() for name in names if name.startswith(".")]


def test_a_folder_imports_only_the_folders_that_it_may(imports: dict[str, set[str]]) -> None:
    assert not [
        (module, name)
        for module, names in imports.items()
        for name in names
        if name.startswith("stillwatch.") and folder_of(name) not in MAY_IMPORT[folder_of(module)]
    ]


def test_a_folder_never_imports_the_libraries_that_it_must_not(imports: dict[str, set[str]]) -> None:
    assert not [
        (module, name) for module, names in imports.items() for name in names & NEVER_IMPORTS[folder_of(module)]
    ]


def test_only_the_tracking_room_imports_mlflow(imports: dict[str, set[str]]) -> None:
    assert {module for module, names in imports.items() if "mlflow" in names} == MLFLOW_PAGES


def test_the_tracking_room_is_entered_by_its_door(imports: dict[str, set[str]]) -> None:
    outside = {module: names for module, names in imports.items() if module not in {TRACKING, *MLFLOW_PAGES}}
    assert any(TRACKING in names for names in outside.values())
    assert not [(module, name) for module, names in outside.items() for name in names & MLFLOW_PAGES]


@pytest.mark.parametrize("folder", sorted(DOOR))
def test_model_and_serve_use_only_the_door_of_data(imports: dict[str, set[str]], folder: str) -> None:
    door = reach(imports, DOOR[folder])
    assert not [
        (module, name)
        for module, names in imports.items()
        for name in names
        if folder_of(module) == folder and name.startswith("stillwatch.data") and name not in door
    ]


PROCESSES = {
    "import": "import stillwatch.serve",
    "score": "from stillwatch.serve import Scorer; Scorer.load(argument).score({'messages': [MESSAGE]})",
    "help": "from stillwatch.serve.cli import commands; commands.main(['--help'], standalone_mode=False)",
    "data commands": "import stillwatch.data.commands",
}


@pytest.mark.parametrize("code", PROCESSES.values(), ids=PROCESSES.keys())
def test_a_serving_process_never_loads_training_libraries(tiny_bundle: Bundle, code: str) -> None:
    program = f"""
import json, sys
argument = sys.argv[1]
MESSAGE = {{"role": "user", "content": "hello reasoning"}}
{code}
print(json.dumps(sorted(sys.modules)))
"""
    command = [sys.executable, "-c", program, str(tiny_bundle.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert any(name.startswith("stillwatch.") for name in loaded)
    assert not loaded & NOT_FOR_SERVING
    assert not [name for name in loaded if name.startswith("stillwatch.train")]
