"""Undoes what is done to single letters: characters that nobody sees, look-alikes of other scripts, letters spelt out.

A text in its own script comes out as it went in: look-alikes are folded only in words that mix scripts (and, in a
line of such words, in words that hold nothing but look-alikes), and characters without width stay where emoji, Indic
and Arabic-script writing need them. Look-alikes are those of Unicode Technical Standard 39; what is hidden is Unicode's
Default_Ignorable_Code_Point (Unicode Standard Annex 44) and combining marks heaped on a letter.
It corrects no spelling and replaces no digit that stands for a letter.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from stillwatch.model.normalise_prose import reads_as_prose

LETTERS = Path(__file__).parent / "letters"
"""Tables that ship with the package."""

_IGNORABLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_HIDDEN = re.compile(f"[{_IGNORABLE}]+|[\u0305\u0332-\u0338]+|[\u0300-\u036f]{{3,}}")
_CONTROLS = {code: None for code in (*range(9), 11, 12, *range(14, 32), *range(127, 160)) if code != 0x85}
_CONTROL_BYTES = bytes(code for code in _CONTROLS if code < 128)
_JOINED = re.compile("[\u0600-\u08ff\u0900-\u0dff\u0f00-\u109f\u1780-\u18af\ufb50-\ufdff\ufe70-\ufefe]")
"""Scripts in which ZWJ and ZWNJ change what is written (UAX 31, 2.3)."""
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")
"""Scripts without blanks, where U+200B marks the places to break a line."""
_JOINERS, _DIRECTIONS = frozenset("\u200c\u200d"), frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u2066\u2067\u2069")
_LETTERS_PER_JOINER = 8  # Persian has one in twenty or so
_SELECTED = re.compile("[\ufe0e\ufe0f]")
_FLAG, _TAGS_END = "\U0001f3f4", "\U000e007f"

_WORD = re.compile(r"[^\W\d_]+")
_SPELT = (
    # a word in letters with one sign between them, and words of single letters with blanks between
    re.compile(r"(?<![^\W_])[A-Za-z](?:([-._*·•|/~])[A-Za-z])(?:\1[A-Za-z]){3,}(?![^\W_])"),
    re.compile(r"(?<![^\W_])[A-Za-z](?: {1,4}[A-Za-z](?![^\W_])){5,}"),
)
_WORDS_IN_A_SIGN = re.compile("[\u3300-\u33ff\ufdfa\ufdfb]+")
"""Signs that NFKC writes out as up to 18 letters; all others become four at most."""
_MOST_WORD_SIGNS = 1000
_LEAST_STYLISED = 3
_MANY = 3
"""Mixed words in a text after which lines of look-alikes alone are taken for disguised."""


def remove_hidden(text: str) -> tuple[str, int]:
    """Remove characters that nobody sees.

    Returns:
        the text, and how many of the removed characters no writing needs: the mark at the start of a file, soft
        hyphens, and what scripts, emoji and right-to-left text call for are not counted.
    """
    if text.isascii():
        shorter = text.encode("ascii").translate(None, _CONTROL_BYTES)
        return (text, 0) if len(shorter) == len(text) else (shorter.decode("ascii"), len(text) - len(shorter))
    visible = text.translate(_CONTROLS) if _has_controls(text) else text
    count = len(text) - len(visible)
    if not _HIDDEN.search(visible):
        return visible, count
    is_right_to_left = bool(_RIGHT_TO_LEFT.search(visible))
    joins_often = (visible.count("\u200c") + visible.count("\u200d")) * _LETTERS_PER_JOINER > len(visible)

    def remove(match: re.Match[str]) -> str:
        nonlocal count
        run, before = match.group(), visible[match.start() - 1 : match.start()]
        after = visible[match.end() : match.end() + 1]
        if not joins_often and _is_needed_joiner(run, before, after):
            return run
        if before == _FLAG and run.endswith(_TAGS_END) and len(run) <= 8:
            return ""  # a flag of a region
        for number, character in enumerate(run):
            is_ordinary = (
                character == "\u00ad"
                or (character == "\ufeff" and match.start() + number == 0)
                or (character in _DIRECTIONS and is_right_to_left)
                or (character == "\u200b" and bool(_UNSPACED.match(before or after)))
                or (number == 0 and bool(_SELECTED.match(character)) and not before.isalpha())
            )
            count += not is_ordinary
        return ""

    return _HIDDEN.sub(remove, visible), count


def fold_look_alikes(text: str) -> tuple[str, int]:
    """Write words that mix scripts in the script that they mean.

    Returns:
        the text, and how many words changed.
    """
    table = _load_table()
    if text.isascii() or not table.foreign.search(text):
        return text, 0
    if not table.mixed.search(text) and not table.stylised.search(text):
        return text, 0
    lines = text.splitlines(keepends=True)
    words = [_WORD.findall(line) for line in lines]
    # Each word is looked at once, however many lines there are: a request may hold a million of either.
    folded = {word: table.fold(word) for word in {w for line in words for w in line} if not word.isascii()}
    genuine = {word for word in folded if table.is_genuine(word)}
    bold = {word: word.translate(table.to_latin) if table.looks_latin(word) else to for word, to in folded.items()}
    careful = {word: to for word, to in folded.items() if sum(map(str.isascii, word)) * 2 > len(word)}
    mixed = [sum(folded.get(word, word) != word for word in line) for line in words]
    is_disguised = sum(mixed) >= _MANY
    count = 0
    for number, (line, own) in enumerate(zip(lines, words, strict=True)):
        num_genuine = sum(word in genuine for word in own)
        if mixed[number] > num_genuine or (not num_genuine and is_disguised):
            new = bold  # nothing else is written in that script here: words of look-alikes alone are disguised, too
        else:
            new = careful if num_genuine else folded
        if num_changed := sum(new.get(word, word) != word for word in own):
            count += num_changed
            lines[number] = _replace_words(line, new)
    return "".join(lines), count


def _replace_words(line: str, new: Mapping[str, str]) -> str:
    return _WORD.sub(lambda match: new.get(match.group(), match.group()), line)


def compose_letters(text: str) -> str:
    """Compatibility form (NFKC); a flood of signs that stand for whole words stays as it is, lest it grow 18-fold."""
    if sum(map(len, _WORDS_IN_A_SIGN.findall(text))) <= _MOST_WORD_SIGNS:
        return unicodedata.normalize("NFKC", text)
    parts = re.split(f"({_WORDS_IN_A_SIGN.pattern})", text)
    return "".join(
        unicodedata.normalize("NFKC", part) if number % 2 == 0 else part for number, part in enumerate(parts)
    )


def join_letters(text: str) -> tuple[str, int]:
    """Join words that are spelt out letter by letter, where what comes out reads as prose.

    Returns:
        the text, and how many words were joined.
    """
    count = 0

    def join(match: re.Match[str]) -> str:
        nonlocal count
        found = match.group()
        words = re.split(" {2,}", found) if " " in found else [found]
        joined = " ".join(re.sub(r"[^A-Za-z]", "", word) for word in words)
        if not reads_as_prose(joined, least_letters=5):
            return found
        count += len(words)
        return joined

    for pattern in _SPELT:
        text = pattern.sub(join, text)
    return text, count


def read_smuggled(text: str) -> str:
    """What is written in characters without a picture: tag characters as ASCII, variation selectors as bytes."""
    tags = "".join(chr(ord(c) - 0xE0000) for c in re.findall("[\U000e0020-\U000e007e]", text))
    # Selectors stand alone after an emoji or a Han character; many in a row are bytes of a message.
    runs = re.findall("(?:[\ufe00-\ufe0f\U000e0100-\U000e01ef]){4,}", text)
    numbers = (ord(c) - 0xFE00 if ord(c) < 0x10000 else ord(c) - 0xE0100 + 16 for run in runs for c in run)
    selectors = bytes(numbers).decode("utf-8", "ignore")
    return "\n".join(part for part in (tags if len(tags) > 8 else "", selectors) if part)


def _has_controls(text: str) -> bool:
    return bool(re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]", text))


def _is_needed_joiner(run: str, before: str, after: str) -> bool:
    if len(run) > 2 or run[-1] not in _JOINERS or (len(run) == 2 and run[0] != "\ufe0f"):
        return False
    if not before or not after:
        return False
    if run[-1] == "\u200d" and after >= "\u2190" and unicodedata.category(after) == "So":
        return len(run) == 2 or unicodedata.category(before) in ("So", "Sk")  # an emoji made of several
    is_indic = "\u0900" <= before <= "\u0dff"
    return bool(_JOINED.match(before) and (unicodedata.combining(before) == 9 if is_indic else _JOINED.match(after)))


class _Table:
    """Look-alikes in both directions, and patterns over them."""

    def __init__(self, by_letter: dict[str, str], stylised: dict[str, str]) -> None:
        foreign = {ord(other): letter for letter, others in by_letter.items() for other in others}
        self.to_latin = foreign | {ord(other): letter for letter, others in stylised.items() for other in others}
        cyrillic = {letter: o for letter, others in by_letter.items() for o in others if "\u0400" <= o <= "\u04ff"}
        greek = {letter: o for letter, others in by_letter.items() for o in others if "\u0370" <= o <= "\u03ff"}
        self._back = {"CYRILLIC": str.maketrans(cyrillic), "GREEK": str.maketrans(greek)}
        self._back_letters = {"CYRILLIC": frozenset(cyrillic), "GREEK": frozenset(greek)}
        every = "".join(map(chr, self.to_latin))
        self.foreign = re.compile(f"[{every}]")
        self.mixed = re.compile(f"[A-Za-z][\u0370-\u058f{every}]|[\u0370-\u058f{every}][A-Za-z]")
        self.stylised = re.compile(f"[{''.join(stylised.values())}]{{{_LEAST_STYLISED},}}")

    def looks_latin(self, word: str) -> bool:
        """Whether every letter is one of ASCII or looks like one."""
        return all(letter.isascii() or ord(letter) in self.to_latin for letter in word)

    def is_genuine(self, word: str) -> bool:
        """Whether the word holds a letter that is neither Latin nor looks so."""
        return any(
            ord(letter) not in self.to_latin and not unicodedata.name(letter, "").startswith("LATIN")
            for letter in word
            if not letter.isascii()
        )

    def fold(self, word: str) -> str:
        """The word in one script, or as it is where that cannot be."""
        latin = [letter for letter in word if letter.isascii()]
        others = [letter for letter in word if not letter.isascii()]
        if self.stylised.fullmatch(word):
            return word.translate(self.to_latin)
        if not latin:
            return word
        accented = [letter for letter in others if ord(letter) not in self.to_latin]
        if all(unicodedata.name(letter, "").startswith("LATIN") for letter in accented):
            is_formula = len(word) < 4 and len(latin) < 2 and any("\u0370" <= o <= "\u03ff" for o in others)
            return word if is_formula else word.translate(self.to_latin)
        for script, letters in self._back_letters.items():
            if all(unicodedata.name(o, "").startswith(script) for o in others) and letters.issuperset(latin):
                return word.translate(self._back[script]) if len(latin) < len(others) else word
        return word


@cache
def _load_table() -> _Table:
    tables = json.loads((LETTERS / "look_alikes.json").read_text("utf-8"))
    near: dict[str, str] = tables["near"]
    by_letter = {letter: others + near.pop(letter, "") for letter, others in tables["uts39"].items()} | near
    return _Table(by_letter, tables["stylised"])
