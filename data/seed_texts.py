"""Makes documents, exchanges, screens and tables from the authored grammars under `data/material/`."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from random import Random

from stillwatch.data.material import choose_language, load_material
from stillwatch.data.seed_problems import make_problem
from stillwatch.data.values import Value, draw_values

_FROM_PROBLEM = 0.3  # share of the exchanges that are about a computed exercise


def make_document(rng: Random, lang: str) -> dict[str, object]:
    """One email, report, policy, review, transcript or log of 80 to 300 words with a question about it.

    Args:
        rng: the only chance used.
        lang: ISO 639-1 code; English where there are no documents.
    """
    material = load_material("documents")
    lang = choose_language(material, lang)
    entry = rng.choice(material[lang])
    facts = draw_values(entry["facts"], rng, lang)
    sentences = [_choose(sentence, rng) for sentence in entry["sentences"]]
    glue = "\n" if entry["kind"] in ("transcript", "log") else ("" if lang in ("zh", "ja") else " ")
    body = glue.join(sentence for sentence in sentences if sentence).replace(f"{glue}¶{glue}", "\n\n")
    return {
        "kind": entry["kind"],
        "title": entry["title"].format(**facts),
        "body": body.format(**facts),
        "question": _choose(entry["question"], rng).format(**facts),
        "answer": entry["answer"].format(**facts),
        "summary": entry["summary"].format(**facts),
    }


def make_exchange(rng: Random, lang: str) -> dict[str, object]:
    """One question with a good, a bad and a third answer and the criterion that tells them apart.

    Args:
        rng: the only chance used.
        lang: ISO 639-1 code; English where there are no exchanges.
    """
    material = load_material("exchanges")
    lang = choose_language(material, lang)
    if rng.random() < _FROM_PROBLEM:
        problem = make_problem(rng, lang)
        return {
            "question": problem["question"],
            "good_answer": problem["solution"],
            "bad_answer": problem["wrong_solution"],
            "third_answer": problem["answer"],
            "criteria": rng.choice(material[lang]["problem_criteria"]),
            "subject": problem["subject"],
        }
    entry = rng.choice(material[lang]["items"])
    return {
        "question": _choose(entry["q"], rng),
        "good_answer": entry["good"],
        "bad_answer": entry["bad"],
        "third_answer": entry["third"],
        "criteria": entry["criteria"],
        "subject": entry["subject"],
    }


def make_screen(rng: Random, lang: str) -> dict[str, object]:
    """One synthetic accessibility tree with a goal, what was done and the next action.

    Args:
        rng: the only chance used.
        lang: without effect; screens speak English.
    """
    del lang
    entry = rng.choice(load_material("screens"))
    facts = draw_values(entry["facts"], rng)
    goal = rng.choice(entry["goals"])
    start = rng.randint(1, 60)
    numbers = {key: start + place for place, key in enumerate(entry["elements"])}
    style = rng.choice(_STYLES)
    lines = [f"{entry['app']} ({rng.choice(('window', 'tab', 'activity'))})"]
    for key, element in entry["elements"].items():
        role, _, label = element.format(**facts).partition(" ")
        spot = f"{rng.randint(8, 1200)},{rng.randint(8, 780)}"
        lines.append(style.format(number=numbers[key], role=role, label=label.strip(), spot=spot))
    action, target, *text = goal["next"]
    return {
        "description": "\n".join(lines),
        "goal": goal["goal"].format(**facts),
        "next_action": " ".join([action, f"[{numbers[target]}]", *(part.format(**facts) for part in text)]),
        "history": "\n".join(step.format(**facts) for step in goal["history"]),
    }


_STYLES = (
    '[{number}] {role} "{label}"',
    '  [{number}] {role} "{label}" @({spot})',
    '<{role} id="{number}" text="{label}"/>',
    "{number}\t{role}\t{label}\t{spot}",
)


def make_table(rng: Random, lang: str) -> dict[str, object]:
    """One table with a question whose answer is computed from its rows.

    Args:
        rng: the only chance used.
        lang: without effect; tables speak English.
    """
    del lang
    entry = rng.choice(load_material("tables"))
    columns: list[str] = list(entry["columns"])
    rows = [draw_values(entry["columns"], rng) for _ in range(rng.randint(5, 14))]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([row[column] for column in columns] for row in rows)
    question, answer = _ask_table(entry, rows, rng)
    return {
        "csv": text.getvalue().strip(),
        "rows": len(rows),
        "columns": columns,
        "subject": entry["subject"],
        "question": question,
        "answer": answer,
        "sql_schema": _write_schema(entry["table"], rows[0]),
    }


def _ask_table(entry: Mapping[str, str], rows: Sequence[Mapping[str, Value]], rng: Random) -> tuple[str, str]:
    number, group, noun = entry["number"], entry["group"], entry["noun"]
    sums: dict[str, float] = defaultdict(float)
    for row in rows:
        sums[str(row[group])] += float(row[number])
    chosen = rng.choice(sorted(sums))
    highest = max(sums, key=lambda key: sums[key])
    limit = sorted(float(row[number]) for row in rows)[len(rows) // 2]
    above = sum(float(row[number]) > limit for row in rows)
    mean = sum(sums.values()) / len(rows)
    return rng.choice(
        (
            (f"What is the total {number} where {group} is {chosen}?", f"{sums[chosen]:.2f}"),
            (f"Which {group} has the highest total {number}?", f"{highest} ({sums[highest]:.2f})"),
            (f"How many {noun} have {number} above {limit:g}?", str(above)),
            (f"What is the average {number} over all {noun}?", f"{mean:.2f}"),
            (
                f"What share of the total {number} falls to {group} {chosen}, in percent?",
                _share(sums, chosen),
            ),
        )
    )


def _share(sums: Mapping[str, float], chosen: str) -> str:
    return f"{100 * sums[chosen] / sum(sums.values()):.1f}%"


def _write_schema(table: str, row: Mapping[str, Value]) -> str:
    types = {bool: "BOOLEAN", int: "INTEGER", float: "NUMERIC(10, 2)", str: "TEXT"}
    lines = [f"  {column} {types[type(value)]}" for column, value in row.items()]
    return f"CREATE TABLE {table} (\n" + ",\n".join(lines) + "\n);"


def _choose(options: str | Sequence[str], rng: Random) -> str:
    return options if isinstance(options, str) else rng.choice(options)
