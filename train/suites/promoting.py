"""`stillwatch promote`: a version takes an alias when the gate accepts it; the decision is written down either way."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.markup import escape
from rich.table import Table

from stillwatch.data.errors import InputError, TrackingError
from stillwatch.train.consoles import open_console
from stillwatch.train.ledger import Promotion
from stillwatch.train.promotion import Candidacy, find_candidacy, hand_over
from stillwatch.train.suites.decision import MAX_TAG_CHARACTERS, Check, Decision, Outcome
from stillwatch.train.suites.gate import decide
from stillwatch.train.suites.policy import GateConfig, load_policy

if TYPE_CHECKING:
    from stillwatch.train.tracking import Store

REFUSED = 1
"""Exit code of a promotion that the gate refused."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a promotion.

    Attributes:
        decision: None where the gate was not asked or had nothing to judge by.
        outcome: `accepted`, `refused`, `forced` or `unguarded`.
        sentence: why.
        reason: of a forced promotion.
        promotion: None when the alias stayed where it was.
    """

    decision: Decision | None
    outcome: str
    sentence: str
    reason: str | None
    promotion: Promotion | None

    def to_json(self) -> dict[str, object]:
        """A JSON object with every field."""
        return {
            "outcome": self.outcome,
            "sentence": self.sentence,
            "reason": self.reason,
            "decision": self.decision.to_json() if self.decision else None,
            "promotion": self.promotion.to_json() if self.promotion else None,
        }


@click.command()
@click.argument("name")
@click.argument("version", type=click.IntRange(min=1))
@click.option("--alias", default="champion", show_default=True, help="The alias that moves to this version.")
@click.option(
    "--policy",
    "policy_path",
    type=click.Path(path_type=Path),
    help="The gate's rules; configs/gate.yaml or the built-in ones when left out.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True),
    help="Judge by these labelled rows: both bundles are run on them now.",
)
@click.option(
    "--suite",
    "suite_path",
    type=click.Path(path_type=Path),
    help="Judge by this suite of kind `requests`, on its own rows or those of --data.",
)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="For --data and --suite.")
@click.option("--force", is_flag=True, help="Promote even if the gate refuses; needs --reason.")
@click.option("--reason", help="Why, for the record.")
@click.option("--json", "as_json", is_flag=True, help="Print the decision as JSON on standard output.")
def promote(
    name: str,
    version: int,
    alias: str,
    policy_path: Path | None,
    data: Path | None,
    suite_path: Path | None,
    threads: int,
    force: bool,
    reason: str | None,
    as_json: bool,
) -> None:
    """Give VERSION of the registered model NAME an alias, if the gate accepts it.

    Its evaluation and that of the version before it come from their runs, or are made now with --data or --suite.
    The decision with its figures and reasons becomes tags of the version. Refused: exit code 1, and nothing moves.
    """
    if force != bool(reason and reason.strip()):
        raise click.UsageError("--force and --reason TEXT go together")
    policy = load_policy(policy_path)
    from stillwatch.train.tracking import Store

    store = Store.open()
    candidacy = find_candidacy(store, name, version, alias)
    if alias not in policy.aliases:
        _show(Result(None, "unguarded", f"{alias} is not guarded.", None, hand_over(store, candidacy)), as_json)
        return
    decision, sentence = None, ""
    try:
        decision = _judge(store, candidacy, policy, data, suite_path, threads)
        sentence = decision.sentence
    except (InputError, TrackingError) as error:
        if not force:
            raise
        sentence = f"version {version} was not judged: {error}"
    is_accepted = decision is not None and decision.is_accepted
    tags = {
        "gate.at": datetime.now(UTC).isoformat(timespec="seconds"),
        "gate.alias": alias,
        "gate.policy": policy.model_dump_json()[:MAX_TAG_CHARACTERS],
        "gate.sentence": sentence[:MAX_TAG_CHARACTERS],
        **(decision.to_tags() if decision else {}),
    }
    if not is_accepted and reason:
        tags |= {"gate.outcome": "forced", "gate.forced_because": reason[:MAX_TAG_CHARACTERS]}
    stale = [key for key in candidacy.version.tags if key.startswith("gate.") and key not in tags]
    store.tag_version(name, version, tags, remove=stale)
    promotion = hand_over(store, candidacy) if is_accepted or force else None
    _show(Result(decision, tags["gate.outcome"], sentence, reason, promotion), as_json)
    if promotion is None:
        sys.exit(REFUSED)


def _judge(
    store: Store, candidacy: Candidacy, policy: GateConfig, data: Path | None, suite_path: Path | None, threads: int
) -> Decision:
    from stillwatch.train.suites.evidence import ROWS, load_evidence, measure_evidence
    from stillwatch.train.suites.suite import load_request_suite

    holder = candidacy.holder
    names = (f"version {holder.version}" if holder else "nobody", f"version {candidacy.version.version}")
    if data is not None or suite_path is not None:
        suite = ROWS if suite_path is None else load_request_suite(suite_path)
        measured = measure_evidence(candidacy, data=data, suite=suite, num_threads=threads)
        return decide(measured.champion, measured.challenger, policy, names=names)
    remedy = "give --data ROWS: both bundles are then run on the same rows"
    try:
        kept = load_evidence(store, candidacy)
        return decide(kept.champion, kept.challenger, policy, names=names)
    except InputError as error:
        raise InputError(error.field, error.kind, remedy, error.where) from error
    except TrackingError as error:
        raise TrackingError(f"{error}; or {remedy}") from error


def _show(result: Result, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(result.to_json(), indent=2, ensure_ascii=False))
        return
    console = open_console()
    if result.decision is not None:
        console.print(_checks_table(result.decision.checks))
    if result.sentence:
        console.print(escape(result.sentence), highlight=False)
    if result.outcome == "forced":
        console.print(escape(f"Forced: {result.reason}"), highlight=False)
    promotion = result.promotion
    if promotion is None:
        console.print("Nothing was moved.")
        return
    before = "nobody" if promotion.previous is None else f"version {promotion.previous}"
    console.print(
        escape(f"{promotion.name} version {promotion.version} is {promotion.alias} now; before it: {before}"),
        highlight=False,
    )


def _checks_table(checks: tuple[Check, ...]) -> Table:
    table = Table(title="Checks of the gate", title_justify="left")
    for column in ("check", "before", "now", "rule", "outcome", "reason"):
        table.add_column(column, justify="right" if column in ("before", "now") else "left", overflow="fold")
    for check in checks:
        table.add_row(
            escape(check.name),
            _tell(check, check.champion),
            _tell(check, check.challenger),
            check.limit,
            f"[bold]{check.outcome}[/bold]" if check.outcome is Outcome.FAILS else check.outcome.value,
            escape(check.reason),
        )
    return table


def _tell(check: Check, value: float | None) -> str:
    if value is None:
        return "-"
    return {"rate": f"{value:.1%}", "area": f"{value:.3f}", "count": f"{value:.0f}", "none": "-"}[check.unit]
