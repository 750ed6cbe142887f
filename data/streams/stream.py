"""A stream: the requests of one account in time order, made when they are read, and again each time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b

from stillwatch.data.labels import Label
from stillwatch.data.records import LabelledRequest, Request
from stillwatch.data.streams.schedule import Schedule
from stillwatch.data.streams.texts import Texts


@dataclass(frozen=True, slots=True)
class Stream:
    """One simulated account. Holding it costs a few hundred bytes; its requests are made by iterating.

    Attributes:
        account: opaque identifier; tells neither label nor persona.
        label: extraction for any account of an operator, whatever share of it is honest.
        persona: the persona's name, or None.
        operator: the operator's name, or None.
        campaign: the campaign's opaque identifier, or None.
        schedule: when it sends, and how often.
        open_texts: begins its texts.
    """

    account: str
    label: Label
    persona: str | None
    operator: str | None
    campaign: str | None
    schedule: Schedule
    open_texts: Callable[[], Texts]

    @property
    def num_requests(self) -> int:
        """How many requests it has, known without making one."""
        return self.schedule.num_requests

    def __iter__(self) -> Iterator[LabelledRequest]:
        """Its requests. Each keeps label, technique and family of its own text; account, time, sampling and id
        are set, and `session` is the account.

        Raises:
            ConfigError: the pool holds nothing that the persona or operator draws.
        """
        texts = self.open_texts()
        before_s = self.schedule.begin_s
        for number, time_s in enumerate(self.schedule.iter_times()):
            talk, sampling = texts.say(time_s - before_s)
            before_s, named = time_s, talk.named
            request = Request(
                messages=talk.messages,
                tools=talk.request.tools,
                sampling=sampling,
                response_format=talk.request.response_format,
                id=f"{self.account}/{number}",
                account=self.account,
                time_s=time_s,
            )
            yield LabelledRequest(
                request=request,
                label=named.label,
                family=named.family,
                source=named.source,
                technique=named.technique,
                visibility=named.visibility,
                session=self.account,
                lang=talk.lang,
                kind=named.kind,
                license=named.license,
                attributes=named.attributes,
            )


def name_account(key: str) -> str:
    """The opaque identifier of a seed's text."""
    return f"account-{blake2b(key.encode(), digest_size=8).hexdigest()}"
