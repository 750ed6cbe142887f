"""From a recipe to a dataset folder: assemble, write, seal, describe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stillwatch.data.artefact import check_target, write_dataset
from stillwatch.data.assembly import Assembly, assemble
from stillwatch.data.datasheet import write_pages
from stillwatch.data.generator import GENERATOR_VERSION
from stillwatch.data.recipe import Recipe
from stillwatch.data.sources import digest_records


def build(
    recipe: Recipe,
    folder: Path,
    *,
    on_step: Callable[[str], None] = lambda step: None,
    on_shard: Callable[[int], None] = lambda rows: None,
) -> Mapping[str, Any]:
    """Build the dataset of a recipe.

    Args:
        recipe: what it is made of.
        folder: where it shall stand; an older dataset there is replaced, anything else refused.
        on_step: told what is being done.
        on_shard: told the rows of each shard that is done.

    Returns:
        the manifest.

    Raises:
        StillwatchError: a source, a split, the audit or the folder is at fault; the message tells how.
    """
    check_target(folder)
    assembly = assemble(recipe, on_step=on_step)
    on_step("writing shards")
    return write_dataset(
        assembly.records,
        folder,
        recipe={
            "recipe": recipe.model_dump(mode="json"),
            "generator": GENERATOR_VERSION,
            "digest": digest_records(assembly.all_records),
        },
        facts=describe_assembly(assembly),
        pages=lambda manifest: write_pages(manifest, assembly.records),
        on_shard=on_shard,
    )


def describe_assembly(assembly: Assembly) -> dict[str, Any]:
    """What the manifest tells beyond counts."""
    return {
        "drawn": assembly.drawn,
        "copies": assembly.copies,
        "contradictions": assembly.contradictions,
        "thinned": assembly.thinned,
        "varied": assembly.varied,
        "audit_before": assembly.before.as_json(),
        "audit_after": assembly.after.as_json(),
        "near_duplicates_across_splits": assembly.across,
    }
