"""The worlds that a rotation is measured on: honest accounts to calibrate on and fresh ones, evaluators, operators.

All texts are of families that neither the request model nor the stream model has learnt from, but for those of the
world `moved`, whose families and personas the stream model knows; among the other honest accounts is every persona,
those never trained on included. Each world has its own seed.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

from stillwatch.data.errors import ConfigError
from stillwatch.data.labels import Label
from stillwatch.data.streams.operators import Operator, load_operators
from stillwatch.train.streams.corpus import Member, StreamCorpus
from stillwatch.train.streams.measures import BY
from stillwatch.train.streams.rotations import MEASURED_SEED, Workshop
from stillwatch.train.streams.suite_settings import CaseConfig, StreamSuiteConfig, SuiteConfig
from stillwatch.train.streams.worlds import make_honest, make_named_campaigns

EVALUATOR = "evaluator"


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredWorlds:
    """The worlds of one rotation.

    Attributes:
        calibration: honest accounts that thresholds are set on.
        fresh: honest accounts that they are tried on.
        moved: honest accounts of the validation families and personas, which the stream model has learnt from, or None.
        evaluators: accounts that measure models, or None.
        cases: accounts of operators, by case; one that finds no request among the tested families is left out.
    """

    calibration: StreamCorpus
    fresh: StreamCorpus
    moved: StreamCorpus | None
    evaluators: StreamCorpus | None
    cases: dict[str, StreamCorpus]


def make_measured_worlds(workshop: Workshop, suite: StreamSuiteConfig) -> MeasuredWorlds:
    """Simulate what a rotation is measured on."""
    operators = {case.name: find_operator(case) for case in suite.cases}
    honest = suite.honest
    seed = workshop.config.seed * 100 + MEASURED_SEED
    calibration = build_calibration(workshop, suite)
    fresh = _build_honest(workshop, "fresh", suite.horizon, num_accounts=honest.fresh, seed=seed + 1)
    moved = None
    if honest.moved:
        moved = workshop.build(
            "moved",
            make_honest(
                workshop.pools["validation"],
                workshop.holdout.personas["validation"],
                num_accounts=honest.moved,
                seed=seed + 2,
            ),
            first=suite.horizon,
        )
    evaluators = None
    if honest.evaluators:
        members = make_honest(workshop.pool, (EVALUATOR,), num_accounts=honest.evaluators, seed=seed + 3)
        evaluators = workshop.build("evaluators", members, first=suite.horizon)
    cases = {}
    for place, case in enumerate(suite.cases):
        with suppress(ConfigError):  # told in the result: the case has no figures of this rotation
            cases[case.name] = build_case(workshop, case, operators[case.name], seed=seed + 10 + place)
    return MeasuredWorlds(calibration, fresh, moved, evaluators, cases)


def build_calibration(workshop: Workshop, suite: SuiteConfig) -> StreamCorpus:
    """The honest accounts that thresholds are set on; a rotation's are the same in every suite."""
    seed = workshop.config.seed * 100 + MEASURED_SEED
    return _build_honest(workshop, "calibration", suite.horizon, num_accounts=suite.honest.calibration, seed=seed)


def _build_honest(workshop: Workshop, name: str, horizon: int, *, num_accounts: int, seed: int) -> StreamCorpus:
    """Honest accounts of the tested families, of all personas by their weights."""
    members = make_honest(
        workshop.pools["test"], workshop.holdout.personas["test"], num_accounts=num_accounts, seed=seed
    )
    return workshop.build(name, members, first=horizon)


def build_case(workshop: Workshop, case: CaseConfig, operator: Operator, *, seed: int) -> StreamCorpus:
    """The accounts of one case, as far as the last of `BY`."""
    members: list[Member] = make_named_campaigns(
        workshop.pools["test"],
        operator,
        workshop.holdout.personas["test"],
        num_campaigns=case.campaigns,
        accounts_each=case.accounts_each,
        seed=seed,
    )
    return workshop.build(f"case-{case.name}", members, first=BY[-1], paraphrased=case.paraphrased)


def find_operator(case: CaseConfig) -> Operator:
    """The operator of a case.

    Raises:
        ConfigError: there is none of that name.
    """
    known = load_operators()
    if case.operator not in known:
        raise ConfigError(f"case {case.name}: no operator {case.operator}; use one of {', '.join(known)}")
    operator = known[case.operator]
    draws = replace(
        operator.draws,
        labels=(Label.EXTRACTION,),
        techniques=case.techniques or operator.draws.techniques,
        visibilities=case.visibilities or operator.draws.visibilities,
    )
    size = replace(
        operator.size,
        accounts=max(operator.size.accounts, case.accounts_each * operator.size.successors),
        exchanges=max(operator.size.exchanges, 200 * case.accounts_each * operator.size.successors),
    )
    return replace(operator, draws=draws, size=size, share=case.share or operator.share)
