"""The promotion gate: may a challenger take the champion's place?

A challenger is accepted when it beats the champion on the main figure beyond the interval, is not told worse on the
further ones, and worsens no protected slice beyond its limit; without a champion it must reach the floor instead. The
gate sees the declared suite's rows and no others: it promises nothing about traffic unlike them, and a slice of few
records is told but not judged.
"""

from __future__ import annotations

from collections.abc import Iterator

from stillwatch.data.errors import InputError
from stillwatch.train.intervals import NUM_REPLICATES, Interval
from stillwatch.train.suites.comparison import TITLES, Comparison, compare, tell_change, tell_value
from stillwatch.train.suites.decision import Check, Decision, Outcome, Unit
from stillwatch.train.suites.evaluation import Evaluation
from stillwatch.train.suites.pairing import AREAS, SliceDifference, name_tpr
from stillwatch.train.suites.policy import Figure, GateConfig, ProtectionConfig
from stillwatch.train.summary import FPRS, MetricSet, SliceRate


def decide(
    champion: Evaluation | None,
    challenger: Evaluation,
    policy: GateConfig,
    *,
    names: tuple[str, str] = ("champion", "challenger"),
    num_replicates: int = NUM_REPLICATES,
) -> Decision:
    """Decide whether a challenger may take the champion's place.

    Args:
        champion: the champion's evaluation; None when nobody holds the alias.
        challenger: the challenger's, of the same suite and rows.
        policy: the rules.
        names: what champion and challenger are called.
        num_replicates: bootstrap resamples of the comparison.

    Raises:
        InputError: the two evaluations are not of the same suite, kind or rows, or a label is missing.
    """
    comparison = None
    if champion is None:
        figures = [_check_floor(challenger, figure, least) for figure, least in policy.floor.items()]
        slices = [check for rule in policy.protected for check in _iter_bound_checks(challenger, rule, policy)]
    else:
        _require_same_suite(champion, challenger)
        comparison = compare(
            champion, challenger, names=names, main_figure=policy.must_beat, num_replicates=num_replicates
        )
        figures = [
            _check_beats(comparison, policy.must_beat),
            *(_check_holds_up(comparison, figure) for figure in policy.must_not_worsen),
        ]
        slices = [check for rule in policy.protected for check in _iter_slice_checks(comparison, rule, policy)]
    checks = [*figures, _check_suite(challenger, policy), *_iter_size_checks(challenger, policy), *slices]
    return Decision(
        champion=None if champion is None else names[0],
        challenger=names[1],
        suite=challenger.suite,
        data_digest=challenger.data.digest,
        checks=tuple(checks),
        comparison=comparison,
    )


def _require_same_suite(champion: Evaluation, challenger: Evaluation) -> None:
    same = (champion.kind, champion.suite, champion.suite_digest) == (
        challenger.kind,
        challenger.suite,
        challenger.suite_digest,
    )
    if not same:
        raise InputError(
            "suite",
            "champion and challenger were evaluated by different suites",
            "evaluate both by the same, on --data",
        )


def _check_beats(comparison: Comparison, figure: Figure) -> Check:
    holds = comparison.figure(figure).change.low > 0
    words = "lies above 0" if holds else "does not lie above 0"
    return _check_change(comparison, figure, "better, beyond the interval", holds, words)


def _check_holds_up(comparison: Comparison, figure: Figure) -> Check:
    holds = comparison.figure(figure).change.high >= 0
    words = "does not lie below 0" if holds else "lies below 0"
    return _check_change(comparison, figure, "not worse, beyond the interval", holds, words)


def _check_change(comparison: Comparison, figure: Figure, limit: str, holds: bool, words: str) -> Check:
    found = comparison.figure(figure)
    return Check(
        name=TITLES[figure],
        unit=_unit(figure),
        champion=found.a,
        challenger=found.b,
        change=found.change,
        limit=limit,
        outcome=_outcome(holds),
        reason=f"{tell_change(figure, found.change)}: the interval {words}",
    )


def _check_floor(challenger: Evaluation, figure: Figure, least: float) -> Check:
    found = _figure_of(challenger.first.metrics, figure)
    holds = found.low >= least
    told = tell_value(figure, found.low)
    return Check(
        name=TITLES[figure],
        unit=_unit(figure),
        champion=None,
        challenger=found.value,
        change=found,
        limit=f"at least {tell_value(figure, least)}, at the lower end",
        outcome=_outcome(holds),
        reason=f"the interval begins at {told}" + ("" if holds else ", below the floor"),
    )


def _check_suite(challenger: Evaluation, policy: GateConfig) -> Check:
    declared = " or ".join(policy.suites)
    holds = challenger.suite in policy.suites
    return Check(
        name="suite",
        unit="none",
        champion=None,
        challenger=None,
        change=None,
        limit=declared,
        outcome=_outcome(holds),
        reason=f"evaluated by {challenger.suite}" + ("" if holds else ", which the policy does not declare"),
    )


def _iter_size_checks(challenger: Evaluation, policy: GateConfig) -> Iterator[Check]:
    for label, least in (("extraction", policy.min_extraction_families), ("benign", policy.min_benign_families)):
        num_families = len({row.family for row in challenger.records if row.is_decided and row.label == label})
        yield Check(
            name=f"{label} families",
            unit="count",
            champion=None,
            challenger=float(num_families),
            change=None,
            limit=f"at least {least}",
            outcome=_outcome(num_families >= least),
            reason=f"{num_families} families",
        )


def _iter_slice_checks(comparison: Comparison, rule: ProtectionConfig, policy: GateConfig) -> Iterator[Check]:
    for found in comparison.slices_of(rule.slice, is_extraction=rule.rate == "tpr", fpr=policy.slice_fpr):
        outcome, reason = _judge_slice(found, rule)
        yield Check(
            name=f"{rule.rate.upper()} of {rule.slice} {found.group}",
            unit="rate",
            champion=found.a,
            challenger=found.b,
            change=found.change,
            limit=_tell_rule(rule),
            outcome=outcome,
            reason=reason,
        )


def _judge_slice(found: SliceDifference, rule: ProtectionConfig) -> tuple[Outcome, str]:
    told = tell_change(name_tpr(found.fpr), found.change)
    if found.num_records < rule.min_records:
        return Outcome.NOT_JUDGED, f"{told}; {found.num_records} records, fewer than {rule.min_records}"
    if _is_beyond(found.b, rule):
        return Outcome.FAILS, f"{found.b:.1%} is {_tell_bound(rule)}; {told} against the champion"
    worse = found.change.value if rule.rate == "fpr" else -found.change.value
    if worse <= rule.max_worsening:
        return Outcome.HOLDS, told
    if found.direction == (1 if rule.rate == "fpr" else -1):
        return Outcome.FAILS, f"{told}: worse by more than {_points(rule.max_worsening)}, and the interval excludes 0"
    return Outcome.HOLDS, f"{told}: the interval holds 0"


def _iter_bound_checks(challenger: Evaluation, rule: ProtectionConfig, policy: GateConfig) -> Iterator[Check]:
    """Without a champion nothing can get worse: only the bounds are looked at."""
    if rule.bound is None:
        return
    rates: tuple[SliceRate, ...] = challenger.first.slices.get(rule.slice, ())
    for found in rates:
        if found.is_extraction != (rule.rate == "tpr") or found.fpr != policy.slice_fpr:
            continue
        judged = found.num_records >= rule.min_records
        fails = _is_beyond(found.rate.value, rule)
        yield Check(
            name=f"{rule.rate.upper()} of {rule.slice} {found.group}",
            unit="rate",
            champion=None,
            challenger=found.rate.value,
            change=found.rate,
            limit=_tell_rule(rule),
            outcome=_outcome(not fails) if judged else Outcome.NOT_JUDGED,
            reason=(
                f"{found.num_records} records, fewer than {rule.min_records}"
                if not judged
                else f"{found.rate.value:.1%} is {_tell_bound(rule) if fails else 'within the bound'}"
            ),
        )


def _unit(figure: Figure) -> Unit:
    return "area" if figure in AREAS else "rate"


def _outcome(holds: bool) -> Outcome:
    return Outcome.HOLDS if holds else Outcome.FAILS


def _is_beyond(rate: float, rule: ProtectionConfig) -> bool:
    if rule.bound is None:
        return False
    return rate > rule.bound if rule.rate == "fpr" else rate < rule.bound


def _tell_bound(rule: ProtectionConfig) -> str:
    return f"{'above' if rule.rate == 'fpr' else 'below'} {rule.bound:.1%}"


def _tell_rule(rule: ProtectionConfig) -> str:
    told = f"no {'rise' if rule.rate == 'fpr' else 'fall'} above {_points(rule.max_worsening)}"
    return told if rule.bound is None else f"{told}, not {_tell_bound(rule)}"


def _points(share: float) -> str:
    return f"{100 * share:g} points"


def _figure_of(metrics: MetricSet, figure: Figure) -> Interval:
    areas = {"auroc": metrics.auroc, "auprc": metrics.auprc}
    return areas[figure] if figure in areas else {name_tpr(fpr): metrics.at(fpr).tpr for fpr in FPRS}[figure]
