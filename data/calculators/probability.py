"""Exercises of probability, counting and statistics."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from random import Random
from types import MappingProxyType

from stillwatch.data.calculators.calculator import Calculator, Numbers


def _urn(r: Random) -> Numbers:
    a, b = r.randint(3, 9), r.randint(3, 9)
    n = a + b
    return {
        "a": a,
        "b": b,
        "n": n,
        "n1": n - 1,
        "a1": a - 1,
        "answer": Fraction(a * (a - 1), n * (n - 1)),
        "wrong": Fraction(a * a, n * n),
    }


def _bayes(r: Random) -> Numbers:
    p, sens, false = r.choice([1, 2, 4, 5]), r.choice([80, 90, 95, 99]), r.choice([2, 5, 8, 10])
    hit, alarm = p * sens, (100 - p) * false
    return {
        "p": p,
        "q": 100 - p,
        "sens": sens,
        "false": false,
        "hit": hit,
        "alarm": alarm,
        "sum": hit + alarm,
        "answer": 100 * hit / (hit + alarm),
        "wrong": sens,
    }


def _at_least_one(r: Random) -> Numbers:
    p, n = r.choice([5, 10, 15, 20, 25]), r.randint(2, 6)
    none = (1 - p / 100) ** n
    return {"p": p, "n": n, "q": 100 - p, "none": none, "answer": 1 - none, "wrong": p * n / 100}


def _mean_missing(r: Random) -> Numbers:
    n, mean = r.randint(4, 9), r.randint(60, 85)
    new = r.randint(mean + 1, 100)
    return {
        "n": n,
        "mean": mean,
        "m": n + 1,
        "sum": n * mean,
        "new": new,
        "answer": (n * mean + new) / (n + 1),
        "wrong": (mean + new) / 2,
    }


def _spread(r: Random) -> Numbers:
    xs = sorted(r.sample(range(2, 40), 5))
    mean = sum(xs) / 5
    var = sum((x - mean) ** 2 for x in xs) / 5
    return {"xs": ", ".join(map(str, xs)), "mean": mean, "var": var, "answer": math.sqrt(var), "wrong": var}


def _handshakes(r: Random) -> Numbers:
    n = r.randint(6, 40)
    return {"n": n, "n1": n - 1, "twice": n * (n - 1), "answer": n * (n - 1) // 2, "wrong": n * (n - 1)}


def _committee(r: Random) -> Numbers:
    a, b, k, m = r.randint(5, 9), r.randint(4, 8), r.randint(2, 3), r.randint(1, 2)
    x, y = math.comb(a, k), math.comb(b, m)
    return {"a": a, "b": b, "k": k, "m": m, "x": x, "y": y, "answer": x * y, "wrong": x + y}


PROBABILITY: Mapping[str, Calculator] = MappingProxyType(
    {
        "urn": _urn,
        "bayes": _bayes,
        "at_least_one": _at_least_one,
        "mean_missing": _mean_missing,
        "spread": _spread,
        "handshakes": _handshakes,
        "committee": _committee,
    }
)
"""The problem types of this page by name."""
