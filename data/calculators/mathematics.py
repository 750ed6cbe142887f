"""Exercises of pure mathematics and logic: geometry, number theory, calculus, number bases."""

from __future__ import annotations

import math
from collections.abc import Mapping
from random import Random
from types import MappingProxyType

from stillwatch.data.calculators.calculator import Calculator, Numbers


def _triangle(r: Random) -> Numbers:
    k = r.randint(1, 8)
    a, b, c = (k * side for side in r.choice([(3, 4, 5), (5, 12, 13), (8, 15, 17), (7, 24, 25), (20, 21, 29)]))
    return {"a": a, "b": b, "c": c, "aa": a * a, "bb": b * b, "cc": c * c, "answer": c, "wrong": a + b}


def _ring(r: Random) -> Numbers:
    inner, width = r.randint(3, 20), r.randint(1, 6)
    outer = inner + width
    return {
        "r": inner,
        "w": width,
        "R": outer,
        "answer": math.pi * (outer**2 - inner**2),
        "wrong": math.pi * width**2,
    }


def _cone(r: Random) -> Numbers:
    radius, h = r.randint(2, 12), r.randint(3, 20)
    return {
        "r": radius,
        "h": h,
        "base": math.pi * radius**2,
        "answer": math.pi * radius**2 * h / 3,
        "wrong": math.pi * radius**2 * h,
    }


def _remainder(r: Random) -> Numbers:
    a, n, m = r.randint(2, 9), r.randint(20, 90), r.choice([5, 7, 11, 13])
    return {
        "a": a,
        "n": n,
        "m": m,
        "period": m - 1,
        "e": n % (m - 1),
        "answer": pow(a, n, m),
        "wrong": a * n % m,
    }


def _meet_again(r: Random) -> Numbers:
    a, b = r.sample([6, 8, 9, 10, 12, 14, 15, 16, 18, 20, 24], 2)
    return {"a": a, "b": b, "g": math.gcd(a, b), "product": a * b, "answer": math.lcm(a, b), "wrong": a * b}


def _liars(r: Random) -> Numbers:
    a, b, c = r.sample(["Ada", "Bo", "Cleo", "Dag", "Evi", "Finn", "Gus", "Hana"], 3)
    return {"a": a, "b": b, "c": c, "answer": c, "wrong": b}


def _derivative(r: Random) -> Numbers:
    a, n, b, x = r.randint(2, 7), r.randint(2, 4), r.randint(2, 9), r.randint(1, 3)
    return {
        "a": a,
        "n": n,
        "b": b,
        "x": x,
        "an": a * n,
        "n1": n - 1,
        "answer": a * n * x ** (n - 1) + b,
        "wrong": a * x**n + b * x,
    }


def _integral(r: Random) -> Numbers:
    a, b, t = 3 * r.randint(1, 4), 2 * r.randint(1, 6), r.randint(1, 5)
    return {
        "a": a,
        "b": b,
        "t": t,
        "a3": a // 3,
        "b2": b // 2,
        "answer": a // 3 * t**3 + b // 2 * t**2,
        "wrong": a * t**3 + b * t**2,
    }


def _base(r: Random) -> Numbers:
    n = r.randint(40, 250)
    return {"n": n, "hex": f"{n:X}", "answer": f"{n:b}", "wrong": f"{n:b}"[::-1]}


MATHEMATICS: Mapping[str, Calculator] = MappingProxyType(
    {
        "triangle": _triangle,
        "ring": _ring,
        "cone": _cone,
        "remainder": _remainder,
        "meet_again": _meet_again,
        "liars": _liars,
        "derivative": _derivative,
        "integral": _integral,
        "base": _base,
    }
)
"""The problem types of this page by name."""
