"""`stillwatch score`: requests in, verdicts out, a line each and in order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stillwatch.data.dialects import parse_request
from stillwatch.data.errors import InputError
from stillwatch.data.reading import Row, iter_rows
from stillwatch.data.records import Request
from stillwatch.model.runtime_choice import RuntimeName
from stillwatch.model.scorer import Scorer
from stillwatch.model.verdict import REASON_CODES, Verdict


@click.command()
@click.argument("source", type=click.Path(path_type=Path, allow_dash=True), default="-")
@click.option("--bundle", type=click.Path(path_type=Path), help="Bundle folder; the shipped one when left out.")
@click.option(
    "--runtime", type=click.Choice(get_args(RuntimeName)), help="STILLWATCH_RUNTIME when left out, else onnxruntime."
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    help="Threads of one request; STILLWATCH_THREADS when left out, else 1.",
)
@click.option(
    "--skip-bad",
    is_flag=True,
    help="Report bad lines on standard error and go on; the exit code is 65 all the same.",
)
@click.option("--table", is_flag=True, help="A table to read instead of JSON lines.")
@click.option(
    "--explain-codes",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda ctx, _, asked: _explain_codes(ctx) if asked else None,
    help="List every reason code with its meaning, and stop.",
)
def score(
    source: Path,
    bundle: Path | None,
    runtime: RuntimeName | None,
    threads: int | None,
    skip_bad: bool,
    table: bool,
) -> None:
    """Score the requests in SOURCE: JSONL, gzip or Parquet; `-` or nothing reads a pipe.

    A line is an OpenAI chat-completions body, an Anthropic Messages body, or a row of our own; its `id` comes back
    with the verdict. Each verdict is one JSON line, written before the next request is read.
    """
    scorer = Scorer.load(bundle, runtime=runtime, num_threads=threads)
    verdicts: list[Verdict] = []
    failure: InputError | None = None
    num_bad = 0
    for row in iter_rows(None if str(source) == "-" else source):
        try:
            request = _parse(row)
        except InputError as error:
            if not skip_bad:
                failure = error  # told last, after the verdicts of the lines above it
                break
            num_bad += 1
            click.echo(f"Skipped: {error}", err=True)
            continue
        verdict = scorer.score(request)
        if table:
            verdicts.append(verdict)
        else:
            click.echo(json.dumps(verdict.to_dict(), ensure_ascii=False))
    if table:
        Console().print(verdict_table(verdicts))
    if failure is not None:
        raise failure
    if num_bad:
        raise InputError("input", f"{_count(num_bad, 'bad line')} skipped", "mend them; the others are scored")


def _explain_codes(ctx: click.Context) -> None:
    """Every reason code, one a line: `code<tab>meaning`."""
    for code, meaning in REASON_CODES.items():
        click.echo(f"{code}\t{meaning}")
    ctx.exit()


def verdict_table(verdicts: list[Verdict]) -> Table:
    """Verdicts as a table for people."""
    table = Table(title=f"{len(verdicts)} verdicts by {verdicts[0].model_version}" if verdicts else "No requests")
    for column in ("request", "probability", "action", "most probable technique", "reasons", "read"):
        table.add_column(column, justify="right" if column == "probability" else "left", overflow="fold")
    colours = {"allow": "green", "review": "yellow", "flag": "red"}
    for verdict in verdicts:
        technique, share = max(verdict.techniques.items(), key=lambda each: each[1])
        table.add_row(
            # An id comes from outside: its brackets are no markup, its control characters do not reach the terminal.
            Text("".join(each if each.isprintable() else "\ufffd" for each in verdict.id or "-")),
            f"{verdict.probability:.3f}",
            f"[{colours[verdict.action]}]{verdict.action}[/]",
            f"{technique} {share:.0%}" if verdict.action != "allow" else "",
            "\n".join(verdict.reasons),
            f"{verdict.coverage.characters:,} characters in {_count(verdict.coverage.windows, 'window')}",
        )
    return table


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _parse(row: Row) -> Request:
    if isinstance(row.value, InputError):
        raise row.value
    try:
        return parse_request(row.value)
    except InputError as error:
        raise error.at(row.where) from error
