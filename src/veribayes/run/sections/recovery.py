"""Bayes recovery: how much of what the prior predictive costs a predictor does not cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from veribayes.predictive import Array
from veribayes.run.comparison import Comparison
from veribayes.run.roles import PRIOR
from veribayes.run.sections.limits import plain_limits
from veribayes.validation import bootstrap, decision


@dataclass(frozen=True)
class Recovery:
    """1 - divergence of a predictor / divergence of the prior predictive, with its 95 % limits;
    None where it is undefined.
    """

    interval: bootstrap.Interval | None

    def entry(self) -> dict[str, Any]:
        """For the result's JSON."""
        return plain_limits(self.interval)


def recovery_of(comparison: Comparison, clusters: Array) -> Recovery:
    """The recovery of whoever has these mean scores by data set, (dataset,)."""
    scores = comparison.scored.scores[PRIOR][comparison.primary.for_others]
    prior = decision.cluster_means(scores)
    return Recovery(bootstrap.recovery(clusters, prior, seed=comparison.seed))
