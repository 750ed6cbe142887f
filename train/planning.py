"""What a run learns from and is measured on: the records of every source, dealt into folds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rich.console import Console

from stillwatch.data.bonds import Pairs, find_pairs, list_bonds
from stillwatch.data.errors import ConfigError
from stillwatch.data.folds import Fold, check_fold
from stillwatch.data.labels import Label
from stillwatch.data.records import LabelledRequest
from stillwatch.data.rotations import rotate_families, rotate_techniques
from stillwatch.data.sources import load_configured
from stillwatch.data.splits import set_aside, transfer
from stillwatch.train.config import TrainConfig
from stillwatch.train.results import group_records
from stillwatch.train.sampling import SourceShare

Roles = Mapping[str, str]
"""The role of each `source` field: `rotate`, `train` or `test`."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The records of every source of a configuration.

    Attributes:
        records: all of them.
        roles: what each `source` field is for.
        shares: what share of the training draws each configured source has; empty where none was given.
    """

    records: list[LabelledRequest]
    roles: Roles
    shares: tuple[SourceShare, ...]


def load_records(config: TrainConfig) -> Loaded:
    """Read every source.

    Raises:
        ConfigError: two sources give the same record id, or the same `source` once to train and once to rotate, or
            under two shares.
    """
    records: list[LabelledRequest] = []
    roles: dict[str, str] = {}
    shares: list[SourceShare] = []
    for source in config.sources:
        loaded = load_configured(source, seed=config.seed, root=config.data_root)
        names = frozenset(record.source for record in loaded)
        for name in names:
            if roles.setdefault(name, source.role) != source.role:
                raise ConfigError(f"sources: {name} stands under two roles; give it one")
            if source.share is not None and any(name in each.sources for each in shares):
                raise ConfigError(f"sources: {name} stands under two shares; give it one")
        if source.share is not None:
            shares.append(SourceShare(names, source.share))
        records += loaded
    repeated = [name for name, count in Counter(r.id for r in records).items() if count > 1]
    if repeated:
        raise ConfigError(
            f"sources: {len(repeated)} record ids occur twice; name each source once, give each row its own id"
        )
    return Loaded(records, roles, tuple(shares))


def describe_records(records: Sequence[LabelledRequest]) -> str:
    """One line: how many records of which label, from how many families."""
    parts = []
    for name, group in group_records(records).items():
        parts.append(f"{len(group):,} {name} of {len({r.family for r in group})} families")
    return "Records: " + ", ".join(parts)


def plan_folds(records: Sequence[LabelledRequest], roles: Roles, config: TrainConfig, console: Console) -> list[Fold]:
    """The folds to run; what had to be tied together or left out is printed."""
    with console.status("Looking for near-duplicates across families"):
        pairs = find_pairs(records)
    if "test" in roles.values():
        folds = [_plan_transfer(records, roles, config, pairs)]
    else:
        folds = _plan_rotation(records, roles, config, pairs, console)
    if config.model.attribute_weight:
        share = config.split.attribute_share
        folds = [set_aside(records, fold, share=share, seed=config.seed, pairs=pairs) for fold in folds]
    for fold in folds:
        check_fold(records, fold, pairs=pairs)
        console.print(
            f"{fold.name}: {len(fold.train):,} to train on, {len(fold.validation):,} to validate, {len(fold.test):,} "
            f"to test, {len(fold.dropped):,} left out as bound to held-out records"
            + (f", {len(fold.aside):,} set aside for the thresholds of attributes" if fold.aside else "")
        )
    return folds


def _plan_transfer(records: Sequence[LabelledRequest], roles: Roles, config: TrainConfig, pairs: Pairs) -> Fold:
    """The one fold whose test is all records of the sources that are for testing alone."""
    return transfer(
        records,
        test_sources=frozenset(name for name, role in roles.items() if role == "test"),
        always_train=frozenset(name for name, role in roles.items() if role == "train"),
        seed=config.seed,
        validation_share=config.split.validation_share,
        pairs=pairs,
    )


def _plan_rotation(
    records: Sequence[LabelledRequest], roles: Roles, config: TrainConfig, pairs: Pairs, console: Console
) -> list[Fold]:
    """The folds of the rotation that the configuration runs.

    Only decided records are dealt. Extraction that only a stream shows is scored aside, in the first fold whose model
    has learnt nothing that is bound to it.
    """
    always_train = frozenset(name for name, role in roles.items() if role == "train")
    dealt = [i for i, record in enumerate(records) if record.label is Label.AMBIGUOUS or record.is_decided]
    place = {index: position for position, index in enumerate(dealt)}
    rows = [records[i] for i in dealt]
    dealt_pairs = [(place[a], place[b]) for a, b in pairs if a in place and b in place]
    share, seed = config.split.validation_share, config.seed
    if config.split.hold_out == "techniques":
        rotation = rotate_techniques(
            rows, seed=seed, validation_share=share, always_train=always_train, pairs=dealt_pairs
        )
    else:
        rotation = rotate_families(
            rows,
            num_folds=config.split.num_folds,
            seed=seed,
            validation_share=share,
            always_train=always_train,
            pairs=dealt_pairs,
        )
    run_folds = range(len(rotation.folds)) if config.split.run_folds is None else config.split.run_folds
    if max(run_folds) >= len(rotation.folds):
        raise ConfigError(f"split.run_folds: a fold beyond the {len(rotation.folds)} that there are; leave it out")
    for tie in rotation.ties:
        console.print(f"Split: {tie}", markup=False, highlight=False)
    bonds = list_bonds(records, pairs)
    undecided = [i for i in range(len(records)) if i not in place and records[i].source not in always_train]
    folds = []
    for number in run_folds:
        fold = _renumber(rotation.folds[number], dealt)
        learnt = {bond for i in (*fold.train, *fold.validation) for bond in bonds[i]}
        aside = [i for i in undecided if learnt.isdisjoint(bonds[i])]
        undecided = [i for i in undecided if i not in set(aside)]  # each is scored once, by a model new to it
        folds.append(replace(fold, test=tuple(sorted((*fold.test, *aside)))))
    return folds


def _renumber(fold: Fold, dealt: Sequence[int]) -> Fold:
    """The fold with indices into all records instead of indices into `dealt`."""
    train, validation, test, dropped = (
        tuple(dealt[i] for i in side) for side in (fold.train, fold.validation, fold.test, fold.dropped)
    )
    return Fold(fold.name, train, validation, test, dropped)
