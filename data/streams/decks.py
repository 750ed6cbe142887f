"""Rows of one group dealt without repeating until all were dealt, in constant memory; and system texts kept."""

from __future__ import annotations

from math import gcd
from random import Random

from stillwatch.data.labels import Role
from stillwatch.data.records import LabelledRequest, Message
from stillwatch.data.streams.pool import Group

Messages = tuple[Message, ...]


class Deck:
    """The rows of a group in an order of one account's own: a start and a stride that meets every row."""

    __slots__ = ("dealt", "group", "start", "stride")

    def __init__(self, group: Group, chance: Random) -> None:
        """Draw the order."""
        size = len(group.rows)
        self.group = group
        self.start = chance.randrange(size)
        self.stride = 1 + chance.randrange(size)
        while gcd(self.stride, size) > 1:
            self.stride += 1
        self.dealt = 0

    def deal(self) -> LabelledRequest:
        """The next row."""
        rows = self.group.rows
        row = rows[(self.start + self.dealt * self.stride) % len(rows)]
        self.dealt += 1
        return row


class Pin:
    """Keeps the system text of the first conversation, or its lack, and gives it to all later ones."""

    __slots__ = ("systems",)

    def __init__(self) -> None:
        """Nothing is kept yet."""
        self.systems: Messages | None = None

    def apply(self, messages: Messages) -> Messages:
        """The messages under the kept system text."""
        if self.systems is None:
            self.systems = take_systems(messages)
        return self.systems + drop_systems(messages)


def take_systems(messages: Messages) -> Messages:
    """The system messages."""
    return tuple(message for message in messages if message.role is Role.SYSTEM)


def drop_systems(messages: Messages) -> Messages:
    """All but the system messages; at least one remains of what the door let in."""
    return tuple(message for message in messages if message.role is not Role.SYSTEM)
