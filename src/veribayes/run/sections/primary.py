"""The decision about the primary endpoint, and what it rests on where the candidate answers with
draws.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from veribayes.predictive import Array
from veribayes.run.comparison import Comparison
from veribayes.run.endpoint import (
    HELD,
    Endpoint,
    clusters_of,
    prior_cost,
    reference_error,
    unheld,
    zero_mass,
)
from veribayes.tree.plain import number
from veribayes.validation import decision, draws
from veribayes.validation.decision import Decision
from veribayes.validation.draws import Drawn


@dataclass(frozen=True, eq=False)
class Primary:
    """The primary endpoint of a run, decided.

    Attributes:
        endpoint: metric, unit and tolerance.
        clusters: the candidate's mean score by data set, (dataset,).
        decided: what follows from them.
        reference_error: what the reference's error may contribute to their mean, in the unit.
        drawn: what is known about the candidate's draws; None for every other form.
    """

    endpoint: Endpoint
    clusters: Array
    decided: Decision
    reference_error: float
    drawn: Drawn | None

    @property
    def is_finite(self) -> bool:
        """Whether no data set costs infinitely much."""
        return bool(np.isfinite(self.clusters).all())

    @property
    def is_rounding(self) -> bool:
        """Whether no data set costs more than the reference may be wrong by: that it is larger
        somewhere means nothing.
        """
        return self.is_finite and bool(np.abs(self.clusters).max() <= self.reference_error)

    def entry(self) -> dict[str, Any]:
        """For the result's JSON."""
        decided = self.decided
        return {
            "metric": self.endpoint.metric,
            "unit": self.endpoint.unit,
            "verdict": decided.verdict,
            **decided.plain(),
            "upper": number(decided.upper),
            "minimum_detectable": number(decided.minimum_detectable),
            "tolerance": self.endpoint.tolerance,
            "reference_error": self.reference_error,
            "datasets_needed": decided.datasets_needed,
            "infinite_share": decided.infinite_share,
        }


def primary_of(comparison: Comparison) -> Primary:
    """Decide the primary endpoint of a comparison."""
    scored, endpoint = comparison.scored, comparison.primary
    clusters = clusters_of(scored, endpoint)
    error = reference_error(scored)
    worst = prior_cost(scored, endpoint)
    decided = decision.decide(
        clusters,
        tolerance=endpoint.tolerance,
        reference_error=error,
        seed=comparison.seed,
        zero_mass=zero_mass(scored),
        worst=worst,
        unheld=unheld(scored) if endpoint.metric in HELD else 0.0,
    )
    if comparison.sequential is not None and comparison.sequential.stopped:
        decided = replace(decided, verdict="different", datasets_needed=None)
    drawn = _drawn(comparison)
    if drawn is not None:
        drawn, decided = drawn.limited(drawn.withheld(decided), clusters, worst)
    return Primary(endpoint, clusters, decided, error, drawn)


def _drawn(comparison: Comparison) -> Drawn | None:
    scored, shard = comparison.scored, comparison.task.design.shard
    return draws.drawn(comparison.roles.scored, scored.of_candidate, scored.form, shard)
