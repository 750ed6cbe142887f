"""What a run learns from and is measured on: the records of every source, dealt into folds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console

from stillwatch.data.bonds import find_pairs
from stillwatch.data.errors import ConfigError
from stillwatch.data.labels import Label
from stillwatch.data.records import LabelledRequest
from stillwatch.data.sources import load_source, select_request_visible
from stillwatch.data.splits import Fold, check_fold, rotate_families
from stillwatch.train.config import TrainConfig


def load_records(config: TrainConfig) -> tuple[list[LabelledRequest], frozenset[str]]:
    """The request-visible records of every source, and the `source` fields that are only ever trained on.

    Raises:
        ConfigError: two sources give the same record id, or the same `source` once to train and once to rotate.
    """
    records: list[LabelledRequest] = []
    roles: dict[str, str] = {}
    for source in config.sources:
        loaded = load_source(
            source.kind,
            seed=config.seed,
            path=None if source.path is None else config.data_root / source.path,
            num_requests=source.num_requests,
            max_per_source=source.max_per_source,
            permissive_only=source.permissive_only,
        )
        for name in {record.source for record in loaded}:
            if roles.setdefault(name, source.role) != source.role:
                raise ConfigError(f"sources: {name} stands under two roles; give it one")
        records += select_request_visible(loaded)
    repeated = [name for name, count in Counter(r.id for r in records).items() if count > 1]
    if repeated:
        raise ConfigError(f"sources: {len(repeated)} record ids come from more than one source; name each source once")
    return records, frozenset(name for name, role in roles.items() if role == "train")


def describe_records(records: Sequence[LabelledRequest]) -> str:
    """One line: how many records of which label, from how many families."""
    parts = []
    for label in Label:
        families = [r.family for r in records if r.label is label]
        if families:
            parts.append(f"{len(families):,} {label.value} of {len(set(families))} families")
    return "Records: " + ", ".join(parts)


def plan_folds(
    records: Sequence[LabelledRequest], fixed_sources: frozenset[str], config: TrainConfig, console: Console
) -> list[Fold]:
    """The folds to run; what had to be tied together or left out is printed."""
    with console.status("Looking for near-duplicates across families"):
        pairs = find_pairs(records)
    rotation = rotate_families(
        records,
        num_folds=config.split.num_folds,
        seed=config.seed,
        validation_share=config.split.validation_share,
        always_train=fixed_sources,
        pairs=pairs,
    )
    for tie in rotation.ties:
        console.print(f"Split: {tie}", markup=False, highlight=False)
    folds = [rotation.folds[number] for number in config.split.folds]
    for fold in folds:
        check_fold(records, fold, pairs=pairs)
        console.print(
            f"{fold.name}: {len(fold.train):,} to train on, {len(fold.validation):,} to validate, {len(fold.test):,} "
            f"to test, {len(fold.dropped):,} left out as bound to held-out records"
        )
    return folds
