"""`stillwatch explain`: one record of the audit, rendered for the person who answers an appeal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stillwatch.data.errors import InputError
from stillwatch.model.verdict import REASON_CODES
from stillwatch.serve.audit import find_record


@click.command()
@click.argument("record_id", metavar="ID")
@click.option("--audit", type=click.Path(path_type=Path), default="audit.jsonl", show_default=True, help="audit.file.")
@click.option("--json", "as_json", is_flag=True, help="The record as it stands.")
def explain(record_id: str, audit: Path, as_json: bool) -> None:
    """Render the audit record of the verdict ID, which every reply of the service carries.

    The files that were put aside are searched, too. The record holds no text of the request: whoever may read that
    finds it by its time and the hash of its account, and looks at the turn that the record names first.
    """
    record = find_record(audit, record_id)
    if record is None:
        raise InputError(
            "ID", "no record of it", "only verdicts beyond allow are kept; check the id, or name the file by --audit"
        )
    if as_json:
        click.echo(json.dumps(record, indent=2))
    else:
        Console().print(render_record(record))


def render_record(record: Mapping[str, object]) -> Table:
    """A record as a table of two columns, nested names joined by dots, reasons with their meanings."""
    table = Table(title="Verdict", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in _list_leaves(record):
        table.add_row(_show(name), _show(value))
    return table


def _show(value: str) -> Text:
    """Text as it stands: its brackets are no markup, its control characters do not reach the terminal."""
    return Text("".join(each if each.isprintable() or each == "\n" else "\ufffd" for each in value))


def _list_leaves(value: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, each in value.items():
        if isinstance(each, Mapping):
            rows += _list_leaves(each, f"{prefix}{name}.")
        elif isinstance(each, list):
            rows.append((prefix + name, "\n".join(map(_explain_code, each)) or "-"))
        else:
            is_rounded = isinstance(each, float) and not name.endswith("time_s")
            rows.append((prefix + name, f"{each:.4g}" if is_rounded else str(each)))
    return rows


def _explain_code(code: object) -> str:
    meaning = REASON_CODES.get(str(code))
    return str(code) if meaning is None else f"{code}: {meaning}"
