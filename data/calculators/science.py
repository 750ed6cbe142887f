"""Exercises of physics and chemistry."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from types import MappingProxyType

from stillwatch.data.calculators.calculator import Calculator, Numbers


def _mixture(r: Random) -> Numbers:
    a, b = r.randint(5, 30), r.randint(35, 90)
    x, y = r.randint(2, 9) * 100, r.randint(2, 9) * 100
    salt = (a * x + b * y) / 100
    return {
        "a": a,
        "b": b,
        "x": x,
        "y": y,
        "salt": salt,
        "total": x + y,
        "answer": 100 * salt / (x + y),
        "wrong": (a + b) / 2,
    }


def _dilution(r: Random) -> Numbers:
    c1, v2 = r.choice([2, 3, 4, 6, 12]), r.choice([100, 250, 500, 1000])
    c2 = r.choice([0.1, 0.2, 0.25, 0.5, 1.0])
    v1 = c2 * v2 / c1
    return {"c1": c1, "c2": c2, "v2": v2, "answer": v1, "wrong": c1 * v2 / c2 / 1000, "water": v2 - v1}


def _gas(r: Random) -> Numbers:
    v1, v2, p = r.randint(2, 8), r.randint(3, 12), r.randint(1, 6)
    return {"v1": v1, "v2": v2, "p": p, "total": v1 + v2, "answer": p * v1 / (v1 + v2), "wrong": p * v2 / v1}


def _free_fall(r: Random) -> Numbers:
    t = r.randint(2, 7)
    return {"t": t, "v": 9.8 * t, "answer": 4.9 * t * t, "wrong": 9.8 * t * t}


def _braking(r: Random) -> Numbers:
    v, a = r.randint(10, 40), r.choice([2, 4, 5, 8])
    return {"v": v, "a": a, "vv": v * v, "answer": v * v / (2 * a), "wrong": v * v / a}


def _circuit(r: Random) -> Numbers:
    a, b, u = r.choice([4, 6, 10, 12, 20]), r.choice([5, 8, 15, 30]), r.choice([9, 12, 24, 48])
    p = a * b / (a + b)
    return {"a": a, "b": b, "u": u, "p": p, "answer": u / p, "wrong": u / (a + b)}


def _lens(r: Random) -> Numbers:
    f = r.choice([5, 8, 10, 12, 15, 20])
    d = f * r.choice([2, 3, 4, 5, 6])
    return {"f": f, "d": d, "gap": d - f, "fd": f * d, "answer": f * d / (d - f), "wrong": f * d / (d + f)}


def _heat(r: Random) -> Numbers:
    m1, m2 = r.randint(1, 9) * 100, r.randint(1, 9) * 100
    t1, t2 = r.randint(5, 25), r.randint(50, 95)
    mean = (m1 * t1 + m2 * t2) / (m1 + m2)
    return {
        "m1": m1,
        "m2": m2,
        "t1": t1,
        "t2": t2,
        "sum": m1 * t1 + m2 * t2,
        "m": m1 + m2,
        "answer": mean,
        "wrong": (t1 + t2) / 2,
    }


def _half_life(r: Random) -> Numbers:
    half, n = r.choice([3, 5, 6, 8, 12, 28]), r.randint(2, 6)
    m = r.choice([64, 128, 320, 640, 960])
    return {"half": half, "n": n, "t": half * n, "m": m, "answer": m / 2**n, "wrong": m / (2 * n)}


def _moles(r: Random) -> Numbers:
    name, mass = r.choice([("NaCl", 58.44), ("CaCO3", 100.09), ("H2O", 18.02), ("CO2", 44.01), ("NaOH", 40.0)])
    n = r.randint(2, 30) / 4
    return {
        "name": name,
        "mass": mass,
        "g": round(n * mass, 2),
        "answer": round(n * mass, 2) / mass,
        "wrong": round(n * mass, 2) * mass,
    }


SCIENCE: Mapping[str, Calculator] = MappingProxyType(
    {
        "mixture": _mixture,
        "dilution": _dilution,
        "gas": _gas,
        "free_fall": _free_fall,
        "braking": _braking,
        "circuit": _circuit,
        "lens": _lens,
        "heat": _heat,
        "half_life": _half_life,
        "moles": _moles,
    }
)
"""The problem types of this page by name."""
