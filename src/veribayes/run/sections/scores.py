"""Every metric of the candidate, as a mean with its interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from veribayes import registry
from veribayes.run.comparison import Comparison
from veribayes.run.sections.limits import plain_limits
from veribayes.validation import bootstrap, decision, independence
from veribayes.validation.summaries import INGREDIENTS

# no divergence: the mean says nothing, or stands as the reference's error beside the endpoint
LEFT_OUT = (*INGREDIENTS, *independence.TWO, *independence.ONE, "squared_error_remainder")


@dataclass(frozen=True)
class MeanScore:
    """One metric.

    Attributes:
        interval: of its mean, clustered by data set; None where a value is infinite.
        infinite_share: of the data sets.
    """

    interval: bootstrap.Interval | None
    unit: str
    infinite_share: float

    def entry(self) -> dict[str, Any]:
        """For the result's JSON."""
        limits = plain_limits(self.interval)
        return {**limits, "unit": self.unit, "infinite_share": self.infinite_share}


def mean_scores(comparison: Comparison) -> dict[str, MeanScore]:
    """The metrics of a comparison's candidate by name."""
    means = {}
    for name, values in comparison.scores.items():
        if name in LEFT_OUT:
            continue
        clusters = decision.cluster_means(values)
        infinite = float(np.isinf(clusters).mean())
        interval = None if infinite else bootstrap.interval(clusters, seed=comparison.seed)
        means[name] = MeanScore(interval, _unit(name), infinite)
    return means


def _unit(name: str) -> str:
    """Of a metric; what a Monte Carlo correction leaves has the unit of its metric."""
    metric = name.removesuffix("_raw").removesuffix("_remainder")
    known = metric in registry.names("metric")
    return str(registry.load("metric", metric).unit) if known else "nats"
