"""The audit keeps every record whole, puts full files aside, and is found again by id and explained."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from threading import Thread

import pytest
from click.testing import CliRunner

from stillwatch.data.errors import InputError, SourceError
from stillwatch.serve.audit import AuditLog, find_record
from stillwatch.serve.explaining import explain

RECORD = {
    "id": "one",
    "request_time_s": 1790000000.25,
    "account_hash": "00ff",
    "request": {"probability": 0.987654321, "reasons": ["extraction_at_or_above_flag", "a_code_of_another_release"]},
    "stream": None,
}


def test_records_are_appended_by_threads_and_over_restarts_and_none_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"

    def append(log: AuditLog, first: int) -> None:
        for number in range(first, first + 25):
            log.append({"id": str(number), "pad": "x" * 50})

    for start in (0, 100):
        log = AuditLog(path, max_bytes=1_000)
        threads = [Thread(target=append, args=(log, first)) for first in range(start, start + 100, 25)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        log.close()
    files = list(tmp_path.glob("audit*.jsonl"))
    assert len(files) > 10
    assert all(file.stat().st_size <= 1_000 for file in files)
    found = [json.loads(line)["id"] for file in files for line in file.read_text().splitlines()]
    assert sorted(map(int, found)) == list(range(200))
    assert all(find_record(path, str(n)) for n in (0, 137, 199))


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    AuditLog(tmp_path / "audit.jsonl", max_bytes=10_000).close()
    assert stat.S_IMODE((tmp_path / "audit.jsonl").stat().st_mode) == 0o600


def test_a_line_that_a_killed_process_left_cut_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text('{"id": "whole"}\n{"id": "cu')
    log = AuditLog(path, max_bytes=10_000)
    log.append({"id": "next"})
    log.close()
    assert find_record(path, "whole") == {"id": "whole"}
    assert find_record(path, "next") == {"id": "next"}
    assert find_record(path, "cut") is None


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"audit\.file: .*cannot be opened"):
        AuditLog(tmp_path / "nowhere" / "audit.jsonl", max_bytes=10_000)


def test_a_record_is_explained_with_the_meaning_of_its_reasons(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text(json.dumps(RECORD) + "\n")
    told = CliRunner().invoke(explain, ["one", "--audit", str(path)], env={"COLUMNS": "160"})
    assert told.exit_code == 0
    assert "1790000000.25" in told.output
    for word in ("request.probability", "0.9877", "reaches the threshold of `flag`", "a_code_of_another_release"):
        assert word in told.output
    plain = CliRunner().invoke(explain, ["one", "--audit", str(path), "--json"])
    assert json.loads(plain.output) == RECORD


def test_an_unknown_id_and_a_missing_file_are_told(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    elsewhere = CliRunner().invoke(explain, ["one", "--audit", str(path)]).exception
    assert isinstance(elsewhere, SourceError)
    assert "by --audit" in str(elsewhere)
    path.write_text("")
    assert isinstance(CliRunner().invoke(explain, ["one", "--audit", str(path)]).exception, InputError)
