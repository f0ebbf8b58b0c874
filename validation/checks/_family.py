"""Several tests on one candidate: Holm's correction over the family,
and the multiplicity in words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from veribayes.errors import InputError
from veribayes.validation.checks._null import attainable, holm
from veribayes.validation.checks._test import Outcome


@dataclass(frozen=True)
class Family:
    """Outcomes by name and their p-values adjusted for the number of tests, doi:10.2307/4615733.

    Each p-value already accounts for the parts of its own test, so parts are not counted again. At
    any level, the chance that a true null is among those rejected is at most that level, whatever
    the dependence.
    """

    outcomes: Mapping[str, Outcome]
    adjusted: Mapping[str, float]

    def rejected(self, level: float = 0.05) -> list[str]:
        """Names of the tests whose adjusted p-value is at most `level`.

        Raises:
            InputError: a test that could not have been rejected at this level, whatever its data.
        """
        least = {name: outcome.least for name, outcome in self.outcomes.items()}
        attainable(level, least)
        return [name for name, p in self.adjusted.items() if p <= level]

    def __str__(self) -> str:
        """A line for each test and one that states the multiplicity."""
        parts = sum(max(1, len(o.components)) for o in self.outcomes.values())
        lines = []
        for name, outcome in self.outcomes.items():
            plain = f"{name:24s} n = {outcome.n:<6d} p = {outcome.p_value:<9.3g}"
            lines.append(f"{plain} Holm {self.adjusted[name]:.3g}")
        count = len(self.outcomes)
        tests = f"{count} test{'s' * (count > 1)} of {parts} parts"
        lines.append(f"{tests}; Holm over tests, parts within their test")
        return "\n".join(lines)


def family(outcomes: Mapping[str, Outcome]) -> Family:
    """Correct a family of tests for their number.

    Raises:
        InputError: no outcome.
    """
    if not outcomes:
        raise InputError("at least one outcome", "none")
    p_values = {name: outcome.p_value for name, outcome in outcomes.items()}
    return Family(outcomes, holm(p_values))
