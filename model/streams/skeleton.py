"""Reduces a text to the words of its form: what was probably filled in is masked, what is surely data is dropped.

Nobody can tell from one text which words were filled into it. So numbers, quotations, names, identifiers and links
become one mark; code and dense data are dropped, and of a long paragraph all but its first and last sentence. What
is left is read as overlapping runs of words ("shingles"; Broder, 1997). Runs of few letters are passed over: they
stand in any text. Scripts without blanks between words are read sign by sign.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import blake2b
from itertools import chain

from stillwatch.model.normalise_letters import compose_letters, fold_look_alikes, remove_hidden

MASK = "_"
_MOST_CHARACTERS = 6_000  # read at either end of a longer text
_LONG_PARAGRAPH = 240  # characters of a line of which only the first and last sentence are read
_LEAST_LETTERS = 0.7  # share of letters and blanks in a line of prose
_MANY_CAPITALS = 0.18  # share of capitals within sentences where they are nouns, as in German, and no names
_SIGN = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_FENCE = re.compile(r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)", re.DOTALL)
_SENTENCE = re.compile(rf"(?<=[.!?;:])\s+|(?<=。)|(?<=[!?;:])(?=[{_SIGN}])")  # NFKC has made wide marks narrow
_TOKEN = re.compile(
    r"(?P<mask>https?://\S+|[\w.+-]{1,64}@[\w.-]+|\"[^\"\n]{1,400}\"|“[^”\n]{1,400}”|«[^»\n]{1,400}»|„[^“”\n]{1,400}[“”]"
    r"|「[^」\n]{1,400}」|`[^`\n]+`|(?<!\w)'[^'\n]{1,400}'(?!\w)|\w{0,64}[\d_][\w./:-]*|\{\{?[^{}\n]{0,60}\}?\})"
    rf"|(?P<sign>[{_SIGN}])"
    rf"|(?P<word>[^\W\d_{_SIGN}]+(?:['\u2019][^\W\d_{_SIGN}]+)?)"
)
_CAPITAL = re.compile(r"(?<=[^\W\d_] )[^\W\d_]")
_NO_LETTER = re.compile(r"[\W\d_]")


def split_segments(text: str) -> list[list[str]]:
    """The sentences and lines of a text as words of its form, in order.

    Args:
        text: any text; of a long one both ends are read.

    Returns:
        for each segment its words, folded, with `MASK` for what was masked; segments without a word are left out.
    """
    text = _FENCE.sub("\n", clip_ends(text))
    starts = _CAPITAL.findall(text)
    names_masked = sum(map(str.isupper, starts)) <= _MANY_CAPITALS * len(starts)
    lines = (_split_line(line) for line in text.splitlines() if line and _is_prose(line))
    segments = (_fold(part, names_masked) for part in chain.from_iterable(lines))
    return [segment for segment in segments if any(word != MASK for word in segment)]


def clip_ends(text: str) -> str:
    """A text without disguised letters and in compatibility form (NFKC); both ends of it where it is long."""
    if len(text) > 2 * _MOST_CHARACTERS:
        text = f"{text[:_MOST_CHARACTERS]}\n{text[-_MOST_CHARACTERS:]}"
    if text.isascii():
        return text
    folded, _ = fold_look_alikes(remove_hidden(text)[0])
    return compose_letters(folded)


def hash_shingles(segments: list[list[str]], *, width: int, least_letters: int) -> set[int]:
    """Hashes of all runs of words that say enough.

    Args:
        segments: what `split_segments` gave, or some of it; runs do not pass from one to the next, but a segment
            that is shorter than a run is read together with the next one.
        width: words in a run; twice as many signs.
        least_letters: letters of a run at least, a sign counting as three.
    """
    found: set[int] = set()
    short: list[str] = []
    for segment in segments:
        words = short + segment
        short = words if len(words) < width else []
        found.update(_iter_runs(words, width, least_letters))
    found.update(_iter_runs(short, len(short), least_letters))
    return found


def hash_words(words: list[str]) -> int:
    """A 64-bit number for words in this order, the same on every machine."""
    return int.from_bytes(blake2b("\x00".join(words).encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def _split_line(line: str) -> list[str]:
    parts = _SENTENCE.split(line)
    return [parts[0], parts[-1]] if len(line) > _LONG_PARAGRAPH and len(parts) > 2 else parts


def _is_prose(line: str) -> bool:
    return len(_NO_LETTER.sub("", line)) + line.count(" ") >= _LEAST_LETTERS * len(line)


def _fold(part: str, names_masked: bool) -> list[str]:
    words: list[str] = []
    names_masked = names_masked and not part.isupper()
    for match in _TOKEN.finditer(part):
        token = match.group()
        is_name = names_masked and match.lastgroup == "word" and words and token[0].isupper() and len(token) > 1
        if match.lastgroup == "mask" or is_name:
            if not words or words[-1] != MASK:
                words.append(MASK)
        else:
            words.append(token.casefold())
    return words


def _iter_runs(words: list[str], width: int, least_letters: int) -> Iterator[int]:
    signs = sum(_is_sign(word) for word in words)
    width = min(2 * width, len(words)) if 2 * signs > len(words) else width
    weights = [0 if word == MASK else 3 if _is_sign(word) else len(word) for word in words]
    for start in range(len(words) - width + 1 if width else 0):
        if sum(weights[start : start + width]) >= least_letters:
            yield hash_words(words[start : start + width])


def _is_sign(word: str) -> bool:
    return len(word) == 1 and word >= "\u3040"
