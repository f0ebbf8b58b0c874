"""Kernels for errors of location and spread, in units of the reference's standard deviation,
for every ordered form.
"""

from __future__ import annotations

from collections.abc import Callable

from veribayes.predictive import Array, Predictive
from veribayes.validation.metrics._metric import Kernel

ORDERED = ("normal", "mixture", "bins", "quantiles", "draws")
EXACT = ("normal", "mixture")


def ordered(kernel: Callable[[Predictive, Predictive], Array]) -> dict[tuple[str, str], Kernel]:
    """The kernel for every ordered candidate against an exact density."""
    return {(candidate, reference): kernel for candidate in ORDERED for reference in EXACT}
