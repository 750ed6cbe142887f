"""Makes synthetic accessibility trees from `data/material/screens/`; the roles are English, the labels native."""

from __future__ import annotations

from random import Random

from stillwatch.data.material import choose_language, load_material
from stillwatch.data.values import draw_values

_STYLES = (
    '[{number}] {role} "{label}"',
    '  [{number}] {role} "{label}" @({spot})',
    '<{role} id="{number}" text="{label}"/>',
    "{number}\t{role}\t{label}\t{spot}",
)


def make_screen(rng: Random, lang: str) -> dict[str, object]:
    """One screen with a goal, what was done and the next action.

    Args:
        rng: the only chance used.
        lang: ISO 639-1 code; English where there are no screens.
    """
    material = load_material("screens")
    lang = choose_language(material, lang)
    entry = rng.choice(material[lang])
    facts = draw_values(entry["facts"], rng, lang)
    goal = rng.choice(entry["goals"])
    start = rng.randint(1, 60)
    numbers = {key: start + place for place, key in enumerate(entry["elements"])}
    style = rng.choice(_STYLES)
    lines = [f"{entry['app']} ({rng.choice(('window', 'tab', 'activity'))})"]
    for key, element in entry["elements"].items():
        role, _, label = element.format(**facts).partition(" ")
        spot = f"{rng.randint(8, 1200)},{rng.randint(8, 780)}"
        lines.append(style.format(number=numbers[key], role=role, label=label.strip(), spot=spot))
    action, target, *text = goal["next"]
    return {
        "description": "\n".join(lines),
        "goal": goal["goal"].format(**facts),
        "next_action": " ".join([action, f"[{numbers[target]}]", *(part.format(**facts) for part in text)]),
        "history": "\n".join(step.format(**facts) for step in goal["history"]),
    }
