"""What is remembered of one account: at most 4,096 bytes, updated in constant time, resumable from its bytes.

Every live number has the precision in which it is kept, so a state that went through its bytes at any point goes on
with exactly the numbers of one that did not. It holds no text, and of fingerprints and turns only short hashes.

Times: a missing time leaves `gap` unknown and the clock as it was. A request that is earlier than the last by up to
`CLOCK_SLACK_S` counts as sent at the same moment and does not set the clock back; earlier by more, the clock was
wrong and starts anew with this request, its gap unknown. Requests are taken in the order in which they come.
"""

from __future__ import annotations

import struct
from collections import deque
from math import inf, isfinite, isinf, isnan, log, log1p, nan

import numpy as np

from stillwatch.data.errors import InputError
from stillwatch.data.labels import TECHNIQUES
from stillwatch.model.pooling import FloatArray
from stillwatch.model.streams.accounts import Others
from stillwatch.model.streams.fingerprint import FINGERPRINT_VERSION, Fingerprints
from stillwatch.model.streams.habit import Habit
from stillwatch.model.streams.layout import (
    INDEX,
    LAYOUT_VERSION,
    NUM_EMBEDDING_SLOTS,
    ROW_BYTES,
    WINDOW,
    decode_rows,
    encode_row,
)
from stillwatch.model.streams.observation import Observation

STATE_VERSION = 1
MAX_STATE_BYTES = 4096
CLOCK_SLACK_S = 3600.0
"""How far requests of one account may come out of order."""

_MEMORY = 32  # requests that the slow moving averages look back on
_PACE_MEMORY = 16  # gaps that the pace looks back on
_CONVERSATIONS = 16
_ANSWERS = 32
_MOST_COUNT = 2**32 - 1
_MAGIC = b"SW"
_HEADER = struct.Struct("<2s4B3I4d2B")
_EMBEDDING = slice(INDEX["embedding_00"], INDEX["embedding_00"] + NUM_EMBEDDING_SLOTS)


class AccountState:
    """The account's last vectors, own skeletons, moving averages and counts.

    Attributes:
        num_requests: requests seen.
        maximum: highest stream logit so far, minus infinity before the first.
        num_suspicious: distinct requests whose stream logit was at or above the review threshold.
    """

    __slots__ = (
        "_answers",
        "_conversations",
        "_gap_mean",
        "_habit",
        "_is_resent",
        "_last_s",
        "_mean",
        "_mix",
        "_num_new",
        "_others_share",
        "_rows",
        "maximum",
        "num_requests",
        "num_suspicious",
    )

    def __init__(self) -> None:
        """An account that was never seen."""
        self.num_requests = 0
        self.maximum = -inf
        self.num_suspicious = 0
        self._num_new = 0
        self._is_resent = False
        self._last_s = self._gap_mean = nan
        self._others_share = 0.0
        self._mix = np.zeros(len(TECHNIQUES), np.float32)
        self._mean = np.zeros(NUM_EMBEDDING_SLOTS, np.float16)
        self._rows: deque[bytes] = deque(maxlen=WINDOW)
        self._habit = Habit()
        self._conversations: deque[int] = deque(maxlen=_CONVERSATIONS)
        self._answers: deque[int] = deque(maxlen=_ANSWERS)

    def update(self, observation: Observation, time_s: float | None, others: Others | None) -> FloatArray:
        """Take a request in.

        Args:
            observation: what the request shows.
            time_s: Unix time in seconds, or None.
            others: counts over accounts; None where nobody counts, which leaves their slots at zero.

        Returns:
            its request vector as it is kept, shape (WIDTH,).
        """
        known = self._find_known(observation.prefixes)
        self._is_resent = 0 < known == len(observation.prefixes)
        # A step of an agent repeats the question that the last request asked: that is no repetition.
        asks_anew = self._is_resent or observation.asked >= known
        slots = {
            "number": log1p(self.num_requests),
            **self._take_time(time_s),
            **self._take_turns(observation, known),
            **self._take_fingerprints(observation.fingerprints if asks_anew else Fingerprints()),
            **self._take_others(others),
            **self._take_content(observation),
        }
        row = observation.row.copy()
        row[[INDEX[name] for name in slots]] = list(slots.values())
        kept = encode_row(row)
        self._rows.append(kept.tobytes())
        self.num_requests += 1
        return np.asarray(decode_rows(kept[None])[0])

    def record_logit(self, logit: float, *, review_logit: float) -> None:
        """Note the stream logit of the request that was last taken in.

        Args:
            logit: what the stream model says.
            review_logit: the threshold from which on it is suspicious; a request that was sent before counts once.
        """
        self.maximum = max(self.maximum, logit)
        self.num_suspicious += logit >= review_logit and not self._is_resent

    def read_window(self) -> FloatArray:
        """The vectors kept, oldest first, shape (min(num_requests, WINDOW), WIDTH)."""
        return decode_rows(np.frombuffer(b"".join(self._rows), np.uint8).reshape(-1, ROW_BYTES))

    def to_bytes(self) -> bytes:
        """The state, at most `MAX_STATE_BYTES` long."""
        header = _HEADER.pack(
            _MAGIC,
            STATE_VERSION,
            LAYOUT_VERSION,
            FINGERPRINT_VERSION,
            self._is_resent,
            *(min(count, _MOST_COUNT) for count in (self.num_requests, self.num_suspicious, self._num_new)),
            self._last_s,
            self._gap_mean,
            self.maximum,
            self._others_share,
            len(self._conversations),
            len(self._answers),
        )
        turns = np.array([*self._conversations, *self._answers], "<u4").tobytes()
        averages = self._mix.astype("<f4").tobytes() + self._mean.astype("<f2").tobytes()
        return b"".join((header, averages, turns, *self._rows, self._habit.to_bytes()))

    @classmethod
    def from_bytes(cls, raw: bytes) -> AccountState:
        """Take a state up again.

        Raises:
            InputError: the bytes are cut, damaged, of another version, or no state.
        """
        try:
            magic, *fields = _HEADER.unpack_from(raw)
        except struct.error as error:
            raise InputError("state", f"{len(raw)} bytes", _START_ANEW) from error
        versions, rest = tuple(fields[:3]), fields[3:]
        if magic != _MAGIC or versions != (STATE_VERSION, LAYOUT_VERSION, FINGERPRINT_VERSION):
            raise InputError("state", "bytes of another kind or version", _START_ANEW)
        state = cls()
        flag, state.num_requests, state.num_suspicious, state._num_new = rest[:4]
        state._is_resent = bool(flag)
        state._last_s, state._gap_mean, state.maximum, state._others_share, num_conversations, num_answers = rest[4:]
        num_rows = min(state.num_requests, WINDOW)
        lengths = (4 * len(state._mix), 2 * len(state._mean), 4 * num_conversations, 4 * num_answers)
        parts, place = [], _HEADER.size
        for length in (*lengths, num_rows * ROW_BYTES):
            parts.append(raw[place : place + length])
            place += length
        if len(raw) < place + 2:
            raise InputError("state", "bytes that end too early", _START_ANEW)
        state._mix = np.frombuffer(parts[0], "<f4").astype(np.float32)
        state._mean = np.frombuffer(parts[1], "<f2").astype(np.float16)
        state._conversations.extend(np.frombuffer(parts[2], "<u4").tolist())
        state._answers.extend(np.frombuffer(parts[3], "<u4").tolist())
        state._rows.extend(parts[4][n : n + ROW_BYTES] for n in range(0, len(parts[4]), ROW_BYTES))
        state._habit = Habit.from_bytes(raw[place:])
        if not state._is_sound:
            raise InputError("state", "numbers that no state has", _START_ANEW)
        return state

    @property
    def _is_sound(self) -> bool:
        """Whether every number is one that an account can have: the next ones are computed from it."""
        return bool(
            ((self._mix >= 0) & (self._mix <= 1.01)).all()
            and np.isfinite(self._mean).all()
            and 0 <= self._others_share <= 1
            and self.maximum < inf
            and not isinf(self._last_s)
            and not isinf(self._gap_mean)
        )

    def _take_time(self, time_s: float | None) -> dict[str, float]:
        unknown = {"gap": -1.0, "pace": 0.0}
        if time_s is None or not isfinite(time_s):
            return unknown
        elapsed_s = time_s - self._last_s
        if isnan(elapsed_s) or elapsed_s < -CLOCK_SLACK_S:
            self._last_s = time_s
            return unknown
        self._last_s = max(time_s, self._last_s)
        gap = log1p(max(elapsed_s, 0.0))
        if isnan(self._gap_mean):
            self._gap_mean = gap
            return {"gap": gap, "pace": 0.0}
        pace = gap - self._gap_mean
        self._gap_mean += pace / _PACE_MEMORY
        return {"gap": gap, "pace": pace}

    def _take_fingerprints(self, fingerprints: Fingerprints) -> dict[str, float]:
        counts = [self._habit.count(fingerprint) for fingerprint in fingerprints.own]
        tools_new = any(not self._habit.count(fingerprint) for fingerprint in fingerprints.tools)
        place = len(fingerprints.system)
        instruction = counts[place : place + len(fingerprints.instruction)]
        self._num_new += bool(instruction) and not any(instruction)
        for fingerprint in fingerprints.own + fingerprints.tools:
            self._habit.add(fingerprint)
        return {
            "repetition": sum(map(bool, counts)) / len(counts) if counts else 0.0,
            "repeats": log1p(max(counts, default=0)),
            "distinct": log1p(self._num_new),
            "tools_new": float(tools_new),
        }

    def _find_known(self, prefixes: tuple[int, ...]) -> int:
        """How many turns an earlier request ended with, the most there are."""
        ends = set(self._conversations)
        return next((n for n in range(len(prefixes), 0, -1) if _cut(prefixes[n - 1]) in ends), 0)

    def _take_turns(self, observation: Observation, known: int) -> dict[str, float]:
        prefixes, num_turns = observation.prefixes, len(observation.prefixes)
        brought = [_cut(answer) for answer in observation.answers[known:] if answer is not None]
        unearned = brought[1:] if known else brought  # one answer is what the last request was for
        replayed = sum(answer in self._answers for answer in unearned)
        self._answers.extend(unearned)
        if prefixes:
            if known:  # the conversation has moved on
                self._conversations.remove(_cut(prefixes[known - 1]))
            self._conversations.append(_cut(prefixes[-1]))
        return {
            "follow_up": known / num_turns if num_turns else 0.0,
            "unearned": log1p(len(unearned)),
            "replayed": replayed / len(unearned) if unearned else 0.0,
        }

    def _take_others(self, others: Others | None) -> dict[str, float]:
        if others is None:
            return {}
        shared = float(max(others.system, others.instruction) >= 1)
        self._others_share += (shared - self._others_share) * self._weigh(_MEMORY)
        return {
            "others_system": log1p(others.system),
            "others_instruction": log1p(others.instruction),
            "others_form": log1p(others.form),
            "others_opening": log1p(others.opening),
            "others_share": self._others_share,
        }

    def _take_content(self, observation: Observation) -> dict[str, float]:
        weight = np.float32(self._weigh(_MEMORY))
        self._mix += (observation.techniques - self._mix) * weight
        mix = self._mix.tolist()
        mean = self._mean.astype(np.float32)
        nearness = {"nearness_to_mean": 0.0, "nearness_to_last": 0.0}
        if self._rows:
            last = decode_rows(np.frombuffer(self._rows[-1], np.uint8)[None])[0, _EMBEDDING]
            nearness = {
                "nearness_to_mean": _cosine(observation.embedding, mean),
                "nearness_to_last": _cosine(observation.embedding, last),
            }
        self._mean = (mean + (observation.embedding - mean) * weight).astype(np.float16)
        breadth = -sum(share * log(share) for share in mix if share > 0) / log(len(mix))
        return {"breadth": breadth, **nearness}

    def _weigh(self, memory: int) -> float:
        """The newest request's weight in a moving average that is a plain mean at first."""
        return 1.0 / min(self.num_requests + 1, memory)


_START_ANEW = "drop this state; the account starts anew"


def _cut(hashed: int) -> int:
    return hashed & 0xFFFFFFFF


def _cosine(a: FloatArray, b: FloatArray) -> float:
    lengths = float(np.sqrt(np.dot(a, a) * np.dot(b, b)))
    return float(np.dot(a, b)) / lengths if lengths > 1e-6 else 0.0
