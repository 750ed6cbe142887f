"""The result of a suite of streams or campaigns: frozen, written as JSON, printed as tables. Never text of a request.

Keys of the JSON that others read: `account_fpr`, `pure.flagged_by`, `mixed.<share>.flagged_by`, for the first system
at the top and for every other one under `baselines.<name>`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from stillwatch.train.intervals import Interval
from stillwatch.train.streams.baselines.windows import WindowRates
from stillwatch.train.streams.measures import BY, AlarmRate, FlagRate

FORMAT_VERSION = 1
PURE = "pure"
MIXED = "mixed-"
"""The case of nothing but extraction, and the beginning of the names of those with a share of it."""


@dataclass(frozen=True, slots=True)
class SystemFigures:
    """One detector of streams.

    Attributes:
        name: of the detector.
        account_fpr: share of fresh honest accounts ever flagged, by promised rate.
        cases: accounts of operators at the first promised rate that its calibration accounts support, by case.
        personas: false alarms at that rate, by persona.
        evaluators: flagged accounts that measure models, at that rate.
    """

    name: str
    account_fpr: Mapping[float, AlarmRate]
    cases: Mapping[str, FlagRate]
    personas: Mapping[str, AlarmRate]
    evaluators: AlarmRate | None

    def to_json(self) -> dict[str, object]:
        """Plain JSON types."""
        rate, first = next(iter(self.account_fpr.items()))
        mixed = {name.removeprefix(MIXED): case.to_json() for name, case in self.cases.items() if MIXED in name[:6]}
        return {
            "promised_account_fpr": rate,
            "account_fpr": first.to_json(),
            "account_fpr_by_rate": {f"{rate:g}": each.to_json() for rate, each in self.account_fpr.items()},
            PURE: self.cases[PURE].to_json() if PURE in self.cases else None,
            "mixed": mixed,
            "cases": {name: case.to_json() for name, case in self.cases.items()},
            "personas": {name: each.to_json() for name, each in self.personas.items()},
            "evaluators": self.evaluators.to_json() if self.evaluators else None,
        }


@dataclass(frozen=True, slots=True)
class PromiseCheck:
    """A promised rate over many recalibrations: mean, lowest and highest realised rate, and what law expects."""

    promised: float
    realised: Interval
    num_recalibrations: int
    num_accounts: int

    def to_json(self) -> dict[str, object]:
        """Plain JSON types."""
        return {
            "promised": self.promised,
            "realised": self.realised.to_json(),
            "num_recalibrations": self.num_recalibrations,
            "num_accounts": self.num_accounts,
        }


@dataclass(frozen=True, slots=True)
class LeakFigures:
    """Campaigns of one shape: the share of exchanges that leaked before the campaign was flagged.

    Attributes:
        leaked: mean over campaigns, with the lowest and highest campaign.
        leaked_alone: the same without counts over accounts.
        flagged: campaigns flagged at all.
        num_campaigns: how many.
        num_accounts: simulated accounts of all of them.
        num_exchanges: of those accounts, counted over their whole lives.
        accounts_flagged: share of accounts flagged within the requests that were followed.
    """

    leaked: Interval
    leaked_alone: Interval
    flagged: int
    num_campaigns: int
    num_accounts: int
    num_exchanges: int
    accounts_flagged: float

    def to_json(self) -> dict[str, object]:
        """Plain JSON types."""
        return {
            "leaked": self.leaked.to_json(),
            "leaked_without_other_accounts": self.leaked_alone.to_json(),
            "flagged": self.flagged,
            "num_campaigns": self.num_campaigns,
            "num_accounts": self.num_accounts,
            "num_exchanges": self.num_exchanges,
            "accounts_flagged": self.accounts_flagged,
        }


@dataclass(frozen=True, slots=True)
class StreamEvaluation:
    """Everything that a suite measured.

    Attributes:
        suite: its name.
        quick: whether it was shrunk to answer in minutes.
        conditions: what was held out, how many families, personas, accounts and requests, and on which seeds.
        systems: ours first.
        promises: promised against realised rates.
        ablations: the named groups of slots hidden, at the first promised rate.
        shapes: disclosed campaigns by name.
        windows: a published detector by its paper's own protocol, on windows of the first rotation's pooled traffic.
        costs: milliseconds and bytes, of this machine at this hour.
        notes: what a reader must know.
    """

    suite: str
    quick: bool
    conditions: Mapping[str, object]
    systems: tuple[SystemFigures, ...]
    promises: tuple[PromiseCheck, ...] = ()
    ablations: Mapping[str, Mapping[str, FlagRate]] = field(default_factory=dict)
    shapes: Mapping[str, LeakFigures] = field(default_factory=dict)
    windows: tuple[WindowRates, ...] = ()
    costs: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Plain JSON types; see the module's text."""
        ours = self.systems[0].to_json() if self.systems else {}
        return {
            "format_version": FORMAT_VERSION,
            "suite": self.suite,
            "quick": self.quick,
            "system": self.systems[0].name if self.systems else None,
            **ours,
            "baselines": {each.name: each.to_json() for each in self.systems[1:]},
            "promises": [each.to_json() for each in self.promises],
            "ablations": {
                name: {case: rate.to_json() for case, rate in cases.items()} for name, cases in self.ablations.items()
            },
            "campaigns": {name: each.to_json() for name, each in self.shapes.items()},
            "windows": [each.to_json() for each in self.windows],
            "costs": dict(self.costs),
            "conditions": dict(self.conditions),
            "notes": list(self.notes),
        }

    def to_metrics(self) -> dict[str, float]:
        """The figures to compare runs by: our own false alarms, shares flagged and leaked."""
        metrics = {f"leaked/{name}": each.leaked.value for name, each in self.shapes.items()}
        for system in self.systems[:1]:
            metrics |= {f"account_fpr/{rate:g}": each.rate.value for rate, each in system.account_fpr.items()}
            for name, case in system.cases.items():
                metrics |= {f"flagged/{name}/by_{by}": each.value for by, each in case.flagged_by.items()}
        return metrics

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.to_json(), indent=2) + "\n", "utf-8")

    def print(self, console: Console) -> None:
        """The tables, for people."""
        for system in self.systems[:1]:
            console.print(_flag_table(f"{system.name}: accounts flagged by request", system.cases))
            console.print(_alarm_table("false alarms", {f"{r:.1%}": a for r, a in system.account_fpr.items()}))
            console.print(_alarm_table("false alarms by persona", system.personas))
        for name in (PURE, f"{MIXED}25", f"{MIXED}10", f"{MIXED}5"):
            rows = {each.name: each.cases[name] for each in self.systems if name in each.cases}
            if len(rows) > 1:
                console.print(_flag_table(f"{name}: beside the others", rows))
        for name, cases in self.ablations.items():
            console.print(_flag_table(f"without {name}", cases))
        if self.windows:
            console.print(_window_table(self.windows))
        if self.shapes:
            console.print(_leak_table(self.shapes))
        for note in self.notes:
            console.print(note, markup=False)


def _flag_table(title: str, rows: Mapping[str, FlagRate]) -> Table:
    table = Table(title=title, title_justify="left", box=None)
    table.add_column("", no_wrap=True)
    for column in (*(f"by {by}" for by in BY), "median", "accounts", "campaigns"):
        table.add_column(column, justify="right")
    for name, rate in rows.items():
        shares = (f"{each.value:.0%} [{each.low:.0%}, {each.high:.0%}]" for each in rate.flagged_by.values())
        table.add_row(name, *shares, str(rate.median_requests or "-"), str(rate.num_accounts), str(rate.num_campaigns))
    return table


def _alarm_table(title: str, rows: Mapping[str, AlarmRate]) -> Table:
    table = Table(title=title, title_justify="left", box=None)
    for column in ("", "ever flagged", "of accounts", "share"):
        table.add_column(column, justify="left" if not column else "right")
    for name, each in rows.items():
        share = f"{each.rate.value:.2%} [{each.rate.low:.2%}, {each.rate.high:.2%}]"
        table.add_row(name, str(each.num_flagged), str(each.num_accounts), share)
    return table


def _window_table(rows: Sequence[WindowRates]) -> Table:
    table = Table(title="windows of pooled traffic, by the protocol of the paper", title_justify="left", box=None)
    shares = [f"{share:.0%} of them" for share in rows[0].tpr]
    for column in ("", "requests", "honest", *shares):
        table.add_column(column, justify="left" if not column else "right")
    for each in rows:
        found = (f"{rate.value:.0%}" for rate in each.tpr.values())
        table.add_row(each.detector, str(each.window), f"{each.fpr.value:.0%}", *found)
    return table


def _leak_table(shapes: Mapping[str, LeakFigures]) -> Table:
    table = Table(title="leaked before the campaign was flagged", title_justify="left", box=None)
    for column in ("shape", "leaked", "without other accounts", "campaigns flagged", "accounts", "exchanges"):
        table.add_column(column, justify="left" if column == "shape" else "right", no_wrap=column == "shape")
    for name, each in shapes.items():
        table.add_row(
            name,
            f"{each.leaked.value:.2%} [{each.leaked.low:.2%}, {each.leaked.high:.2%}]",
            f"{each.leaked_alone.value:.2%}",
            f"{each.flagged} of {each.num_campaigns}",
            f"{each.num_accounts:,}",
            f"{each.num_exchanges:,}",
        )
    return table
