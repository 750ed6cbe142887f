"""Requests of a given size, made of plain prose."""

from __future__ import annotations

from random import Random

from stillwatch.serve import Scorer

PROSE = "The lamp in the hall went out again, so we read by the window until supper was ready. "

Body = dict[str, list[dict[str, str]]]


def text_of(num_characters: int, seed: int | None = None) -> str:
    """Plain prose of exactly so many characters, no two sentences alike: equal windows would be read once."""
    rng, words = Random(num_characters if seed is None else seed), PROSE.split()
    sentences = [" ".join(rng.sample(words, len(words))) for _ in range(num_characters // len(PROSE) + 1)]
    return "\n\n".join(f"{sentence} " for sentence in sentences)[:num_characters]


def chat(*texts: str) -> Body:
    """A conversation in which user and assistant take turns."""
    return {"messages": [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]}


def body_of_tokens(scorer: Scorer, num_tokens: int) -> Body:
    """A request of `num_tokens` tokens, its marker and the two special tokens of one window included."""
    words = PROSE.split()
    count = num_tokens // 2
    while scorer.score(chat(" ".join((words * count)[:count]))).coverage.tokens < num_tokens - 2:
        count += 1
    return chat(" ".join((words * count)[:count]))
