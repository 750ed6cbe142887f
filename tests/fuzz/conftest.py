"""What the fuzz tests share: near-valid input full of canaries, and the judge of every attempt.

`STILLWATCH_FUZZ_CASES=100000 pytest -W error tests/fuzz` runs that many cases over all properties (some ten minutes
of a core); left out, there are 1,500, which take seconds. The last line says how many were run.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from hypothesis import strategies as st

from stillwatch.data.errors import StillwatchError
from stillwatch.serve.service.refusals import RefusedError

T = TypeVar("T")

CANARY = "zanzibar"
"""No message may hold it, wherever in an input it stood."""

TALLY: Counter[str] = Counter()


class Attempts:
    """Runs what must end well or in a declared error, whose words hold nothing of the input."""

    canary = CANARY

    def __call__(self, action: Callable[[], T], *, kind: str) -> T | None:
        """What `action` gives; None where it refused."""
        TALLY[kind] += 1
        try:
            return action()
        except (StillwatchError, RefusedError) as error:
            self.check_silent(*_tell_all(error))
            return None

    def check_silent(self, *texts: object) -> None:
        """None of the texts holds a canary."""
        assert not [text for text in texts if CANARY in str(text).lower()]


def _tell_all(error: BaseException) -> list[str]:
    """Everything that a log could write of an error and of those that it came from."""
    told = [str(error), repr(error.args), getattr(error, "message", ""), str(getattr(error, "field", ""))]
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return told if before is None else told + _tell_all(before)


@pytest.fixture(scope="session")
def attempt() -> Attempts:
    """Runs a case, counts it and judges how it ended."""
    return Attempts()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how much was tried."""
    told = ", ".join(f"{kind} {number:,}" for kind, number in sorted(TALLY.items()))
    terminalreporter.write_line(f"fuzz: {sum(TALLY.values()):,} cases: {told}")


PIECES = (
    CANARY,
    f" {CANARY}. ",
    "reasoning hello",
    "hello " * 50,
    "\u200b\u2060\u202e\ufeff",
    "r\u0435\u0430soning",
    "r e a s o n i n g",
    "\U000e0041\U000e0042\ufe0f",
    "\x00\x07\x1b[31m",
    "a\u0301" * 40,
    "\ufdfa" * 20,
    base64.b64encode(f"{CANARY} hello".encode() * 4).decode(),
    f"{CANARY} reasoning".encode().hex() * 3,
    "".join(rf"\u{ord(letter):04x}" for letter in CANARY * 4),
    "```json\n{",
    "%7B%22" * 10,
    "</user>\n\nassistant:",
)
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=12), max_size=4).map("".join)
NUMBERS = (
    st.integers(-5, 5)
    | st.integers()
    | st.floats()
    | st.sampled_from([2**31, 2**63, 10**40, -0.0, 1e308, 5e-324, 4_000_000_000])
)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS | st.just(f"\ud800{CANARY}")


def _nest(depth: int) -> Any:
    value: Any = CANARY
    for _ in range(depth):
        value = [value] if depth % 2 else {CANARY: value}
    return value


JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6
) | st.integers(60, 100).map(_nest)


OBJECTS = st.dictionaries(TEXTS, JSON, max_size=3)


def mostly(valid: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """What fits, and one time in twenty what need not."""
    return st.integers(0, 19).flatmap(lambda draw: valid if draw else JSON)


def fields(*always: str, **kinds: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with any of the fields, some always, and now and then a strange one."""
    drawn = {name: mostly(kind) for name, kind in kinds.items()}
    known = st.fixed_dictionaries({name: drawn.pop(name) for name in always}, optional=drawn)
    strange = st.just({}) | st.dictionaries(TEXTS, JSON, max_size=2)
    return st.tuples(known, strange).map(lambda both: {**both[1], **both[0]})


def words(*choices: str) -> st.SearchStrategy[str]:
    """One of the words of the wire."""
    return st.sampled_from(choices)


NAMES = TEXTS.map(lambda text: text or "name")
PARTS = fields(
    "type",
    type=words("text", "image_url", "tool_use", "tool_result", "thinking", "input_text", CANARY),
    text=TEXTS,
    image_url=JSON,
    name=NAMES,
    input=OBJECTS,
    content=TEXTS,
    thinking=TEXTS,
    source=JSON,
)
CALLS = fields(
    "function",
    id=TEXTS,
    type=words("function"),
    function=fields("name", name=NAMES, arguments=TEXTS | OBJECTS),
    name=TEXTS,
    input=OBJECTS,
)
MESSAGES = fields(
    "role",
    "content",
    role=words("user", "assistant", "system", "developer", "tool", "function"),
    content=TEXTS | st.lists(mostly(PARTS), max_size=3),
    tool_calls=st.lists(mostly(CALLS), max_size=2),
    function_call=fields("name", name=NAMES, arguments=TEXTS),
    name=TEXTS,
    refusal=TEXTS,
    reasoning_content=TEXTS,
)
SURE_MESSAGES = st.fixed_dictionaries({"role": words("user", "assistant", "system"), "content": TEXTS})
TOOLS = fields(
    "function",
    type=words("function", "custom", CANARY),
    function=fields("name", name=NAMES, description=TEXTS, parameters=OBJECTS),
    name=TEXTS,
    description=TEXTS,
    input_schema=OBJECTS,
)
BODIES = st.tuples(
    fields(
        system=TEXTS | st.lists(PARTS, max_size=2),
        tools=st.lists(mostly(TOOLS), max_size=2),
        functions=st.lists(fields("name", name=NAMES, description=TEXTS, parameters=OBJECTS), max_size=2),
        temperature=st.floats(0, 2),
        top_p=st.floats(0, 1),
        max_tokens=st.integers(0, 10_000),
        max_completion_tokens=st.integers(0, 10_000),
        n=st.integers(0, 10),
        response_format=OBJECTS,
        output_config=fields(format=OBJECTS),
        metadata=fields(user_id=TEXTS),
        id=TEXTS,
        user=TEXTS,
        account=TEXTS,
        time_s=st.floats(0, 4e9),
        model=TEXTS,
        stream=st.booleans(),
    ),
    st.lists(SURE_MESSAGES, min_size=1, max_size=4) | st.lists(mostly(MESSAGES), min_size=1, max_size=3),
).map(lambda both: {**both[0], "messages": both[1]})


@pytest.fixture(scope="session")
def texts() -> st.SearchStrategy[str]:
    """Texts of disguises, encodings, control characters and canaries."""
    return TEXTS


@pytest.fixture(scope="session")
def values() -> st.SearchStrategy[Any]:
    """Any JSON value, some of them deep."""
    return JSON


@pytest.fixture(scope="session")
def bodies() -> st.SearchStrategy[dict[str, Any]]:
    """Bodies that are nearly OpenAI's or Anthropic's; half of them or so can be read."""
    return BODIES


@pytest.fixture(scope="session")
def calls() -> st.SearchStrategy[Any]:
    """What may be posted: bodies, wrappers, batches, or anything."""
    wrapped = fields(request=BODIES, account=TEXTS, time_s=st.floats(0, 4e9))
    return BODIES | BODIES | wrapped | fields(requests=st.lists(BODIES | wrapped | JSON, max_size=3)) | JSON
