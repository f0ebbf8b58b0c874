"""Who else would pass: other predictors under the same endpoint and tolerance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from veribayes.run.comparison import Comparison
from veribayes.run.endpoint import prior_cost
from veribayes.run.sections.primary import Primary
from veribayes.run.sections.recovery import Recovery, recovery_of
from veribayes.validation import decision
from veribayes.validation.decision import Decision


@dataclass(frozen=True)
class Rival:
    """How another predictor fares."""

    decided: Decision
    recovery: Recovery

    @property
    def passes(self) -> bool:
        """Whether it is equivalent: the tolerance cannot tell the candidate from it."""
        return self.decided.verdict == "equivalent"

    def entry(self) -> dict[str, Any]:
        """For the result's JSON."""
        return {
            "kl": self.decided.plain(),
            "recovery": self.recovery.entry(),
            "verdict": self.decided.verdict,
            "infinite_share": self.decided.infinite_share,
            "passes": self.passes,
        }


def rivals_of(comparison: Comparison, primary: Primary) -> dict[str, Rival]:
    """The rivals of a comparison by name."""
    return {name: _rival(comparison, primary, name) for name in comparison.roles.rivals}


def _rival(comparison: Comparison, primary: Primary, name: str) -> Rival:
    endpoint = comparison.primary
    scores = comparison.scored.scores[name][endpoint.for_others]
    clusters = decision.cluster_means(scores)
    decided = decision.decide(
        clusters,
        tolerance=endpoint.tolerance,
        reference_error=primary.reference_error,
        seed=comparison.seed,
        worst=prior_cost(comparison.scored, endpoint),
    )
    return Rival(decided, recovery_of(comparison, clusters))
