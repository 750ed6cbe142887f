"""The plain words between the drawn requests: answers, follow-ups and tool results, from `phrases.yaml`.

Honest accounts and operators draw from the same phrases, so nothing in them tells one from the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from stillwatch.data.material import parse_yaml

_FILE = Path(__file__).parent / "phrases.yaml"


@dataclass(frozen=True, slots=True)
class Phrases:
    """Phrases of one language. `{n}`, `{m}` and `{word}` are filled.

    Attributes:
        answers: what the assistant says.
        leads: how a follow-up begins; may be empty.
        asks: what a follow-up asks.
        steps: what an agent says before it calls a tool; may be empty.
    """

    answers: Sequence[str]
    leads: Sequence[str]
    asks: Sequence[str]
    steps: Sequence[str]

    def draw_answer(self, chance: Random) -> str:
        """A plain turn of the assistant, of one to three sentences."""
        num = 1 + int(3 * chance.random())
        return " ".join(_fill(phrase, chance) for phrase in chance.sample(self.answers, min(num, len(self.answers))))

    def draw_follow_up(self, chance: Random) -> str:
        """A short turn of the user."""
        return f"{chance.choice(self.leads)} {_fill(chance.choice(self.asks), chance)}".strip()

    def draw_step(self, chance: Random) -> str:
        """What is said with a tool call; may be empty."""
        return chance.choice(self.steps)


def load_phrases(lang: str) -> Phrases:
    """The phrases of a language, else the English ones."""
    known = _load_all()
    return known.get(lang, known["en"])


def draw_tool(chance: Random) -> tuple[str, str, str]:
    """A tool call of an agent that was offered none by name: its name, its arguments as JSON, its result."""
    name, arguments, results = chance.choice(_load_tools())
    numbers = {"n": chance.randint(2, 400), "m": chance.randint(1, 60), "word": chance.choice(_WORDS)}
    return name, _put(arguments, numbers), _put(chance.choice(results), numbers)


def draw_result(chance: Random) -> str:
    """The result of any tool."""
    return _fill(chance.choice(chance.choice(_load_tools())[2]), chance)


@cache
def _load_all() -> Mapping[str, Phrases]:
    rows = parse_yaml(_FILE.read_text(encoding="utf-8"))["languages"]
    return {lang: Phrases(row["answers"], row["leads"], row["asks"], row["steps"]) for lang, row in rows.items()}


@cache
def _load_tools() -> Sequence[tuple[str, str, Sequence[str]]]:
    rows = parse_yaml(_FILE.read_text(encoding="utf-8"))["tools"]
    return [(row["name"], row["arguments"], row["results"]) for row in rows]


def _fill(phrase: str, chance: Random) -> str:
    if "{" not in phrase:
        return phrase
    return _put(phrase, {"n": chance.randint(2, 400), "m": chance.randint(1, 60), "word": chance.choice(_WORDS)})


def _put(phrase: str, values: Mapping[str, object]) -> str:
    for name, value in values.items():
        phrase = phrase.replace(f"{{{name}}}", str(value))
    return phrase


_WORDS = ("orders", "config", "parser", "report", "session", "client", "index", "billing", "search", "upload", "cache")
