"""From a verdict, or from having none, to what the gateway should do. Pure: nothing is counted or written here."""

from __future__ import annotations

from dataclasses import dataclass

from stillwatch.model.calibration import Action
from stillwatch.model.streams.verdict import StreamReason
from stillwatch.model.verdict import Verdict
from stillwatch.serve.service.refusals import UNREADABLE, Code
from stillwatch.serve.service.settings import PolicyConfig

_ORDER = (Action.ALLOW, Action.REVIEW, Action.FLAG)


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gateway should do.

    Attributes:
        action: what is done, or in shadow mode what would be.
        enforced: whether it is done; False in shadow mode and for `allow`.
        block: whether the request must not pass.
    """

    action: Action
    enforced: bool
    block: bool

    @property
    def result(self) -> str:
        """The label under which it is counted: `allow`, `review`, `block`, `would_review` or `would_flag`."""
        if self.block:
            return "block"
        return self.action.value if self.enforced or self.action is Action.ALLOW else f"would_{self.action.value}"


def decide(policy: PolicyConfig, verdict: Verdict, *, is_welcome: bool = False) -> Decision:
    """The decision on a verdict: the stricter of the request's action and its account's; allow for the welcome."""
    if is_welcome:
        return Decision(Action.ALLOW, enforced=False, block=False)
    actions = [verdict.action] if verdict.stream is None else [verdict.action, verdict.stream.action]
    action = max(actions, key=_ORDER.index)
    if policy.mode == "review":
        action = min(action, Action.REVIEW, key=_ORDER.index)
    enforced = policy.mode != "shadow" and action is not Action.ALLOW
    return Decision(action, enforced, block=enforced and action is Action.FLAG)


def decide_unscored(policy: PolicyConfig, code: Code) -> Decision:
    """The decision on a request without a verdict.

    Fail-open lets it pass, fail-closed blocks it. A body that cannot be read is for review, and in mode block it is
    blocked unless `on_unreadable` is open: whether it can be read is for its sender to choose.
    """
    says_no = policy.on_unreadable != "open" if code in UNREADABLE else policy.on_failure == "closed"
    block = policy.mode == "block" and says_no
    action = Action.REVIEW if block or code in UNREADABLE else Action.ALLOW
    return Decision(action, enforced=policy.mode != "shadow" and action is not Action.ALLOW, block=block)


def used_welcome(verdict: Verdict) -> bool:
    """Whether a verdict on a welcome account, told from the others by the allow-list alone, would not be `allow`."""
    stream = verdict.stream
    if verdict.action is not Action.ALLOW or stream is None:
        return verdict.action is not Action.ALLOW
    return any(reason is not StreamReason.ALLOW_LISTED for reason in stream.reasons)
