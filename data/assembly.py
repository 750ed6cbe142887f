"""Makes a dataset out of a recipe: load, clean, drop copies, balance, vary, deal into splits, and check all that.

Nothing is written here; `stillwatch.data.artefact` writes. Equal recipes give equal records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from stillwatch.data.audit import Audit, audit_surface
from stillwatch.data.balance import thin_to_balance
from stillwatch.data.bonds import find_pairs
from stillwatch.data.chance import Chance
from stillwatch.data.cleaning import clean
from stillwatch.data.clusters import Clusters
from stillwatch.data.errors import ConfigError
from stillwatch.data.folds import Fold, check_fold
from stillwatch.data.recipe import Recipe, TransformConfig
from stillwatch.data.records import LabelledRequest
from stillwatch.data.sources import load_configured
from stillwatch.data.splits import deal
from stillwatch.data.transforms import transform

CONTRARY = 0.95
"""Jaccard similarity from which two records with different labels contradict each other."""

SPLITS = ("train", "validation", "test")
"""The sides of a dataset, in the order in which they are written."""


@dataclass(frozen=True, slots=True)
class Assembly:
    """A dataset in memory.

    Attributes:
        records: by split.
        drawn: how many records the sources gave.
        copies: how many were dropped as near-duplicates of another record of their label.
        contradictions: how many were dropped because a near-duplicate has another label.
        thinned: how many the balance took out.
        varied: how many variants the transforms added.
        before: the shortcut audit before the balance.
        after: the same over all that is kept, variants included.
        across: near-duplicate pairs found with their records in different splits; the check of the fold allows none.
    """

    records: Mapping[str, tuple[LabelledRequest, ...]]
    drawn: int
    copies: int
    contradictions: int
    thinned: int
    varied: int
    before: Audit
    after: Audit
    across: int

    @property
    def all_records(self) -> list[LabelledRequest]:
        """The records of every split."""
        return [record for name in SPLITS for record in self.records[name]]


def assemble(recipe: Recipe, *, on_step: Callable[[str], None] = lambda step: None) -> Assembly:
    """Make the records of a recipe.

    Args:
        recipe: the recipe.
        on_step: told what is being done, for a progress display.

    Raises:
        SourceError, InputError: a source cannot be read.
        SplitError: there are too few families for the splits.
        AuditError: an outward feature tells the labels apart beyond the recipe's limit.
    """
    on_step("loading the sources")
    drawn = load_all(recipe)
    if recipe.clean:
        on_step("cleaning")
        drawn = [clean(record) for record in drawn]
    on_step("looking for near-duplicates")
    kept, copies, contradictions = drop_duplicates(drawn, recipe.near_duplicates)
    on_step("auditing outward features")
    before = audit_surface(kept)
    balanced = kept
    if recipe.balance:
        on_step("balancing outward features")
        balanced = thin_to_balance(kept, seed=recipe.seed)
    variants = vary(balanced, recipe.transforms, recipe.seed)
    records = [*balanced, *variants]
    on_step("dealing families into splits")
    pairs = find_pairs(records)
    fold = deal(
        records,
        seed=recipe.seed,
        test_share=recipe.split.test_share,
        validation_share=recipe.split.validation_share,
        pairs=pairs,
    )
    check_fold(records, fold, pairs=pairs)
    sides = {index: name for name in SPLITS for index in fold.sides[name]}
    after = audit_surface(records)
    after.require(recipe.audit_limit)
    return Assembly(
        records=_take_splits(records, fold),
        drawn=len(drawn),
        copies=copies,
        contradictions=contradictions,
        thinned=len(kept) - len(balanced),
        varied=len(variants),
        before=before,
        after=after,
        across=sum(sides[first] != sides[second] for first, second in pairs),
    )


def load_all(recipe: Recipe) -> list[LabelledRequest]:
    """The records of every source, in the order of the recipe.

    Raises:
        ConfigError: two sources give the same record id.
    """
    records = [
        record
        for source in recipe.sources
        for record in load_configured(source, seed=recipe.seed, root=recipe.data_root)
    ]
    repeated = sum(count - 1 for count in Counter(record.id for record in records).values())
    if repeated:
        raise ConfigError(f"sources: {repeated} record ids occur twice; name each source once")
    return records


def drop_duplicates(
    records: Sequence[LabelledRequest], threshold: float = 0.8
) -> tuple[list[LabelledRequest], int, int]:
    """Keep one of each group of near-duplicates of one label, and none of those that contradict each other.

    Contrastive pairs, one document with two different demands, are no contradiction: only texts that are all but the
    same are. What just the stream shows may well read like a benign request and is compared with its like alone.

    Args:
        records: in the order in which the first of a group is kept.
        threshold: Jaccard similarity of two records of one label that count as one.

    Returns:
        the kept records, how many copies were dropped, and how many records that contradict each other.
    """
    decided = [record for record in records if record.is_decided]
    contrary = {
        decided[place].id
        for group in _group_similar(decided, CONTRARY)
        if len({decided[place].label for place in group}) > 1
        for place in group
    }
    kept: set[str] = set()
    copies = 0
    for kind in {(record.label, record.is_decided) for record in records}:
        own = [r for r in records if (r.label, r.is_decided) == kind and r.id not in contrary]
        groups = _group_similar(own, threshold)
        kept |= {own[min(group)].id for group in groups}
        copies += len(own) - len(groups)
    return [record for record in records if record.id in kept], copies, len(contrary)


def _group_similar(records: Sequence[LabelledRequest], threshold: float) -> list[list[int]]:
    clusters = Clusters(len(records))
    for first, second in find_pairs(records, threshold=threshold):
        clusters.join(first, second)
    return clusters.groups()


def vary(records: Iterable[LabelledRequest], config: TransformConfig, seed: int) -> list[LabelledRequest]:
    """One variant of a drawn share of the decided records, each by one transform at one strength."""
    variants = []
    for record in records:
        chance = Chance(f"{seed}/vary/{record.id}")
        if record.is_decided and chance.random() < config.share:
            name, strength = chance.choice(config.names), chance.choice(config.strengths)
            varied = transform(record, name, strength=strength, seed=seed)
            if varied.request.messages != record.request.messages:
                variants.append(varied)
    return variants


def _take_splits(records: Sequence[LabelledRequest], fold: Fold) -> Mapping[str, tuple[LabelledRequest, ...]]:
    return {name: tuple(records[index] for index in fold.sides[name]) for name in SPLITS}
