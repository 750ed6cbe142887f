"""Reads what a body says beside its messages: in fields that some servers put before the model, or of a tool.

Chat servers differ: vLLM renders `documents` and a caller's own `chat_template`, Ollama takes `format`, OpenAI
`prediction`; a template may print a tool with all of its keys. Whoever sends a demand there should be read, too. Of
such fields only texts that say something are taken: names, switches, links and tokens stay out. Which of them the
model gets, its server decides. `metadata`, which no model sees, is never read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice

from stillwatch.data.fields import compact_json, iter_strings, read_text
from stillwatch.data.limits import Limits

SPOKEN = (
    *("instructions", "system_prompt", "preamble", "chat_template", "chat_template_kwargs", "documents"),
    *("context", "input", "prompt", "suffix", "prediction"),
)
"""Fields of a body whose texts a model may get."""
CONTRACTS = (
    *("guided_json", "guided_regex", "guided_grammar", "guided_choice", "structured_outputs"),
    *("format", "response_schema", "output_schema"),
)
"""Fields of a body that say what an answer must look like."""

_WORD = re.compile(r"[^\W\d_]{2,}")
_LEAST_WORDS = 6
_LEAST_SIGNS = 12  # of a text that is not ASCII: not every script puts blanks between words


def read_spoken(body: Mapping[str, object]) -> str:
    """The texts that stand beside the messages, a line each; empty where there are none.

    Raises:
        InputError: a text that cannot be encoded.
    """
    return "\n".join(text for key in SPOKEN for text in iter_texts(body.get(key), key))


def read_contracts(body: Mapping[str, object], limits: Limits) -> list[str]:
    """The contracts beside `response_format`, objects as JSON text.

    Raises:
        InputError: one that is no JSON, or nested too deep.
    """
    told = {key: body.get(key) for key in CONTRACTS}
    text = body.get("text")  # where the Responses API has its format
    told["text.format"] = text.get("format") if isinstance(text, Mapping) else None
    texts: list[str] = []
    for key, value in told.items():
        if not isinstance(value, dict):
            texts += iter_texts(value, key)
        elif value != {"type": "text"}:
            texts.append(compact_json(value, key, limits))
    return texts


def iter_texts(value: object, field: str) -> Iterator[str]:
    """Every text within a value that says something, in reading order.

    Raises:
        InputError: a text that cannot be encoded.
    """
    for text in iter_strings(value):
        if says_something(text):
            yield read_text(text, field)


def says_something(text: str) -> bool:
    """Whether this is more than a name, a link or a token: six words, or a dozen signs of another script."""
    words = sum(1 for _ in islice(_WORD.finditer(text), _LEAST_WORDS))
    return words >= _LEAST_WORDS or (len(text) >= _LEAST_SIGNS and not text.isascii())
