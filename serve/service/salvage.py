"""Reads a request out of a body that is not wholly in order: what cannot be read in its place is left out and named.

A client chooses its body. If one odd field were enough for a refusal, whoever wants to pass unscored would add one, and
honest clients with a slightly odd body would be refused. So a field that cannot be read is taken out, and what it says
is read as a turn of the user all the same: nothing that a model might get is lost. What is left must still be a
request; the door (`parse_request`) stays as strict as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from stillwatch.data.dialects import parse_request
from stillwatch.data.errors import InputError
from stillwatch.data.fields import iter_strings
from stillwatch.data.labels import Role
from stillwatch.data.limits import Limits
from stillwatch.data.records import Message, Request

_TURNS = frozenset({"messages", "input", "prompt"})
"""Without one of these there is no request, so they are never taken out whole."""
_LISTS = ("messages", "input", "tools", "functions")
"""Their items are mended one by one, so that a long conversation with one oddity a turn is read in one go."""
_MOST_REMOVALS = 16  # of an item, and of the rest of the body: each has it read once more


@dataclass(frozen=True, slots=True)
class Salvaged:
    """A request and the fields of the body that were left out, by the names that the door has for them."""

    request: Request
    dropped: tuple[str, ...] = ()


def salvage_request(body: Mapping[str, object], limits: Limits) -> Salvaged:
    """The request in a body, without what cannot be read of it. The body is not changed.

    Args:
        body: the parsed JSON body.
        limits: how large it may be.

    Raises:
        InputError: what is left is no request; the first thing that was wrong.
    """
    try:
        return Salvaged(parse_request(body, limits))
    except InputError as error:
        first = error
    mending = _Mending(limits)
    try:
        whole: dict[str, Any] = _encodable(dict(body))
    except RecursionError:
        raise first from None
    for key in _LISTS:
        if isinstance(items := whole.get(key), list):
            whole[key] = [left for item in items[: limits.max_messages + 1] for left in mending.mend_item(key, item)]
    request = mending.mend(whole)[1]
    if request is None:
        raise first
    said = "\n".join(mending.texts)
    if said:
        request = replace(request, messages=(*request.messages, Message(Role.USER, said)))
    if request.num_characters > limits.max_characters:
        raise first
    return Salvaged(request, tuple(mending.dropped))


class _Mending:
    """What was taken out of one body so far: the names of the fields, and the texts in them."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.dropped: list[str] = []
        self.texts: list[str] = []

    def mend_item(self, key: str, item: object) -> list[Any]:
        """The item of a list as far as it can be read; nothing where it cannot."""
        turns = {} if key in _TURNS else {"messages": [{"role": "user", "content": ""}]}
        mended: list[Any] = self.mend({**turns, key: [item]})[0][key]
        return mended

    def mend(self, body: dict[str, Any]) -> tuple[dict[str, Any], Request | None]:
        """A body without what cannot be read of it, and its request; None where it is none all the same."""
        for _ in range(_MOST_REMOVALS):
            try:
                return body, parse_request(body, self._limits)
            except InputError as error:
                path = error.field.split(".")
            found = _take_out(body, path)
            if found is None:
                break
            body, removed = found
            self.dropped.append(path[0])
            self.texts += (text for text in iter_strings(removed) if len(text.split(None, 1)) > 1 or not text.isascii())
        return body, None


def _take_out(body: dict[str, Any], path: list[str]) -> tuple[dict[str, Any], object] | None:
    """The body without what stands at a path, or without the nearest thing around it that is there, and what it was.

    A message of an unknown role becomes one of the user. None where there is nothing to take out.
    """
    steps: list[tuple[Any, Any]] = []
    here: Any = body
    for name in path:
        if name == "role" and isinstance(here, dict) and steps:
            return _rebuild(steps, here | {"role": "user"}), None
        if isinstance(here, list) and name.isdecimal() and int(name) < len(here):
            steps.append((here, int(name)))
        elif isinstance(here, dict) and here.get(name) is not None:
            steps.append((here, name))
        else:
            break
        here = here[steps[-1][1]]
    if not steps or (len(steps) == 1 and steps[0][1] in _TURNS):
        return None
    holder, key = steps.pop()
    if isinstance(holder, list):
        return _rebuild(steps, holder[:key] + holder[key + 1 :]), here
    return _rebuild(steps, {name: value for name, value in holder.items() if name != key}), here


def _rebuild(steps: list[tuple[Any, Any]], value: Any) -> Any:
    """What the steps lead through, with another value at their end; nothing of it is changed in place."""
    for holder, key in reversed(steps):
        copy = holder.copy()
        copy[key] = value
        value = copy
    return value


def _encodable(value: Any) -> Any:
    """The value with U+FFFD for every lone surrogate, which no text can hold; copied as far as it is changed."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, dict):
        return {_encodable(key): _encodable(each) for key, each in value.items()}
    return [_encodable(each) for each in value] if isinstance(value, list) else value
