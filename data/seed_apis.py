"""Makes the tools of a service, a user's query, one valid call and its result, from `apis.yaml` and `queries/`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from stillwatch.data.material import load_material, load_pool
from stillwatch.data.values import Value, draw_values

_OWN_TONGUE = 0.6  # share of the queries in the language asked for, from the services that have such


def make_api(rng: Random, lang: str) -> dict[str, object]:
    """One service with three to six tools.

    Args:
        rng: the only chance used.
        lang: ISO 639-1 code of the query, where a service has queries in it; all else speaks English.
    """
    asks: Mapping[str, Mapping[str, Sequence[str]]] = {}
    if rng.random() < _OWN_TONGUE:
        asks = load_material("queries").get(lang, {})
    entry = rng.choice([entry for entry in load_material("apis") if not asks or entry["prefix"] in asks])
    spell = rng.choice((str, _spell_camel, lambda name: f"{entry['prefix']}_{name}"))
    chosen = rng.sample(sorted(entry["tools"]), rng.randint(3, min(6, len(entry["tools"]))))
    wordings = asks.get(entry["prefix"]) or {
        name: tool["ask"] for name, tool in entry["tools"].items() if "ask" in tool
    }
    called = rng.choice(sorted(wordings))
    if called not in chosen:
        chosen[rng.randrange(len(chosen))] = called
    tools = [_describe(spell(name), entry["tools"][name]) for name in chosen]
    asked = entry["tools"][called]
    arguments = draw_values({name.rstrip("?"): spec for name, spec in asked["args"].items()}, rng, lang)
    drawn = draw_values(asked["gives"], rng, lang)
    result = {name: arguments.get(name, value) for name, value in drawn.items()}
    call = {"name": spell(called), "arguments": arguments}
    return {
        "service": f"{rng.choice(load_pool('brands', 'en'))} {entry['service']}",
        "tools": tools,
        "tools_json": json.dumps(tools, ensure_ascii=False, indent=rng.choice((None, 2))),
        "call_json": json.dumps(call, ensure_ascii=False),
        "result_json": json.dumps(result, ensure_ascii=False),
        "query": rng.choice(wordings[called]).format(**{name: _say(value) for name, value in arguments.items()}),
    }


def _describe(name: str, tool: Mapping[str, Any]) -> dict[str, object]:
    arguments: Mapping[str, str] = tool["args"]
    return {
        "name": name,
        "description": tool["about"],
        "parameters": {
            "type": "object",
            "properties": {key.rstrip("?"): _schema(spec) for key, spec in arguments.items()},
            "required": [key for key in arguments if not key.endswith("?")],
        },
    }


def _schema(spec: str) -> dict[str, Value | list[str]]:
    kind, _, rest = spec.partition(" ")
    if kind == "one":
        return {"type": "string", "enum": [option.strip() for option in rest.split("|")]}
    if kind == "date":
        return {"type": "string", "format": "date"}
    return {"type": {"int": "integer", "float": "number", "money": "number", "bool": "boolean"}.get(kind, "string")}


def _say(value: Value) -> Value:
    return ("yes" if value else "no") if isinstance(value, bool) else value


def _spell_camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(part.title() for part in others)
