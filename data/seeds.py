"""Seed material: what the families speak about. The same material serves benign and extraction families.

Everything is either authored for this project or computed from the random numbers given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from types import MappingProxyType

from stillwatch.data.errors import ConfigError
from stillwatch.data.seed_apis import make_api
from stillwatch.data.seed_code import make_code
from stillwatch.data.seed_problems import make_problem
from stillwatch.data.seed_screens import make_screen
from stillwatch.data.seed_tables import make_table
from stillwatch.data.seed_texts import make_document, make_exchange

SEED_FIELDS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "problem": frozenset({"question", "answer", "solution", "wrong_solution", "trace", "subject", "level"}),
        "code": frozenset({"language", "snippet", "bug", "fixed", "task", "error", "file"}),
        "api": frozenset({"service", "tools", "tools_json", "call_json", "result_json", "query"}),
        "table": frozenset({"csv", "rows", "columns", "subject", "question", "answer", "sql_schema"}),
        "document": frozenset({"kind", "title", "body", "question", "answer", "summary"}),
        "exchange": frozenset({"question", "good_answer", "bad_answer", "third_answer", "criteria", "subject"}),
        "screen": frozenset({"description", "goal", "next_action", "history"}),
    }
)
"""The fields of every seed kind. All are strings but `api.tools`, `table.rows` and `table.columns`."""

_LONG = 0.25  # share of the documents that are files of several
_MOST_PARTS = 7


def _make_document_of_any_length(rng: Random, lang: str) -> dict[str, object]:
    """A document, or a file of several with the questions of the first: what people paste is often long."""
    document = make_document(rng, lang)
    if rng.random() >= _LONG:
        return document
    parts = [make_document(rng, lang) for _ in range(rng.randint(1, _MOST_PARTS - 1))]
    return document | {"body": "\n\n".join([str(document["body"]), *(f"{p['title']}\n\n{p['body']}" for p in parts)])}


_MAKERS: Mapping[str, Callable[[Random, str], Mapping[str, object]]] = MappingProxyType(
    {
        "problem": make_problem,
        "code": make_code,
        "api": make_api,
        "table": make_table,
        "document": _make_document_of_any_length,
        "exchange": make_exchange,
        "screen": make_screen,
    }
)


def make_seed(kind: str, rng: Random, lang: str = "en") -> Mapping[str, object]:
    """One piece of seed material.

    Args:
        kind: one of `SEED_FIELDS`.
        rng: the only chance used; equal states give equal material.
        lang: ISO 639-1 code. Code and the tools of services speak English, all else nine languages;
            a language without material gets the English one.

    Raises:
        ConfigError: the kind is unknown.
    """
    if kind not in _MAKERS:
        raise ConfigError(f"seed: unknown kind; use one of {', '.join(SEED_FIELDS)}")
    return _MAKERS[kind](rng, lang)
