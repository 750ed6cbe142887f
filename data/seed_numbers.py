"""The arithmetic of the exercises: a calculator a type, from random numbers to right and wrong answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from random import Random
from types import MappingProxyType

Number = int | float | Fraction | str
Numbers = dict[str, Number]


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


CALCULATORS: Mapping[str, Callable[[Random], Numbers]] = MappingProxyType(
    {
        name[1:]: value
        for name, value in list(globals().items())
        if name.startswith("_") and not name.startswith("__") and callable(value)
    }
)
"""The problem types by name."""
