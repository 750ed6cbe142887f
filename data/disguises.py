"""Rewrites a text letter by letter or word by word: spelling, white space, look-alikes, encodings, phrases.

`strength` is the share of what could be changed that is changed.
"""

from __future__ import annotations

import base64
import codecs
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache

from stillwatch.data.chance import Chance
from stillwatch.data.labels import Role
from stillwatch.data.material import load_material
from stillwatch.data.records import Message

_MOST_TYPOS = 0.15  # share of the words at strength 1: more and nobody could read it
_MOST_INVISIBLES = 0.5  # share of the letters that are followed by one
_SENTENCE_START = re.compile(r"(?m)(?<=[.!?] )[A-Z]|^[A-Z]")
_WORD = re.compile(r"[^\W\d_]{4,}")


def swap_phrases(text: str, strength: float, chance: Chance, lang: str) -> str:
    """Replace phrases by others that mean the same, out of a grammar of paraphrases; case at the start is kept."""
    pattern, synonyms = _load_phrases(lang)

    def swap(match: re.Match[str]) -> str:
        found = match.group()
        if chance.random() >= strength:
            return found
        chosen = chance.choice(synonyms[found.casefold()])
        return chosen[0].upper() + chosen[1:] if found[0].isupper() else chosen

    return pattern.sub(swap, text)


@cache
def _load_phrases(lang: str) -> tuple[re.Pattern[str], Mapping[str, Sequence[str]]]:
    material: Mapping[str, list[list[str]]] = load_material("paraphrases")
    lines = material.get(lang, material["en"])
    synonyms = {phrase.casefold(): [o for o in line if o != phrase] for line in lines for phrase in line}
    longest_first = sorted(synonyms, key=len, reverse=True)
    edge = "" if lang in ("zh", "ja", "ko") else r"\b"
    return re.compile(edge + "(?:" + "|".join(map(re.escape, longest_first)) + ")" + edge, re.IGNORECASE), synonyms


def change_spelling(text: str, strength: float, chance: Chance, lang: str) -> str:
    """Misspell words as hurried fingers do (swapped, doubled, missing, neighbouring letters) and lose capitals."""
    del lang
    neighbours: Mapping[str, str] = load_material("transforms")["neighbours"]

    def misspell(match: re.Match[str]) -> str:
        word = match.group()
        if chance.random() >= strength * _MOST_TYPOS:
            return word
        place = chance.randrange(1, len(word) - 1)
        before, letter, after = word[:place], word[place], word[place + 1 :]
        kinds = (
            before + after,
            before + letter + letter + after,
            before + after[0] + letter + after[1:],
            before + chance.choice(neighbours.get(letter.lower(), letter)) + after,
        )
        return chance.choice(kinds)

    changed = _WORD.sub(misspell, text)
    return _SENTENCE_START.sub(lambda m: m[0].lower() if chance.random() < strength else m[0], changed)


def change_white_space(text: str, strength: float, chance: Chance, lang: str) -> str:
    """Double blanks, break lines elsewhere, put other blanks of Unicode in their place."""
    del lang
    blanks = ("  ", "\u00a0", "\u2009", "\t", "\n", " \n ", "\u3000")

    def change(match: re.Match[str]) -> str:
        return chance.choice(blanks) if chance.random() < strength * 0.4 else match.group()

    return re.sub(r" ", change, text)


def swap_look_alikes(text: str, strength: float, chance: Chance, lang: str) -> str:
    """Put letters of other scripts for Latin ones that look alike."""
    del lang
    confusables: Mapping[str, str] = load_material("transforms")["confusables"]
    return "".join(
        chance.choice(confusables[letter]) if letter in confusables and chance.random() < strength else letter
        for letter in text
    )


def insert_invisibles(text: str, strength: float, chance: Chance, lang: str) -> str:
    """Put characters without width between letters."""
    del lang
    invisibles: str = load_material("transforms")["zero_width"]
    return "".join(
        letter + chance.choice(invisibles)
        if letter.isalpha() and chance.random() < strength * _MOST_INVISIBLES
        else letter
        for letter in text
    )


def encode(messages: tuple[Message, ...], strength: float, chance: Chance, lang: str) -> tuple[Message, ...]:
    """Put the last turn into base64, hex or rot13 and ask to decode it; below full strength, its last part only."""
    del lang
    turn = max(place for place, message in enumerate(messages) if message.role is not Role.ASSISTANT)
    text = messages[turn].content
    words = text.split(" ")
    cut = round(len(words) * (1 - strength))
    clear, hidden = " ".join(words[:cut]), " ".join(words[cut:])
    name = chance.choice(tuple(_ENCODERS))
    request = chance.choice(load_material("transforms")["encodings"]).format(name=name, blob=_ENCODERS[name](hidden))
    content = f"{clear}\n\n{request}".strip()
    return (*messages[:turn], replace(messages[turn], content=content), *messages[turn + 1 :])


_ENCODERS: Mapping[str, Callable[[str], str]] = {
    "base64": lambda text: base64.b64encode(text.encode("utf-8", "replace")).decode("ascii"),
    "hex": lambda text: text.encode("utf-8", "replace").hex(),
    "rot13": lambda text: codecs.encode(text, "rot13"),
}
