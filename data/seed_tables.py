"""Makes tables from `data/material/tables/`, each with a question whose answer is computed from its rows."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from random import Random
from types import MappingProxyType

from stillwatch.data.material import choose_language, load_material
from stillwatch.data.values import Value, draw_values

Rows = Sequence[Mapping[str, Value]]
"""The rows of a table, each by column."""


def make_table(rng: Random, lang: str) -> dict[str, object]:
    """One table with a question about it.

    Args:
        rng: the only chance used.
        lang: ISO 639-1 code; English where there are no tables.
    """
    material = load_material("tables")
    lang = choose_language(material, lang)
    entry = rng.choice(material[lang]["items"])
    columns: list[str] = list(entry["columns"])
    rows = [draw_values(entry["columns"], rng, lang) for _ in range(rng.randint(5, 14))]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([row[column] for column in columns] for row in rows)
    question, answer = _ask(material[lang]["questions"], entry, rows, rng)
    return {
        "csv": text.getvalue().strip(),
        "rows": len(rows),
        "columns": columns,
        "subject": entry["subject"],
        "question": question,
        "answer": answer,
        "sql_schema": _write_schema(entry["table"], rows[0]),
    }


def _ask(questions: Mapping[str, Sequence[str]], entry: Mapping[str, str], rows: Rows, rng: Random) -> tuple[str, str]:
    number, group = entry["number"], entry["group"]
    sums: dict[str, float] = defaultdict(float)
    for row in rows:
        sums[str(row[group])] += float(row[number])
    chosen = rng.choice(sorted(sums))
    limit = sorted(float(row[number]) for row in rows)[len(rows) // 2]
    kind = rng.choice(sorted(questions))
    wording = rng.choice(questions[kind])
    question = wording.format(number=number, group=group, noun=entry["noun"], chosen=chosen, limit=f"{limit:g}")
    return question, _ANSWERS[kind](sums, chosen, [float(row[number]) for row in rows], limit)


def _highest(sums: Mapping[str, float], chosen: str, values: Sequence[float], limit: float) -> str:
    del chosen, values, limit
    highest = max(sums, key=lambda key: sums[key])
    return f"{highest} ({sums[highest]:.2f})"


_ANSWERS: Mapping[str, Callable[[Mapping[str, float], str, Sequence[float], float], str]] = MappingProxyType(
    {
        "total": lambda sums, chosen, _values, _limit: f"{sums[chosen]:.2f}",
        "highest": _highest,
        "above": lambda _sums, _chosen, values, limit: str(sum(value > limit for value in values)),
        "mean": lambda _sums, _chosen, values, _limit: f"{sum(values) / len(values):.2f}",
        "share": lambda sums, chosen, _values, _limit: f"{100 * sums[chosen] / sum(sums.values()):.1f}%",
    }
)
"""Answers by kind of question; a language's `questions` word them all."""


def _write_schema(table: str, row: Mapping[str, Value]) -> str:
    types = {bool: "BOOLEAN", int: "INTEGER", float: "NUMERIC(10, 2)", str: "TEXT"}
    lines = [f"  {column} {types[type(value)]}" for column, value in row.items()]
    return f"CREATE TABLE {table} (\n" + ",\n".join(lines) + "\n);"
