"""A run that stops early: after every shard a bet against the tolerance, until it is won (test
`e_mean`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from veribayes import registry
from veribayes.models._task import Task
from veribayes.run.endpoint import clusters_of, endpoint, reference_error
from veribayes.run.options import Options
from veribayes.run.scored import Scored
from veribayes.run.shards import Shard
from veribayes.tree.plain import number
from veribayes.validation import decision

ALPHA = 0.025  # one-sided, as for the interval
ENOUGH = float(np.log(1 / ALPHA))  # log wealth at which a sequential run ends


@dataclass(frozen=True)
class Sequential:
    """How a sequential run went: the largest log wealth of its bet."""

    log_wealth: float

    @property
    def stopped(self) -> bool:
        """Whether the bet is won: the candidate is surely different."""
        return self.log_wealth >= ENOUGH

    def entry(self) -> dict[str, Any]:
        """For the result's JSON."""
        wealth = number(self.log_wealth)
        return {"level": ALPHA, "log_wealth": wealth, "stopped": self.stopped}


def until_sure(task: Task, shards: Iterator[Shard], options: Options) -> Iterator[Shard]:
    """All shards; of a sequential run those until a bet against the tolerance is won."""
    seen: list[Scored] = []
    for shard in shards:
        yield shard
        seen.append(shard.scored)
        if options.sequential and log_wealth(task, seen) >= ENOUGH:
            return


def log_wealth(task: Task, shards: Sequence[Scored]) -> float:
    """Largest log wealth so far of a bet that the mean divergence is above the tolerance (test
    `e_mean`); 0: no bet.

    None is possible where a divergence may be negative, the reference may be too wrong, or thirty
    data sets are not there yet.
    """
    primary = endpoint(task, shards[0].form, shards[0].levels)
    error = max(reference_error(shard) for shard in shards)
    clusters = np.concatenate([clusters_of(shard, primary) for shard in shards])
    clusters = np.where(np.abs(clusters) <= error, np.abs(clusters), clusters)  # rounding
    too_few = len(clusters) < decision.FEWEST_DIFFERENT
    too_wrong = error > decision.LARGEST_ERROR * primary.tolerance
    if too_few or clusters.min() < 0 or too_wrong:
        return 0.0
    bet = registry.load("check", "e_mean").run(clusters, tolerance=primary.tolerance + error)
    return float(bet.statistic)
