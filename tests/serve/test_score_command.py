"""The installed command, through a real process: what goes in, what comes out, and what is never said."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stillwatch.data.errors import InputError
from stillwatch.model.bundle import Bundle
from stillwatch.model.verdict import REASON_CODES
from stillwatch.serve.commands import score

COMMAND = [sys.executable, "-c", "from stillwatch.serve.cli import main; main()", "score"]
WORD = "zanzibar"
GOOD: list[dict[str, object]] = [
    {
        "id": "flagged",
        "model": "any",
        "messages": [{"role": "user", "content": f"reasoning {WORD} " + "reasoning " * 40}],
    },
    {"id": "allowed", "system": "hello", "messages": [{"role": "user", "content": f"hello {WORD}"}], "max_tokens": 9},
    {"messages": [{"role": "user", "content": ""}]},
]
BAD = f'{{"id": "bad", "messages": [{{"role": "{WORD}", "content": "{WORD}"}}]}}'


def lines(rows: Iterable[object]) -> str:
    return "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)


def run(bundle: Bundle, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "--bundle", str(bundle.folder), *arguments],
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def invoke(bundle: Bundle, *arguments: str, given: str = "") -> Result:
    return CliRunner().invoke(score, ["--bundle", str(bundle.folder), *arguments], input=given)


def ids(output: str) -> list[str | None]:
    return [json.loads(line)["id"] for line in output.splitlines()]


def test_a_pipe_of_requests_becomes_a_pipe_of_verdicts_in_order(tiny_bundle: Bundle) -> None:
    done = run(tiny_bundle, given=lines(GOOD))
    assert (done.returncode, done.stderr) == (0, "")
    assert ids(done.stdout) == ["flagged", "allowed", None]
    assert [json.loads(line)["action"] for line in done.stdout.splitlines()] == ["flag", "allow", "allow"]
    assert WORD not in done.stdout


@pytest.mark.parametrize("name", ["requests.jsonl", "requests.jsonl.gz"])
def test_a_file_is_read_plain_or_packed(tiny_bundle: Bundle, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    content = lines(GOOD).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    result = invoke(tiny_bundle, str(path))
    assert result.exit_code == 0
    assert ids(result.stdout) == ["flagged", "allowed", None]


def test_many_requests_keep_their_order(tiny_bundle: Bundle) -> None:
    rows = [{"id": str(i), "messages": [{"role": "user", "content": "hello " * (i % 90)}]} for i in range(150)]
    assert ids(invoke(tiny_bundle, given=lines(rows)).stdout) == [str(i) for i in range(150)]


def test_a_live_pipe_gets_each_verdict_before_the_next_request(tiny_bundle: Bundle) -> None:
    command = [*COMMAND, "--bundle", str(tiny_bundle.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for row in GOOD:
            process.stdin.write(lines([row]))
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["id"] == row.get("id")
        process.stdin.close()
        assert process.wait(timeout=30) == 0


@pytest.mark.parametrize("bad", [BAD, WORD, f'["{WORD}"]', f'{{"{WORD}": NaN}}', f'{{"id": "{WORD}"}}'])
def test_a_bad_line_ends_the_run_with_its_place_and_without_its_text(
    tiny_bundle: Bundle, tmp_path: Path, bad: str
) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_text(lines([GOOD[0], "", bad, GOOD[1]]))
    done = run(tiny_bundle, str(path))
    assert done.returncode == 65
    assert done.stderr.startswith(f"Error: {path}:3: ")
    assert len(done.stderr.splitlines()) == 1
    assert WORD not in done.stderr + done.stdout
    assert ids(done.stdout) == ["flagged"]


def test_a_bad_first_line_of_a_pipe_is_told(tiny_bundle: Bundle) -> None:
    done = run(tiny_bundle, given=lines([BAD]))
    assert (done.returncode, done.stdout) == (65, "")
    assert done.stderr.startswith("Error: <stdin>:1: messages.0.role: ")


def test_skipping_reports_each_bad_line_scores_the_others_and_still_exits_65(tiny_bundle: Bundle) -> None:
    done = run(tiny_bundle, "--skip-bad", given=lines([BAD, GOOD[0], "{", GOOD[1]]))
    assert done.returncode == 65
    assert ids(done.stdout) == ["flagged", "allowed"]
    skipped = [line for line in done.stderr.splitlines() if line.startswith("Skipped: ")]
    assert [line.split(": ")[1] for line in skipped] == ["<stdin>:1", "<stdin>:3"]
    assert done.stderr.splitlines()[-1].startswith("Error: input: 2 bad lines skipped")
    assert WORD not in done.stderr


@pytest.mark.parametrize("given", ["", "\n\n"])
def test_no_requests_give_no_verdicts(tiny_bundle: Bundle, given: str) -> None:
    result = invoke(tiny_bundle, given=given)
    assert (result.exit_code, result.output) == (0, "")
    assert "No requests" in invoke(tiny_bundle, "--table", given=given).output


def test_a_table_shows_every_verdict(tiny_bundle: Bundle) -> None:
    result = invoke(tiny_bundle, "--table", given=lines(GOOD))
    assert result.exit_code == 0
    assert all(word in result.output for word in ("flagged", "allowed", "flag", "allow", "3 verdicts"))
    assert WORD not in result.output


def test_a_table_stands_before_the_error_of_a_bad_line(tiny_bundle: Bundle) -> None:
    result = invoke(tiny_bundle, "--table", given=lines([GOOD[0], BAD]))
    assert isinstance(result.exception, InputError)
    assert "flagged" in result.output


@pytest.mark.parametrize("request_id", ["[/red]", "[bold]x", "[link=x]"])
def test_brackets_in_an_id_are_shown_and_not_obeyed(tiny_bundle: Bundle, request_id: str) -> None:
    result = invoke(tiny_bundle, "--table", given=lines([{**GOOD[1], "id": request_id}]))
    assert result.exit_code == 0
    assert request_id in result.output


def test_control_characters_in_an_id_do_not_reach_the_terminal(tiny_bundle: Bundle) -> None:
    result = invoke(tiny_bundle, "--table", given=lines([{**GOOD[1], "id": "\x1b[2Jx\u202e\x9b2J"}]))
    assert result.exit_code == 0
    assert not set(result.output) & set("\x1b\x9b\u202e")
    assert "\ufffd[2Jx" in result.output


def test_ids_in_any_script_come_back_readable(tiny_bundle: Bundle) -> None:
    assert '"id": "заявка-七"' in invoke(tiny_bundle, given=lines([{**GOOD[1], "id": "заявка-七"}])).stdout


def test_a_reader_that_leaves_early_causes_no_noise(tiny_bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_text(lines(GOOD * 500))
    with subprocess.Popen(
        [*COMMAND, "--bundle", str(tiny_bundle.folder), str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["id"] == "flagged"
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 1


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["nowhere.jsonl"], 66, "Error: nowhere.jsonl: cannot be opened"),
        (["--bundle", "nowhere"], 65, "Error: nowhere: no such folder"),
        (["--runtime", "torch"], 65, "Error: torch: this bundle carries no torch network"),
        (["--runtime", "abacus"], 2, "Invalid value for '--runtime'"),
        (["--threads", "0"], 2, "Invalid value for '--threads'"),
    ],
)
def test_wrong_arguments_are_told_in_words(
    tiny_bundle: Bundle, arguments: list[str], exit_code: int, message: str
) -> None:
    done = run(tiny_bundle, *arguments)
    assert done.returncode == exit_code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_scoring_imports_neither_torch_nor_training(tiny_bundle: Bundle) -> None:
    program = (
        "import sys\n"
        "from stillwatch.serve.commands import score\n"
        f"score(['--bundle', {str(tiny_bundle.folder)!r}], standalone_mode=False)\n"
        "heavy = {'torch', 'transformers', 'mlflow', 'datasets', 'sklearn', 'stillwatch.train'}\n"
        "sys.exit(','.join(heavy & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=lines(GOOD), capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_reason_code_is_explained_without_reading_anything() -> None:
    done = CliRunner().invoke(score, ["--explain-codes"])
    assert done.exit_code == 0
    explained = dict(line.split("\t") for line in done.output.splitlines())
    assert explained == dict(REASON_CODES)
    assert "asks_reasoning_trace" in explained
