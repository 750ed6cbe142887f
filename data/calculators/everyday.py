"""Exercises of everyday life: travel, work, money, ages and coins."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from random import Random
from types import MappingProxyType

from stillwatch.data.calculators.calculator import Calculator, Numbers


def _meeting(r: Random) -> Numbers:
    a, b, h = r.randint(40, 90), r.randint(40, 90), r.randint(2, 6)
    return {"a": a, "b": b, "d": (a + b) * h, "s": a + b, "answer": h, "wrong": (a + b) * h / ((a + b) / 2)}


def _round_trip(r: Random) -> Numbers:
    a, b = r.sample([20, 30, 40, 50, 60, 80, 90, 100], 2)
    d = r.choice([60, 120, 180, 240])
    t = Fraction(d, a) + Fraction(d, b)
    return {
        "a": a,
        "b": b,
        "d": d,
        "t1": d / a,
        "t2": d / b,
        "t": float(t),
        "answer": float(2 * d / t),
        "wrong": (a + b) / 2,
    }


def _two_pipes(r: Random) -> Numbers:
    a, b = r.choice([(20, 30), (12, 24), (30, 60), (15, 30), (40, 60), (10, 15), (42, 56), (70, 105), (36, 45)])
    return {
        "a": a,
        "b": b,
        "rate": Fraction(1, a) + Fraction(1, b),
        "answer": float(Fraction(a * b, a + b)),
        "wrong": (a + b) / 2,
    }


def _compound(r: Random) -> Numbers:
    c, p, n = r.randint(2, 40) * 500, r.choice([2, 3, 4, 5, 6, 8]), r.randint(2, 6)
    return {
        "c": c,
        "p": p,
        "n": n,
        "factor": 1 + p / 100,
        "answer": c * (1 + p / 100) ** n,
        "wrong": c * (1 + p * n / 100),
    }


def _discount(r: Random) -> Numbers:
    c, a, b = r.randint(4, 60) * 10, r.choice([10, 15, 20, 25, 30]), r.choice([5, 10, 20])
    first = c * (100 - a) / 100
    return {
        "c": c,
        "a": a,
        "b": b,
        "first": first,
        "answer": first * (100 - b) / 100,
        "wrong": c * (100 - a - b) / 100,
    }


def _break_even(r: Random) -> Numbers:
    price, cost = r.randint(20, 60), r.randint(5, 18)
    n = r.randint(40, 900)
    return {
        "price": price,
        "cost": cost,
        "fixed": n * (price - cost),
        "margin": price - cost,
        "answer": n,
        "wrong": math.ceil(n * (price - cost) / price),
    }


def _shifts(r: Random) -> Numbers:
    n, h, days = r.randint(3, 12), r.randint(5, 9), r.randint(3, 10)
    fewer = r.randint(1, n - 2)
    work = n * h * days
    return {
        "n": n,
        "h": h,
        "days": days,
        "fewer": fewer,
        "m": n - fewer,
        "work": work,
        "answer": work / ((n - fewer) * h),
        "wrong": days * (n - fewer) / n,
    }


def _fuel(r: Random) -> Numbers:
    mpg, miles = r.randint(25, 55), r.randint(80, 400)
    gallons = miles / mpg
    return {
        "mpg": mpg,
        "miles": miles,
        "gallons": gallons,
        "answer": gallons * 4.546,
        "wrong": gallons / 4.546,
    }


def _ages(r: Random) -> Numbers:
    x, k = r.randint(4, 14), r.randint(3, 5)
    n = r.randint(2, 12)
    return {
        "k": k,
        "n": n,
        "sum": x + k * x + 2 * n,
        "k1": k + 1,
        "rest": x + k * x,
        "answer": x,
        "wrong": (x + k * x + 2 * n) / (k + 1),
    }


def _coins(r: Random) -> Numbers:
    a, b = r.randint(4, 30), r.randint(4, 30)
    total = 2 * a + 5 * b
    return {
        "n": a + b,
        "total": total,
        "low": 2 * (a + b),
        "rest": total - 2 * (a + b),
        "answer": b,
        "wrong": total / 7,
    }


EVERYDAY: Mapping[str, Calculator] = MappingProxyType(
    {
        "meeting": _meeting,
        "round_trip": _round_trip,
        "two_pipes": _two_pipes,
        "compound": _compound,
        "discount": _discount,
        "break_even": _break_even,
        "shifts": _shifts,
        "fuel": _fuel,
        "ages": _ages,
        "coins": _coins,
    }
)
"""The problem types of this page by name."""
