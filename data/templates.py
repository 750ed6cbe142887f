"""The Jinja2 environment of the families: sandboxed, strict, and without any clock or chance of its own.

Chance comes only from the slots that `stillwatch.data.slots` fills in.
"""

from __future__ import annotations

from functools import cache

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from stillwatch.data.seeds import SEED_FIELDS
from stillwatch.data.slots import SLOT_NAMES


@cache
def get_environment() -> ImmutableSandboxedEnvironment:
    """The one environment; `random` and `lipsum` are taken out, for they draw outside the seed."""
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
    del environment.filters["random"]
    del environment.globals["lipsum"]
    return environment


@cache
def compile_template(source: str) -> Template:
    """Compile a template once.

    Raises:
        jinja2.TemplateSyntaxError: the source is not a template; `find_fault` tells so beforehand.
    """
    return get_environment().from_string(source)


def find_fault(source: str, seed: str | None) -> str | None:
    """What is wrong with a template, with the remedy; None where nothing is.

    Args:
        source: the template's text.
        seed: the seed kind that its family fills slots from, or None.
    """
    environment = get_environment()
    try:
        tree = environment.parse(source)
        compile_template(source)
    except TemplateSyntaxError as error:
        return f"does not compile at line {error.lineno} ({error.message}); mend the Jinja2"
    known = SLOT_NAMES | set(environment.globals) | ({seed} if seed else set())
    unknown = sorted(meta.find_undeclared_variables(tree) - known)
    if unknown:
        return f"slot {unknown[0]} is undefined; use {', '.join(sorted(SLOT_NAMES))} or the family's own seed"
    if seed:
        for node in tree.find_all(nodes.Getattr):
            own = isinstance(node.node, nodes.Name) and node.node.name == seed
            if own and node.attr not in SEED_FIELDS[seed]:
                fields = ", ".join(sorted(SEED_FIELDS[seed]))
                return f"slot {seed}.{node.attr} is undefined; {seed} has {fields}"
    return None
