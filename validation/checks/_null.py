"""Simulated nulls, p-values that count the observed statistic among them, and Holm's correction."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping

import numpy as np

from veribayes.errors import InputError
from veribayes.predictive import Array

REPLICATES = (
    9_999  # (B + 1) .05 is an integer, so the test has its nominal size; error of a p of .05: .002
)
ROUNDING = 1e-10  # relative; statistics closer than that are ties


def generator(seed: int, stream: str, *index: int) -> np.random.Generator:
    """A generator that is a function of (seed, stream, index)."""
    return np.random.default_rng([seed, zlib.crc32(stream.encode()), *index])


def p_value(statistic: float, null: Array) -> float:
    """(1 + number of null statistics at or above the observed) / (1 + B),
    doi:10.2202/1544-6115.1585; `null` is sorted.
    """
    least = statistic - ROUNDING * abs(statistic) if np.isfinite(statistic) else statistic
    as_large = 1 + null.size - np.searchsorted(null, least)
    return float(as_large / (1 + null.size))


def max_statistic(values: Array) -> tuple[float, Array]:
    """Largest of several statistics, each standardised over the relabellings, and p-values
    corrected for the choice.

    Args:
        values: (1 + permutation, statistic), the observed labelling first. Single-step maxT,
            Westfall & Young 1993.

    Raises:
        InputError: a statistic that no relabelling changes.
    """
    scale = values.std(0)
    if (scale == 0).any():
        raise InputError(
            "samples that can be told apart by relabelling", "a statistic without spread"
        )
    z = (values - values.mean(0)) / scale
    null = np.sort(z[1:].max(1))
    own = z[0]
    adjusted = [p_value(float(value), null) for value in own]
    return float(own.max()), np.array(adjusted)


def attainable(level: float, least: Mapping[str, float]) -> None:
    """Assert that every test of a family can be rejected at `level` by Holm, whatever the others
    say.

    A test by B resamples has no p-value below 1 / (B + 1), which Holm multiplies by the number of
    tests.

    Args:
        level: p-values after Holm at most this large reject.
        least: test -> its smallest p-value; 0 for one that is no resampling test.

    Raises:
        InputError: a test that could never reject, with the number of resamples that it needs.
    """
    for name, smallest in least.items():
        if smallest * len(least) > level * (1 + ROUNDING):
            wanted = f"a test '{name}' that can reject at {level:g} by Holm over {len(least)}"
            remedy = f"take at least {resamples(level, len(least))} resamples"
            raise InputError(wanted, f"p-values from {smallest:.3g} on", remedy)


def resamples(level: float, tests: int) -> int:
    """Fewest resamples with which one of so many tests can be rejected at `level` by Holm, whatever
    the others say.
    """
    return math.ceil(tests / level - ROUNDING) - 1


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """p-values adjusted for their number, doi:10.2307/4615733; the smallest is that of the
    intersection.
    """
    order = sorted(p, key=p.__getitem__)
    scaled = [p[name] * (len(p) - i) for i, name in enumerate(order)]
    steps = np.maximum.accumulate(scaled)
    return {name: min(1.0, float(step)) for name, step in zip(order, steps, strict=True)}
