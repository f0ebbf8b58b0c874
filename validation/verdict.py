"""What the primary endpoint says: a verdict with its interval,
and what a reader must know of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["equivalent", "different", "undecided"]


@dataclass(frozen=True)
class Decision:
    """What the primary endpoint says.

    Attributes:
        verdict: equivalent, different or undecided.
        estimate, low, high: mean over data sets with its 95 % limits; None where it is infinite
            (limits also for one data set), and for a limit that the sample does not support.
        reason: why it does not; None where it supports both.
        upper: the limit with its allowances for what was not seen; what equivalence is judged by,
            whatever the sample supports.
        tolerance: largest mean that counts as equivalent, in the metric's unit.
        minimum_detectable: 2.8 standard errors.
        datasets_needed: how many would settle it with probability 80 % if mean and spread stay as
            they are; None if it is settled, or if no number would (a finding says so).
        clusters: data sets.
        infinite_share: share of data sets with an infinite divergence.
        findings: what a reader must know, each `code: sentence`.
        statements: what this verdict does not exclude.
    """

    verdict: Verdict
    estimate: float | None
    low: float | None
    high: float | None
    upper: float | None
    tolerance: float
    minimum_detectable: float | None
    datasets_needed: int | None
    clusters: int
    infinite_share: float = 0.0
    findings: tuple[str, ...] = ()
    statements: tuple[str, ...] = ()
    reason: str | None = None

    def plain(self) -> dict[str, Any]:
        """Estimate, low and high as JSON, with the `reason` where a limit is not shown."""
        limits = {"estimate": self.estimate, "low": self.low, "high": self.high}
        return limits if self.reason is None else {**limits, "reason": self.reason}
