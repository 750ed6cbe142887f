"""What an install gets: every folder, every command, declared and pinned libraries, and nothing of this machine."""

from __future__ import annotations

import ast
import hashlib
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution, entry_points, packages_distributions, version
from pathlib import Path
from typing import Any

import click
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import stillwatch.serve
from stillwatch.serve.cli import SUMMARIES, commands

FOLDERS = ("data", "model", "serve", "train")
APACHE_2_SHA256 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
PUBLIC = {
    "REASON_CODES",
    "Action",
    "BundleError",
    "Coverage",
    "Evidence",
    "InputError",
    "Message",
    "Reason",
    "Request",
    "Role",
    "Scorer",
    "StillwatchError",
    "Tool",
    "ToolCall",
    "Verdict",
}
NEEDED_UNIMPORTED = {"accelerate", "onnxscript"}
"""Libraries that transformers and torch ask for when training and exporting, and that we never name."""
SHARED = {
    "opentelemetry": "opentelemetry-api",
    "opentelemetry.exporter": "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry.proto": "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry.sdk": "opentelemetry-sdk",
}
"""Which distribution a module is of where several share the top one."""
INVENTED_TEXT = re.compile(r"data/(authored|material|families)/")
"""Files of invented prompts; a path in them is part of the invention."""
MACHINE_PATH = re.compile(r"/(?:work|root|home)/")
REGISTRY = re.compile(r"pypi\.org|pythonhosted\.org|npmjs\.org|debian\.org|index[-]url|find[-]links")


@pytest.fixture(scope="module")
def pyproject(repository: Path) -> dict[str, Any]:
    return tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))


@pytest.fixture(scope="module")
def tracked(repository: Path) -> list[Path]:
    """Files that git keeps, links left out; at least this one."""
    git = ["git", "-C", str(repository), "ls-files", "-z"]
    names = subprocess.run(git, capture_output=True, text=True, check=True).stdout.split("\0")
    paths = [repository / name for name in names if name]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def names_of(requirements: list[str]) -> set[str]:
    return {str(canonicalize_name(Requirement(one).name)) for one in requirements} - {"stillwatch"}


def name_top(module: str) -> str:
    """The part of a module's name that tells its distribution."""
    two = ".".join(module.split(".")[:2])
    return two if two in SHARED else module.partition(".")[0]


def imported_distributions(repository: Path, *folders: str) -> set[str]:
    """Distributions of all third-party modules that the folders import anywhere."""
    tops: set[str] = set()
    settings = tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))["tool"]["pytest"]["ini_options"]
    ours = {path.stem for folder in settings["pythonpath"] for path in (repository / folder).glob("*.py")}
    for folder in folders:
        for path in (repository / folder).rglob("*.py"):
            neighbours = ours | {other.stem for other in path.parent.glob("*.py")}  # scripts import each other
            found: set[str] = set()
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Import):
                    found |= {name_top(alias.name) for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    found |= {name_top(f"{node.module or ''}.{alias.name}") for alias in node.names}
                elif isinstance(node, ast.Call) and ast.unparse(node.func) == "importlib.import_module":
                    found.add(ast.literal_eval(node.args[0]))
            tops |= found - neighbours
    providers = packages_distributions()
    # A module that several distributions share, as mlflow does, is counted as the one of its own name; so is one that
    # is not installed here, as litellm is not.
    return {
        SHARED.get(top) or canonicalize_name(top if top in providers.get(top, [top]) else providers[top][0])
        for top in tops - set(sys.stdlib_module_names) - {"stillwatch"}
    }


def required_closure(*names: str) -> set[str]:
    """Every distribution that the named ones bring here; `stillwatch[dev]` takes that extra along."""
    seen: set[tuple[str, str]] = set()
    waiting = [Requirement(name) for name in names]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) not in seen:
                seen.add((name, extra))
                needs = [Requirement(text) for text in distribution(name).requires or []]
                waiting += [need for need in needs if need.marker is None or need.marker.evaluate({"extra": extra})]
    return {name for name, _ in seen}


def test_every_folder_with_code_is_a_listed_package(repository: Path, pyproject: dict[str, Any]) -> None:
    found = {path.parent.relative_to(repository) for folder in FOLDERS for path in (repository / folder).rglob("*.py")}
    settings = pyproject["tool"]["setuptools"]
    assert {"stillwatch." + ".".join(folder.parts) for folder in found} == set(settings["packages"])
    assert {Path(folder) for folder in settings["package-dir"].values()} == found


def test_every_folder_is_typed(repository: Path) -> None:
    assert all((repository / folder / "py.typed").is_file() for folder in FOLDERS)


def test_the_namespace_has_no_init(repository: Path) -> None:
    assert not (repository / "__init__.py").exists()
    assert not (repository / "tests/typing/stillwatch/__init__.py").exists()


def test_every_listed_command_loads_and_has_a_summary(pyproject: dict[str, Any]) -> None:
    listed = pyproject["project"]["entry-points"]["stillwatch.commands"]
    installed = entry_points(group="stillwatch.commands")
    assert {entry.name: entry.value for entry in installed} == listed
    assert set(SUMMARIES) == set(listed)
    context = click.Context(commands)
    for name in listed:
        assert isinstance(commands.get_command(context, name), click.Command)


def test_the_public_surface_is_the_written_list() -> None:
    assert set(stillwatch.serve.__all__) == PUBLIC
    assert all(hasattr(stillwatch.serve, name) for name in PUBLIC)


def test_the_command_tells_the_installed_version(pyproject: dict[str, Any]) -> None:
    command = [str(Path(sys.executable).with_name("stillwatch")), "--version"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert told.split()[-1] == version("stillwatch") == pyproject["project"]["version"]


def test_the_licence_is_apache_2(repository: Path, pyproject: dict[str, Any]) -> None:
    assert hashlib.sha256((repository / "LICENSE").read_bytes()).hexdigest() == APACHE_2_SHA256
    assert pyproject["project"]["license"] == "Apache-2.0"
    assert pyproject["project"]["license-files"] == ["LICENSE"]


def test_serving_needs_no_library_of_training(repository: Path, pyproject: dict[str, Any]) -> None:
    base = names_of(pyproject["project"]["dependencies"])
    extras = pyproject["project"]["optional-dependencies"]
    service = names_of([*extras["serve"], *extras["litellm"], *extras["otel"]])
    assert imported_distributions(repository, "serve") <= base | service
    assert not base - imported_distributions(repository, "serve", "model")


def test_what_the_code_imports_is_what_is_declared(repository: Path, pyproject: dict[str, Any]) -> None:
    extras = pyproject["project"]["optional-dependencies"]
    served = [*extras["serve"], *extras["litellm"], *extras["openvino"], *extras["otel"]]
    declared = names_of([*pyproject["project"]["dependencies"], *extras["train"], *served])
    assert imported_distributions(repository, *FOLDERS) == declared - NEEDED_UNIMPORTED


def test_what_the_tests_import_is_declared(repository: Path, pyproject: dict[str, Any]) -> None:
    extras = pyproject["project"]["optional-dependencies"]
    taken = [*extras["train"], *extras["serve"], *extras["otel"], *extras["dev"]]
    declared = names_of([*pyproject["project"]["dependencies"], *taken])
    assert imported_distributions(repository, "tests") <= declared


def test_everything_that_development_installs_is_pinned(repository: Path) -> None:
    lines = (repository / "constraints.txt").read_text("utf-8").splitlines()
    pins = {str(canonicalize_name(pin.name)): str(pin.specifier) for pin in map(Requirement, lines[4:])}
    assert all(line.startswith("#") for line in lines[:4])
    assert len(pins) == len(lines[4:])
    assert all(re.fullmatch(r"==[^*+]+", pin) for pin in pins.values())
    assert pins["torch"] == "==" + version("torch").partition("+")[0]
    installed = required_closure("stillwatch[dev]") - {"stillwatch"}
    # torch brings other companions to a machine with an accelerator.
    assert not {name for name in installed - set(pins) if not name.startswith(("nvidia", "cuda", "triton"))}


def test_no_file_names_a_machine_or_a_registry(repository: Path, tracked: list[Path]) -> None:
    assert Path(__file__) in tracked
    found = []
    for path in tracked:
        name = path.relative_to(repository).as_posix()
        text = path.read_bytes().decode("utf-8", errors="replace")
        if REGISTRY.search(text) or (MACHINE_PATH.search(text) and not INVENTED_TEXT.match(name)):
            found.append(name)
    assert not found


def test_git_ignores_no_code(repository: Path) -> None:
    git = ["git", "-C", str(repository), "check-ignore", *(f"{folder}/new.py" for folder in FOLDERS)]
    assert not subprocess.run(git, capture_output=True, text=True, check=False).stdout


def test_the_readme_begins_with_demo_and_test(repository: Path) -> None:
    blocks = re.findall(r"```(?:sh|bash|console)?\n(.*?)```", (repository / "README.md").read_text("utf-8"), re.DOTALL)
    commands_given = [line.removeprefix("$ ").split("#")[0].strip() for line in "".join(blocks).splitlines() if line]
    assert commands_given[:2] == ["make demo", "make test"]
