from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stillwatch.data.commands import data
from stillwatch.data.errors import ConfigError, SourceError
from stillwatch.data.reading import read_labelled
from stillwatch.data.records import LabelledRequest
from stillwatch.data.streams import rows
from stillwatch.data.streams.personas import choose_personas
from stillwatch.data.streams.pool import Pool
from stillwatch.data.streams.simulator import Crowd, simulate_crowd
from stillwatch.data.streams.stream import Stream
from stillwatch.data.streams.writing import FileFormat, check_streams, write_streams

PLAN = {"seed": 5}


@pytest.fixture
def crowd(pool: Pool) -> Crowd:
    return simulate_crowd(
        pool, num_accounts=12, shapes={"relay": 0.001}, personas=choose_personas(("casual", "pupil")), seed=5
    )


def write(crowd: Crowd, folder: Path, file_format: FileFormat = FileFormat.PARQUET, first: int | None = 20) -> object:
    return write_streams(crowd, folder, plan=PLAN, file_format=file_format, first=first, requests_per_shard=100)


def read_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("file_format", list(FileFormat))
def test_what_is_written_is_what_was_simulated(crowd: Crowd, tmp_path: Path, file_format: FileFormat) -> None:
    write(crowd, tmp_path / "out", file_format)
    manifest = check_streams(tmp_path / "out")
    wanted = [record for stream in crowd for record, _ in zip(stream, range(20), strict=False)]
    found: list[LabelledRequest] = []
    for shard in manifest["shards"]:
        found += read_labelled(tmp_path / "out" / shard["file"])
    assert found == wanted
    assert (manifest["rows"], manifest["accounts"]) == (len(wanted), len(crowd))
    assert len(manifest["shards"]) > 1


def test_an_interrupted_run_goes_on_to_the_same_bytes(
    crowd: Crowd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(crowd, tmp_path / "whole")
    calls = 0
    simulate = islice

    def fail_in_the_fourth_account(stream: Stream, first: int | None) -> object:
        nonlocal calls
        calls += 1
        if calls == 9:
            raise KeyboardInterrupt
        return simulate(stream, first)

    with monkeypatch.context() as patch:
        patch.setattr(rows, "islice", fail_in_the_fourth_account)
        with pytest.raises(KeyboardInterrupt):
            write(crowd, tmp_path / "cut")
    with pytest.raises(SourceError, match=r"no manifest\.json of whole streams; run the same"):
        check_streams(tmp_path / "cut")
    kept = (tmp_path / "cut" / "shard-00000.parquet").stat().st_mtime_ns
    write(crowd, tmp_path / "cut")
    assert read_bytes(tmp_path / "cut") == read_bytes(tmp_path / "whole")
    assert (tmp_path / "cut" / "shard-00000.parquet").stat().st_mtime_ns == kept


def test_a_damaged_shard_is_seen_and_written_again(crowd: Crowd, tmp_path: Path) -> None:
    write(crowd, tmp_path)
    before = read_bytes(tmp_path)
    (tmp_path / "shard-00001.parquet").write_bytes(before["shard-00001.parquet"][:-1])
    with pytest.raises(SourceError, match=r"shard-00001\.parquet: missing or changed"):
        check_streams(tmp_path)
    write(crowd, tmp_path)
    assert read_bytes(tmp_path) == before


def test_a_folder_of_another_plan_or_of_something_else_is_refused(crowd: Crowd, tmp_path: Path) -> None:
    write(crowd, tmp_path / "out")
    with pytest.raises(SourceError, match=r"another plan \(first differ\)"):
        write(crowd, tmp_path / "out", first=3)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("x", encoding="utf-8")
    with pytest.raises(SourceError, match=r"holds something else than streams"):
        write(crowd, tmp_path / "other")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(data, ["streams", *arguments])


def test_the_command_simulates_from_given_rows_and_goes_on(pool: Pool, tmp_path: Path) -> None:
    from stillwatch.data.dialects import dump_labelled

    honest = [row for group in pool.groups if group.theme != "injected" for row in group.rows[:5]]
    lines = "\n".join(json.dumps(dump_labelled(row)) for row in honest)
    (tmp_path / "rows.jsonl").write_text(lines, encoding="utf-8")
    options: tuple[str, ...] = (
        "--pool",
        str(tmp_path / "rows.jsonl"),
        "--out",
        str(tmp_path / "out"),
        "--shape",
        "relay",
    )
    options += (
        "--shape",
        "relay",
        "--scale",
        "0.001",
        "--accounts",
        "4",
        "--personas",
        "casual, pupil",
        "--first",
        "5",
    )
    options += ("--seed", "7", "--rows-per-family", "4", "--hold-out", "injected.two-parts", "--format", "jsonl")
    first, again = run(*options), run(*options)
    assert (first.exit_code, again.exit_code) == (0, 0), first.output
    assert "of 9 accounts, seed 7" in first.output
    assert check_streams(tmp_path / "out")["plan"]["shape"] == "relay"


def test_the_command_refuses_what_makes_no_sense(tmp_path: Path) -> None:
    out = ("--out", str(tmp_path / "out"))
    for options in ((), ("--shape", "relay", "--operator", "pure")):
        assert isinstance(run(*out, *options).exception, ConfigError)
    assert run(*out, "--shape", "relay", "--scale", "0").exit_code == 2
    assert "unknown; use one of pure, mixed-5" in str(run(*out, "--operator", "pur").exception)
    assert "no persona casul" in str(run(*out, "--accounts", "3", "--personas", "casul").exception)
    assert not (tmp_path / "out").exists()
