"""How an alias passes from one registered version to another, and what is written down about it.

The record is in tags: `ALIAS.since`, `ALIAS.figures` and `ALIAS.before` of the version that takes the alias,
`ALIAS.until` of the one that loses it. The alias moves last: a failure on the way promotes nobody. Whether a version
may have the alias is not asked here; see `stillwatch.train.suites.gate`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from stillwatch.data.errors import TrackingError
from stillwatch.train.ledger import Promotion, VersionRecord

if TYPE_CHECKING:
    from stillwatch.train.tracking import Store


@dataclass(frozen=True, slots=True)
class Candidacy:
    """A version that shall have an alias; `holder` is the version that has it now, None when nobody does."""

    alias: str
    version: VersionRecord
    holder: VersionRecord | None


def find_candidacy(store: Store, name: str, version: int, alias: str = "champion") -> Candidacy:
    """Look up both sides of a promotion.

    Args:
        store: where the versions are registered.
        name: the registered model.
        version: the version that shall have the alias.
        alias: `champion` serves, `challenger` waits.

    Raises:
        TrackingError: there is no such version, or it has the alias already.
    """
    known = store.list_versions(name)
    chosen = next((one for one in known if one.version == version), None)
    holder = next((one for one in known if alias in one.aliases), None)
    if chosen is None:
        numbers = ", ".join(str(one.version) for one in known)
        raise TrackingError(f"{name} has no version {version}; give one of {numbers}")
    if holder is chosen:
        raise TrackingError(f"{name} version {version} is {alias} already; nothing to do")
    return Candidacy(alias, chosen, holder)


def hand_over(store: Store, candidacy: Candidacy) -> Promotion:
    """Give the version the alias, taking it from whoever has it, and record when and by which figures."""
    chosen, holder, alias = candidacy.version, candidacy.holder, candidacy.alias
    promotion = Promotion(
        name=chosen.name,
        version=chosen.version,
        alias=alias,
        previous=holder.version if holder else None,
        figures=_test_figures(store, chosen),
        previous_figures=_test_figures(store, holder) if holder else {},
    )
    now = datetime.now(UTC).isoformat(timespec="seconds")
    record = {
        f"{alias}.since": now,
        f"{alias}.figures": json.dumps(promotion.figures, sort_keys=True),
        f"{alias}.before": str(promotion.previous or "nobody"),
    }
    stale = [key for key in (f"{alias}.until",) if key in chosen.tags]
    store.tag_version(chosen.name, chosen.version, record, remove=stale)
    if holder:
        store.tag_version(holder.name, holder.version, {f"{alias}.until": now})
    store.move_alias(chosen.name, chosen.version, alias)
    return promotion


def _test_figures(store: Store, version: VersionRecord) -> dict[str, float]:
    """The `test/` figures of the version's run, without bounds."""
    figures = store.get_run(version.run_id).test_figures if version.run_id else {}
    return {key: value for key, value in figures.items() if not key.endswith(("_low", "_high"))}
