"""A conversation that grows: each request carries all earlier messages, an answer and the next turn."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from stillwatch.data.labels import Role
from stillwatch.data.records import LabelledRequest, Message, Request, ToolCall
from stillwatch.data.streams.decks import Messages
from stillwatch.data.streams.habits import GrowthConfig
from stillwatch.data.streams.phrases import draw_result, draw_tool, load_phrases


@dataclass(slots=True)
class Conversation:
    """One conversation of an account, as far as it has come.

    Attributes:
        named: the row that gives label, family and technique.
        request: the row's request, or the honest one that an operator relays; gives tools and output contract.
        lang: its language.
        messages: all messages so far.
        num_requests: how many requests it made.
    """

    named: LabelledRequest
    request: Request
    lang: str
    messages: Messages
    num_requests: int = 1

    @classmethod
    def open(cls, row: LabelledRequest, messages: Messages | None = None) -> Conversation:
        """Begin with a row as it is, or with other messages of it."""
        return cls(row, row.request, row.lang, row.request.messages if messages is None else messages)

    def may_go_on(self, growth: GrowthConfig, gap_s: float) -> bool:
        """Whether a request `gap_s` seconds after the last may still belong to it."""
        return self.num_requests < growth.most and gap_s <= growth.within_s

    def grow(self, chance: Random, *, by_tools: bool) -> None:
        """Add an answer and the next turn: the user's words, or a tool call and its result."""
        self.messages += self._call_tool(chance) if by_tools else self._follow_up(chance)
        self.num_requests += 1

    def _follow_up(self, chance: Random) -> Messages:
        phrases = load_phrases(self.lang)
        answer = Message(Role.ASSISTANT, phrases.draw_answer(chance))
        return answer, Message(Role.USER, phrases.draw_follow_up(chance))

    def _call_tool(self, chance: Random) -> Messages:
        name, arguments, result = draw_tool(chance)
        if self.request.tools:
            name, arguments, result = chance.choice(self.request.tools).name, "{}", draw_result(chance)
        step = load_phrases(self.lang).draw_step(chance)
        return Message(Role.ASSISTANT, step, (ToolCall(name, arguments),)), Message(Role.TOOL, result)
