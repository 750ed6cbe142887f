"""Draws plausible values from short specifications, such as `int 1 40`, `date` or `one red | blue`.

The material files write their facts in this little language, so that services, tables, documents and screens
draw from the same pools. It promises plausibility, not consistency between two values.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from stillwatch.data.material import load_pool

Value = str | int | float | bool
"""What a specification can give."""


def draw_value(spec: str, rng: Random, lang: str = "en") -> Value:
    """Draw one value.

    Args:
        spec: `int LOW HIGH`, `float LOW HIGH`, `money LOW HIGH`, `one A | B | C`, `id PREFIX`, `date`,
            `day` (a date written out), `time`, `bool`, `email`, `name`, `city`, `company`, `street` or `topic`.
        rng: the only chance used.
        lang: language of names, places and days.

    Raises:
        ValueError: the specification is unknown.
    """
    kind, _, rest = spec.partition(" ")
    if kind == "one":
        return rng.choice([option.strip() for option in rest.split("|")])
    if kind == "int":
        low, high = map(int, rest.split())
        return rng.randint(low, high)
    if kind in ("float", "money"):
        low, high = map(int, rest.split())
        return round(rng.uniform(low, high), 2 if kind == "money" else 1)
    if kind == "id":
        return f"{rest}-{rng.randint(1000, 99999)}"
    if kind == "date":
        return f"{rng.randint(2023, 2026)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
    if kind == "day":
        months, pattern = load_pool("months", lang), load_pool("days", lang)[0]
        return pattern.format(year=rng.randint(2023, 2026), month=rng.choice(months), day=rng.randint(1, 28))
    if kind == "time":
        return f"{rng.randint(6, 22):02}:{rng.choice((0, 5, 10, 15, 20, 30, 40, 45, 50)):02}"
    if kind == "bool":
        return rng.random() < 0.5
    if kind == "email":
        host = rng.choice(load_pool("companies", "en")).split()[0].lower()
        return f"{rng.choice(load_pool('names', 'en')).split()[-1].lower()}@{host}.example"
    if kind == "street":
        return rng.choice(load_pool("streets", lang)).replace("#", str(rng.randint(1, 180)))
    if kind in _POOLS:
        return rng.choice(load_pool(_POOLS[kind], lang))
    raise ValueError(f"unknown value specification {kind}")


def draw_values(specs: Mapping[str, str], rng: Random, lang: str = "en") -> dict[str, Value]:
    """Draw one value for each named specification, in the order they are written; people and places differ."""
    drawn: dict[str, Value] = {}
    for name, spec in specs.items():
        drawn[name] = draw_value(spec, rng, lang)
        while spec in _POOLS and list(drawn.values()).count(drawn[name]) > 1:
            drawn[name] = draw_value(spec, rng, lang)
    return drawn


_POOLS = {"name": "names", "city": "cities", "company": "companies", "topic": "topics"}
