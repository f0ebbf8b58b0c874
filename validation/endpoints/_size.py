"""What an endpoint comes to on one candidate: a size with a tolerance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from veribayes.predictive import Array
from veribayes.validation import decision


@dataclass(frozen=True, eq=False)
class Size:
    """A size with a tolerance.

    Attributes:
        values: one a data set, (dataset,).
        tolerance: largest mean that counts as none.
        unit: of the values.
        reference_error: bound on what the reference's error adds to their mean.
        variants: means of all ways in which it was asked, by name; `values` are those of the
            largest. Its p-value is multiplied by their number (Bonferroni).

    Raises:
        InputError: no data set, NaN, or a tolerance that is not positive.
        ShapeError: more than one value a data set.
    """

    values: Array
    tolerance: float
    unit: str
    reference_error: float = 0.0
    variants: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        decision.require(self.values, self.tolerance, self.reference_error)

    @staticmethod
    def largest(ways: Mapping[str, Array], tolerance: float, unit: str) -> Size:
        """The size by several ways to ask one question, values (dataset,) each."""
        means = {name: float(values.mean()) for name, values in ways.items()}
        widest = max(means, key=means.__getitem__)
        return Size(ways[widest], tolerance, unit, variants=means)

    def p_value(self, seed: int) -> float:
        """Of the null that no mean is beyond the tolerance; not corrected for other endpoints."""
        p = decision.exceeds(
            self.values, tolerance=self.tolerance, reference_error=self.reference_error, seed=seed
        )
        return min(1.0, max(1, len(self.variants)) * p)
