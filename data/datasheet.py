"""The datasheet and the page of a dataset: what a person reads before trusting it.

The questions follow Gebru et al. (2021), "Datasheets for Datasets". Examples are shown of requests that this project
wrote itself, and of no other: texts of other sources have licences and owners of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from stillwatch.data.attributes import ATTRIBUTES
from stillwatch.data.chance import Chance
from stillwatch.data.labels import TECHNIQUES, Label
from stillwatch.data.pictures import draw_pictures
from stillwatch.data.records import LabelledRequest

_OWN_SOURCES = ("generated", "authored.")
_EXAMPLES = 2  # of each kind
_SHOWN = 1_600  # characters of an example


def write_pages(manifest: Mapping[str, Any], splits: Mapping[str, Sequence[LabelledRequest]]) -> dict[str, str]:
    """The files that a person reads.

    Args:
        manifest: of the dataset.
        splits: its records.

    Returns:
        `DATASHEET.md` and `index.html` (self-contained, with pictures and examples) by name.
    """
    records = [record for rows in splits.values() for record in rows]
    context = {
        "manifest": manifest,
        "splits": manifest["splits"],
        "facts": manifest["facts"],
        "totals": _total(manifest["splits"]),
        "attributes": _count_attributes(records),
    }
    shown = {"pictures": draw_pictures(splits, manifest["facts"]), "examples": _pick(records)}
    return {"DATASHEET.md": _render("datasheet.md.j2", context), "index.html": _render("page.html.j2", context | shown)}


def _render(template: str, context: Mapping[str, object]) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "pages"),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(context)


def _total(splits: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    totals: dict[str, dict[str, int]] = {}
    for counts in splits.values():
        for column, values in counts.items():
            if isinstance(values, Mapping):
                for value, count in values.items():
                    totals.setdefault(column, {}).setdefault(value, 0)
                    totals[column][value] += count
    return {column: dict(sorted(values.items(), key=lambda item: -item[1])) for column, values in totals.items()}


def _count_attributes(records: Sequence[LabelledRequest]) -> list[tuple[str, str, int, int]]:
    """Each attribute with its meaning and how many extraction and benign records carry it."""
    return [
        (
            name,
            meaning,
            sum(name in record.attributes for record in records if record.is_extraction),
            sum(name in record.attributes for record in records if record.label is Label.BENIGN),
        )
        for name, meaning in ATTRIBUTES.items()
    ]


def _pick(records: Sequence[LabelledRequest]) -> dict[str, list[dict[str, Any]]]:
    """A few examples of each technique and of benign, drawn by id so that a rebuilt page shows the same ones."""
    own = [record for record in records if record.source.startswith(_OWN_SOURCES)]
    kinds: dict[str, list[LabelledRequest]] = {"benign": [r for r in own if r.label is Label.BENIGN]}
    kinds |= {
        technique.value: [r for r in own if r.is_extraction and r.technique is technique] for technique in TECHNIQUES
    }
    kinds["ambiguous"] = [r for r in own if r.label is Label.AMBIGUOUS]
    picked = {}
    for kind, rows in kinds.items():
        count = min(len(rows), _EXAMPLES * (2 if kind == "benign" else 1))
        chosen = Chance(f"page/{kind}").sample(sorted(rows, key=lambda row: row.id), count)
        picked[kind] = [
            {
                "id": record.id,
                "lang": record.lang,
                "attributes": record.attributes,
                "messages": [(m.role.value, _shorten(m.content)) for m in record.request.messages],
            }
            for record in chosen
        ]
    return picked


def _shorten(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} [... {len(text) - _SHOWN:,} more characters]"
