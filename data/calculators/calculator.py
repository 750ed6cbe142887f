"""What a calculator is: it draws the numbers of one exercise and computes its right and its wrong answer.

Each page beside this one holds the calculators of a field; a new problem type is a function and a line of the table
there, and its texts in `data/material/problems.yaml`.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from random import Random

Number = int | float | Fraction | str
"""A value that a text fills in; text stands for a name, or for digits in another base."""

Numbers = dict[str, Number]
"""The values of an exercise by the name of their slot: always `answer` and `wrong`, the result of the usual slip."""

Calculator = Callable[[Random], Numbers]
"""Draws and computes; the random numbers given are its only chance."""
