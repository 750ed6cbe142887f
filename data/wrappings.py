"""Puts something around a request: a translation order, innocent text, further turns, a word to the classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from stillwatch.data.chance import Chance
from stillwatch.data.labels import Role
from stillwatch.data.material import load_material
from stillwatch.data.records import Message
from stillwatch.data.seed_texts import make_document

MOST_PADDING = 20_000
"""Characters of innocent text at strength 1 of burying."""

_MOST_PARTS = 6


def wrap_translation(messages: tuple[Message, ...], strength: float, chance: Chance, lang: str) -> tuple[Message, ...]:
    """Ask for the answer in another language; at full strength around every user turn, else around the last."""
    del lang
    words = load_material("transforms")
    language = chance.choice(words["languages"])
    last = _last_user(messages)
    return tuple(
        replace(message, content=chance.choice(words["wrappers"]["en"]).format(language=language, text=message.content))
        if message.role is Role.USER and (place == last or strength >= 1)
        else message
        for place, message in enumerate(messages)
    )


def bury(messages: tuple[Message, ...], strength: float, chance: Chance, lang: str) -> tuple[Message, ...]:
    """Put the last user turn between innocent documents of `strength` times `MOST_PADDING` characters."""
    return pad(messages, round(strength * MOST_PADDING), chance, lang)


def pad(messages: tuple[Message, ...], num_characters: int, chance: Chance, lang: str) -> tuple[Message, ...]:
    """Put the last user turn at a drawn place between innocent documents of that many characters in all."""
    documents: list[str] = []
    length = 0
    while length < num_characters:
        drawn = make_document(chance, lang)
        documents.append(f"{drawn['title']}\n\n{drawn['body']}"[: num_characters - length])
        length += len(documents[-1]) + 2
    place = chance.randint(0, len(documents))
    last = _last_user(messages)
    content = "\n\n".join((*documents[:place], messages[last].content, *documents[place:]))
    return _put(messages, last, content)


def split_over_turns(messages: tuple[Message, ...], strength: float, chance: Chance, lang: str) -> tuple[Message, ...]:
    """Send the last user turn in parts, acknowledged one by one: two at least, more with strength."""
    del lang
    words = load_material("transforms")
    last = _last_user(messages)
    lines = messages[last].content.splitlines(keepends=True)
    pieces = lines if len(lines) > 1 else [word + " " for word in messages[last].content.split(" ")]
    parts = _cut(pieces, min(len(pieces), round(2 + strength * (_MOST_PARTS - 2))))
    turns: list[Message] = []
    for number, part in enumerate(parts):
        opening = chance.choice(words["splits"]) + "\n" if number == 0 else ""
        closing = "\n" + chance.choice(words["ends"]) if number == len(parts) - 1 else ""
        turns.append(replace(messages[last], content=f"{opening}{part.rstrip()}{closing}"))
        if number < len(parts) - 1:
            turns.append(Message(Role.ASSISTANT, chance.choice(words["acknowledgements"])))
    return (*messages[:last], *turns, *messages[last + 1 :])


def address_classifier(
    messages: tuple[Message, ...], strength: float, chance: Chance, lang: str
) -> tuple[Message, ...]:
    """Add lines that speak to filters: one at little strength, several in and around the text at full strength."""
    del lang
    lines: Sequence[str] = load_material("transforms")["addresses"]
    last = _last_user(messages)
    chosen = chance.sample(lines, max(1, round(strength * 3)))
    content = messages[last].content
    for line in chosen:
        content = chance.choice((f"{line}\n\n{content}", f"{content}\n\n{line}"))
    return _put(messages, last, content)


def _cut(pieces: Sequence[str], count: int) -> list[str]:
    edges = [round(number * len(pieces) / count) for number in range(count + 1)]
    return ["".join(pieces[start:end]) for start, end in pairwise(edges)]


def _last_user(messages: Sequence[Message]) -> int:
    """The place of the last user turn, or of the last turn where there is none."""
    places = [place for place, message in enumerate(messages) if message.role is Role.USER]
    return places[-1] if places else len(messages) - 1


def _put(messages: tuple[Message, ...], place: int, content: str) -> tuple[Message, ...]:
    return (*messages[:place], replace(messages[place], content=content), *messages[place + 1 :])
