"""What the load test sends: invented requests of four kinds, joined from sentences of the authored requests.

Sentences are escaped for JSON once, so that drawing a body takes microseconds. Two bodies are hardly ever alike, so the
service's cache of encodings helps only where a conversation grows. Texts read like prose, not like anybody's requests:
cost and memory can be measured with them, verdicts cannot.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tokenizers import Tokenizer

from stillwatch.data.authored import load_authored
from stillwatch.model.bundle import DEFAULT_BUNDLE, TOKENIZER

KINDS = ("chat", "tokens_256", "conversation", "long")
"""Two or three sentences; 256 tokens in all; the next turn of a growing conversation; 20,000 characters."""
MIXTURES: Mapping[str, Mapping[str, float]] = {
    "mixed": {"chat": 0.50, "tokens_256": 0.25, "conversation": 0.23, "long": 0.02},
    "unrelated": {"chat": 0.50, "tokens_256": 0.50},
    "conversations": {"conversation": 1.0},
}
"""Shares of the kinds, by the name of a mixture."""

MAX_TURNS = 20
"""User turns after which a conversation ends and another begins."""
NUM_ACCOUNTS = 400
"""Accounts that send all of it, each again and again."""

_TURN_CHARACTERS = 300
_LONG_CHARACTERS = 20_000
_NUM_TOKENS = 256 - 3  # less the marker of the role and the two special tokens of a window
_NUM_SENTENCES = 10_000
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


@dataclass(frozen=True, slots=True)
class Stock:
    """Sentences as they stand within a JSON string, and how many tokens each has."""

    sentences: tuple[str, ...]
    num_tokens: tuple[int, ...]

    @classmethod
    def load(cls, path: Path) -> Stock:
        """Read what `build_stock` wrote."""
        kept = json.loads(path.read_text("utf-8"))
        return cls(tuple(kept["sentences"]), tuple(kept["num_tokens"]))


@dataclass(frozen=True, slots=True)
class Call:
    """One call to send: its kind, its account, and the bytes of its body."""

    kind: str
    account: str
    body: bytes


def build_stock(path: Path) -> None:
    """Write sentences of 30 to 200 characters that the authored requests have, each once."""
    texts = (message.content for record in load_authored() for message in record.request.messages)
    found = dict.fromkeys(one.strip() for text in texts for one in _SENTENCE.split(text))
    usable = [one for one in found if 30 <= len(one) <= 200]
    sentences = Random(0).sample(usable, _NUM_SENTENCES)
    tokenizer = Tokenizer.from_file(str(DEFAULT_BUNDLE / TOKENIZER))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    num_tokens = [len(one.ids) for one in tokenizer.encode_batch(sentences, add_special_tokens=False)]
    kept = {"sentences": [json.dumps(one)[1:-1] for one in sentences], "num_tokens": num_tokens}
    path.write_text(json.dumps(kept), "utf-8")


class Writer:
    """Writes calls of one mixture, one conversation at a time. Equal seeds write the same calls."""

    def __init__(self, stock: Stock, mixture: str, seed: int) -> None:
        """Begin somewhere within a conversation.

        Args:
            stock: sentences.
            mixture: a name of `MIXTURES`.
            seed: the only source of chance.
        """
        self._stock, self._chance = stock, Random(seed)
        shares = MIXTURES[mixture]
        self._kinds, self._weights = tuple(shares), tuple(shares.values())
        self._account = self._draw_account()
        num_said = 2 * self._chance.randrange(MAX_TURNS)  # else all of them would be short at first, and long at once
        self._turns = [self._write(_TURN_CHARACTERS) for _ in range(num_said)]

    def draw(self) -> Call:
        """The next call."""
        (kind,) = self._chance.choices(self._kinds, self._weights)
        if kind == "conversation":
            return self._continue()
        if kind == "chat":
            text = self._write(self._chance.randint(60, 200))
        elif kind == "long":
            text = self._write(_LONG_CHARACTERS)
        else:
            text = self._write_tokens(_NUM_TOKENS)
        return Call(kind, self._draw_account(), _wrap([text]))

    def _continue(self) -> Call:
        if len(self._turns) >= 2 * MAX_TURNS:
            self._turns, self._account = [], self._draw_account()
        self._turns.append(self._write(_TURN_CHARACTERS))
        call = Call("conversation", self._account, _wrap(self._turns))
        self._turns.append(self._write(_TURN_CHARACTERS))  # what the assistant is said to have answered
        return call

    def _draw_account(self) -> str:
        return f"account-{self._chance.randrange(NUM_ACCOUNTS)}"

    def _write(self, num_characters: int) -> str:
        """Sentences of about that many characters, of 90 on average."""
        return " ".join(self._chance.choices(self._stock.sentences, k=max(2, round(num_characters / 90))))

    def _write_tokens(self, num_tokens: int) -> str:
        """Sentences of at most so many tokens, and nearly as many."""
        parts: list[str] = []
        while True:
            place = self._chance.randrange(len(self._stock.sentences))
            num_tokens -= self._stock.num_tokens[place]
            if num_tokens < 0:
                return " ".join(parts)
            parts.append(self._stock.sentences[place])


def _wrap(turns: list[str]) -> bytes:
    roles = ("user", "assistant")
    messages = ",".join(f'{{"role":"{roles[n % 2]}","content":"{text}"}}' for n, text in enumerate(turns))
    return f'{{"model":"any","messages":[{messages}]}}'.encode()
