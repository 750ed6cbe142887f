"""Every source gives the same records for the same arguments, and a draw is a draw, never the head of a file."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from stillwatch.data.dialects import dump_labelled
from stillwatch.data.errors import InputError, SourceError
from stillwatch.data.labels import Label, Role, Technique, Visibility
from stillwatch.data.records import LabelledRequest, Message, Request
from stillwatch.data.sources import digest_records, load_source, thin


def record(number: int, *, source: str = "s", licence: str = "MIT", label: Label = Label.BENIGN) -> LabelledRequest:
    is_extraction = label is Label.EXTRACTION
    return LabelledRequest(
        Request((Message(Role.USER, f"text {number}"),), id=f"{source}/{number}"),
        label,
        f"family-{number % 3}",
        source,
        Technique.CODING_ANALYSIS if is_extraction else None,
        Visibility.REQUEST if is_extraction else None,
        license=licence,
    )


def write(path: Path, records: list[LabelledRequest]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(dump_labelled(each)) + "\n" for each in records), "utf-8")
    return path


ROWS = [record(number) for number in range(50)]


def test_the_generator_gives_as_many_records_as_asked_for() -> None:
    found = load_source("generated", seed=5, num_requests=30)
    assert [each.source for each in found] == ["generated"] * 30


def test_the_authored_requests_come_whole_or_thinned_by_pass() -> None:
    whole = load_source("authored", seed=1)
    assert len({each.id for each in whole}) == len(whole) > 1000
    thinned = load_source("authored", seed=1, max_per_source=3)
    assert len(thinned) == 3 * len({each.source for each in whole})


def test_a_file_and_a_folder_of_files_are_read_alike(tmp_path: Path) -> None:
    path = write(tmp_path / "folder" / "rows.jsonl", ROWS)
    assert load_source("files", seed=1, path=path) == ROWS
    assert load_source("files", seed=1, path=path.parent) == ROWS


@pytest.mark.parametrize("path", [None, Path("not-there.jsonl")])
def test_a_missing_path_is_refused_with_the_remedy(path: Path | None) -> None:
    with pytest.raises(SourceError, match="name an existing file or folder"):
        load_source("files", seed=1, path=path)


def test_a_bad_row_is_told_by_file_and_line_and_without_its_text(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", ROWS[:2])
    path.write_text(path.read_text("utf-8") + '{"id": "x", "label": "zanzibar"}\n', "utf-8")
    with pytest.raises(InputError, match=r"rows\.jsonl:3") as caught:
        load_source("files", seed=1, path=path)
    assert "zanzibar" not in str(caught.value)


def test_doubtful_licences_are_left_out_where_only_permissive_ones_may_teach(tmp_path: Path) -> None:
    statements = ["MIT", "Apache-2.0 (code)", "none stated", "MIT; CC-BY-NC-4.0", "", "MIT; Apache-2.0", "CC0-1.0"]
    path = write(tmp_path / "rows.jsonl", [record(n, licence=each) for n, each in enumerate(statements)])
    assert len(load_source("files", seed=1, path=path)) == len(statements)
    kept = load_source("files", seed=1, path=path, licences="permissive")
    assert [each.license for each in kept] == ["MIT", "MIT; Apache-2.0", "CC0-1.0"]
    others = load_source("files", seed=1, path=path, licences="other")
    assert [each.license for each in others] == ["Apache-2.0 (code)", "none stated", "MIT; CC-BY-NC-4.0", ""]


def test_a_draw_is_made_among_the_records_that_may_teach(tmp_path: Path) -> None:
    rows = [record(n, licence="MIT" if n % 10 == 0 else "none stated") for n in range(50)]
    path = write(tmp_path / "rows.jsonl", rows)
    kept = load_source("files", seed=1, path=path, licences="permissive", max_per_source=5)
    assert [each.id for each in kept] == [f"s/{n}" for n in range(0, 50, 10)]


def test_a_source_of_which_nothing_is_left_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", [record(1, licence="none stated")])
    with pytest.raises(SourceError, match="licences"):
        load_source("files", seed=1, path=path, licences="permissive")


def test_a_draw_follows_its_seed_and_keeps_the_order_of_the_records() -> None:
    drawn = thin(ROWS, 10, seed=1)
    assert len(drawn) == 10
    assert drawn == thin(ROWS, 10, seed=1)
    assert drawn != thin(ROWS, 10, seed=2)
    assert drawn == sorted(drawn, key=ROWS.index)


def test_a_draw_reaches_every_part_of_a_sorted_file() -> None:
    positions = [ROWS.index(each) for seed in range(100) for each in thin(ROWS, 5, seed)]
    assert set(positions) == set(range(50))  # the head alone would give five


def test_each_source_is_drawn_on_its_own() -> None:
    other = [record(number, source="t") for number in range(4)]
    mixed = [each for pair in zip(ROWS[:4], other, strict=True) for each in pair] + ROWS[4:]
    drawn = thin(mixed, 6, seed=3)
    assert [each for each in drawn if each.source == "t"] == other
    assert [each for each in drawn if each.source == "s"] == thin(ROWS, 6, seed=3)


@pytest.mark.parametrize(
    "changed",
    [
        replace(ROWS[1], label=Label.AMBIGUOUS),
        replace(ROWS[1], family="other"),
        replace(ROWS[1], license="Apache-2.0"),
        replace(ROWS[1], request=Request((Message(Role.USER, "text 1 "),), id="s/1")),
        replace(ROWS[1], request=Request((Message(Role.SYSTEM, "text 1"),), id="s/1")),
        replace(ROWS[1], request=Request((Message(Role.USER, "text 1"),), id="s/01")),
    ],
    ids=["label", "family", "licence", "text", "role", "id"],
)
def test_the_digest_changes_with_any_record(changed: LabelledRequest) -> None:
    assert digest_records([ROWS[0], changed]) != digest_records(ROWS[:2])


def test_the_digest_changes_with_the_order_and_the_number_of_records() -> None:
    digests = [digest_records(rows) for rows in (ROWS[:2], ROWS[1::-1], ROWS[:1], ROWS[:3], [])]
    assert len(set(digests)) == 5


def test_the_digest_is_the_same_on_any_machine() -> None:
    """A fixed digest of a fixed draw: another one means that old runs no longer name their data."""
    program = (
        "from stillwatch.data.sources import digest_records, load_source;"
        "print(digest_records(load_source('authored', seed=1)[:3]))"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    assert set(told) == {digest_records(load_source("authored", seed=1)[:3])}
    assert digest_records(ROWS[:2]) == "c6a4619f22f212fa5eedf97ec14f1ef5498b66c13cd5e03310581a5024298dd2"
