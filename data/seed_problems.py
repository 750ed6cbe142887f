"""Makes exercises whose numbers are drawn and whose answers are computed; the words are in `problems*.yaml`.

The calculators are in `data/calculators/`, by field: each returns the values that the texts of its type fill in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from random import Random
from types import MappingProxyType
from typing import Any

from stillwatch.data.calculators.calculator import Calculator, Number
from stillwatch.data.calculators.everyday import EVERYDAY
from stillwatch.data.calculators.mathematics import MATHEMATICS
from stillwatch.data.calculators.probability import PROBABILITY
from stillwatch.data.calculators.science import SCIENCE
from stillwatch.data.material import choose_language, load_material

CALCULATORS: Mapping[str, Calculator] = MappingProxyType({**EVERYDAY, **SCIENCE, **MATHEMATICS, **PROBABILITY})
"""The problem types by name."""


def make_problem(rng: Random, lang: str) -> dict[str, object]:
    """One exercise with its answer, a worked solution, one with a slip, and a rambling scratch trace.

    Args:
        rng: the only chance used.
        lang: ISO 639-1 code; English where there are no texts.
    """
    by_language = _load_problems()
    lang = choose_language(by_language, lang)
    kind = rng.choice(by_language[lang])
    values = draw_numbers(str(kind["type"]), rng)
    shown = {name: show_number(value) for name, value in values.items()}
    texts: Mapping[str, Sequence[str]] = kind["texts"]

    def fill(text: str) -> str:
        return text.format(**shown).strip()

    answer = fill(kind["answer"])
    wrong = fill(kind["answer"].replace("{answer}", "{wrong}"))
    solution = [fill(line) for line in texts["solution"]]
    slip = [fill(line) for line in texts["slip"]]
    return {
        "question": fill(rng.choice(texts["question"])),
        "answer": answer,
        "solution": "\n".join(solution),
        "wrong_solution": "\n".join(slip),
        "trace": _ramble(solution, slip, answer, wrong, rng, lang),
        "subject": kind["subject"],
        "level": kind["level"],
    }


def draw_numbers(kind: str, rng: Random) -> dict[str, Number]:
    """Draw the numbers of a problem type and compute its answer and its wrong answer.

    Args:
        kind: a key of `CALCULATORS`.
        rng: the only chance used.
    """
    while True:
        values = CALCULATORS[kind](rng)
        if values["answer"] != values["wrong"]:
            return values


def show_number(value: Number) -> str:
    """A number as a person writes it: `12`, `3.75`, `5/12`, or a word as it is."""
    if isinstance(value, float):
        return f"{value:.{4 if abs(value) < 1 else 2}f}".rstrip("0").rstrip(".")
    return str(value)


@cache
def _load_problems() -> Mapping[str, Sequence[Mapping[str, Any]]]:
    problems: Mapping[str, Sequence[Mapping[str, Any]]] = load_material("problems")
    return problems


def _ramble(solution: Sequence[str], slip: Sequence[str], answer: str, wrong: str, rng: Random, lang: str) -> str:
    words = load_material("ramble")
    words = words[choose_language(words, lang)]
    lines = [rng.choice(words["open"])]
    if rng.random() < 0.6:
        lines += [*slip[:-1], rng.choice(words["doubt"]).format(wrong=wrong)]
    for line in solution[:-1]:
        lines.append(f"{rng.choice(words['link'])} {line}")
    lines.append(rng.choice(words["check"]))
    lines.append(rng.choice(words["close"]).format(answer=answer))
    return "\n".join(lines)
