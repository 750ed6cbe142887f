"""Promises of a built dataset: recipes repeat, families stay together, copies and shortcuts go, people can read it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from stillwatch.data.artefact import load_dataset_folder
from stillwatch.data.assembly import assemble, drop_duplicates, vary
from stillwatch.data.bonds import find_pairs
from stillwatch.data.building import build
from stillwatch.data.commands import data
from stillwatch.data.configuration import load_config_file, parse_config
from stillwatch.data.errors import AuditError, ConfigError, SourceError
from stillwatch.data.generator import generate
from stillwatch.data.labels import Label
from stillwatch.data.recipe import Recipe, TransformConfig

SHIPPED = Path(__file__).parents[2] / "configs" / "dataset.yaml"
SMALL = {"name": "small", "seed": 5, "sources": [{"kind": "generated", "num_requests": 1500}], "audit_limit": 0.75}


def recipe(**changes: Any) -> Recipe:
    return parse_config(Recipe, SMALL | changes, "recipe")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("built") / "set"
    build(recipe(transforms={"share": 0.2}), target)
    return target


@pytest.fixture(scope="module")
def manifest(folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder / "manifest.json").read_text("utf-8"))
    return loaded


def test_no_family_and_no_near_duplicate_stands_in_two_splits(folder: Path, manifest: dict[str, Any]) -> None:
    sides = {name: load_dataset_folder(folder, [name]) for name in ("train", "validation", "test")}
    families = [{record.family for record in rows} for rows in sides.values()]
    assert all(families)
    assert sum(map(len, families)) == len(set.union(*families))
    records = [(name, record) for name, rows in sides.items() for record in rows]
    pairs = find_pairs([record for _, record in records])
    assert [pair for pair in pairs if records[pair[0]][0] != records[pair[1]][0]] == []
    assert manifest["facts"]["near_duplicates_across_splits"] == 0
    for rows in sides.values():
        assert {Label.BENIGN, Label.EXTRACTION} <= {record.label for record in rows}


def test_ambiguous_requests_are_for_testing(folder: Path) -> None:
    assert not [r for r in load_dataset_folder(folder, ["train", "validation"]) if r.label is Label.AMBIGUOUS]


def test_equal_recipes_give_equal_bytes_and_other_seeds_others(folder: Path, tmp_path: Path) -> None:
    again, other = tmp_path / "again", tmp_path / "other"
    build(recipe(transforms={"share": 0.2}), again)
    build(recipe(transforms={"share": 0.2}, seed=6), other)
    assert [f.read_bytes() for f in sorted(folder.iterdir())] == [f.read_bytes() for f in sorted(again.iterdir())]
    assert (folder / "train-00000.parquet").read_bytes() != (other / "train-00000.parquet").read_bytes()


def test_the_balance_lowers_what_outward_features_tell(manifest: dict[str, Any]) -> None:
    audits = (manifest["facts"][name]["auc"].values() for name in ("audit_before", "audit_after"))
    strengths = [max(abs(auc - 0.5) for auc in aucs) for aucs in audits]
    assert strengths[1] < strengths[0]


def test_a_shortcut_fails_the_build(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="shortcut audit"):
        build(recipe(balance=False, audit_limit=0.5), tmp_path / "set")
    assert list(tmp_path.iterdir()) == []


def test_copies_go_and_contradictions_go_altogether() -> None:
    first, second, third, *rest = generate(num_requests=12, seed=3)
    copy = replace(first, request=replace(first.request, id="copy"))
    assert first.label is not second.label
    contrary = replace(first, request=replace(second.request, id="contrary"))
    kept, copies, contradictions = drop_duplicates([first, second, third, *rest, copy, contrary])
    assert (copies, contradictions) == (1, 2)
    assert kept == [first, third, *rest]


def test_variants_are_the_drawn_share_and_keep_label_and_family() -> None:
    records = list(generate(num_requests=400, seed=3))
    variants = vary(records, TransformConfig(share=0.5, names=("typos", "splitting")), seed=1)
    assert 150 < len(variants) < 250
    originals = {record.id: record for record in records}
    for variant in variants:
        original = originals[variant.id.partition("+")[0]]
        assert (variant.label, variant.family) == (original.label, original.family)
        assert variant.request.messages != original.request.messages
    assert vary(records, TransformConfig(), seed=1) == []


def test_the_datasheet_answers_its_questions_with_the_figures_of_the_build(
    folder: Path, manifest: dict[str, Any]
) -> None:
    sheet = (folder / "DATASHEET.md").read_text("utf-8")
    for section in ("Motivation", "Composition", "Where it comes from", "Cleaning and balance", "Known limits", "Uses"):
        assert f"## {section}" in sheet
    assert f"{manifest['rows']:,} requests" in sheet
    for split, counts in manifest["splits"].items():
        assert f"| {split} | {counts['rows']} |" in sheet


def test_the_page_stands_alone_and_shows_requests_of_this_project_only(folder: Path) -> None:
    page = (folder / "index.html").read_text("utf-8")
    assert page.count("<svg") == 5
    assert not re.search(r"(?:src|href)=.https?:", page)
    assert "<script" not in page
    shown = set(re.findall(r"<summary><code>(.*?)</code>", page))
    assert shown
    known = {record.id for record in load_dataset_folder(folder)}
    assert shown <= known


def test_requests_of_others_are_counted_on_the_page_and_never_shown(tmp_path: Path) -> None:
    rows = [replace(record, source="theirs") for record in generate(num_requests=300, seed=9)]
    from stillwatch.data.dialects import dump_labelled

    (tmp_path / "theirs.jsonl").write_text("".join(json.dumps(dump_labelled(r)) + "\n" for r in rows), "utf-8")
    build(
        recipe(sources=[{"kind": "files", "path": str(tmp_path / "theirs.jsonl")}], balance=False, audit_limit=1.0),
        tmp_path / "set",
    )
    page = (tmp_path / "set" / "index.html").read_text("utf-8")
    assert "<details>" not in page
    assert "| theirs |" in (tmp_path / "set" / "DATASHEET.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sources": []}, "sources"),
        ({"transforms": {"names": ["magic"]}}, "names must be some of paraphrase"),
        ({"near_duplicates": 0.2}, "near_duplicates"),
        ({"balanced": True}, "balanced: unknown key"),
    ],
)
def test_a_bad_recipe_is_refused_by_its_key(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recipe(**changes)


def test_a_source_named_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="record ids occur twice"):
        assemble(recipe(sources=[{"kind": "authored"}, {"kind": "authored"}]))


def test_the_commands_build_describe_and_audit(tmp_path: Path) -> None:
    runner = CliRunner()
    target = str(tmp_path / "set")
    small = ["--set", "sources.0.num_requests=800", "--set", "audit_limit=0.8"]
    built = runner.invoke(data, ["build", "--config", str(SHIPPED), "--out", target, *small], catch_exceptions=False)
    assert "requests (train" in built.stdout
    described = runner.invoke(data, ["describe", target, "--json"], catch_exceptions=False)
    assert json.loads(described.stdout)["rows"] == len(load_dataset_folder(Path(target)))
    audited = runner.invoke(data, ["audit", target, "--json"], catch_exceptions=False)
    assert 0.3 < json.loads(audited.stdout)["auc"]["characters"] < 0.7
    assert "outward feature" in runner.invoke(data, ["audit", target], catch_exceptions=False).stdout
    with pytest.raises(AuditError):
        runner.invoke(data, ["audit", target, "--limit", "0.5"], catch_exceptions=False, standalone_mode=False)


def test_the_shipped_recipe_is_whole() -> None:
    loaded = load_config_file(Recipe, SHIPPED)
    assert loaded.audit_limit == 0.6
    assert {source.kind for source in loaded.sources} == {"generated", "authored"}


def test_a_folder_of_somebody_else_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", "utf-8")
    steps: list[str] = []
    with pytest.raises(SourceError, match="no dataset of ours"):
        build(recipe(), tmp_path, on_step=steps.append)
    assert steps == []
