"""How plausible given contexts are under the declared model: each beside data sets that the model
draws in its place.

The log density of a context's observations is ranked among those of `REPLICATES` drawn data sets
of its size; inputs, headers and which nodes are observed stay as they are. If the contexts came
from the model, each rank is uniform and independent of the others: how high the ranks are on
average, and how far from the middle they lie, have known laws, of which `NULLS` samples are drawn.
The p-value is exact for any number of contexts, and is at least 1 / (NULLS + 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from veribayes.candidates import Candidate
from veribayes.errors import InputError, ReferenceRefused
from veribayes.models._contexts import Contexts
from veribayes.models._task import Task
from veribayes.predictive import Array, Predictive
from veribayes.tree import Data, IntArray
from veribayes.tree.parts import by_size

EXAMINED = 100  # contexts, the first: their order is that of a hash
REPLICATES = 19  # drawn data sets beside each; the least p-value of one context is 1 / 20
NULLS = 9999
BATCH = 100  # data sets whose density is computed at once
FIRST = 2**20  # number of the first drawn data set in its stream; tolerances use the first of it
IMPLAUSIBLE = 0.01  # p-value from which on a finding says so


@dataclass(frozen=True, eq=False)
class Plausibility:
    """What the contexts look like to the model.

    Attributes:
        p_value: of all contexts together, two-sided.
        lower: share of the contexts whose density is below all that were drawn beside it; 1 /
            (REPLICATES + 1) is expected.
        mean_rank: mean of the ranks as shares, .5 expected; below, contexts are less probable than
            drawn ones, above they are more so.
        log_evidence: of each context, nats, (context,).
        ranks: number of drawn data sets with a smaller one, (context,).
        contexts: how many were examined.
    """

    p_value: float
    lower: float
    mean_rank: float
    log_evidence: Array
    ranks: IntArray
    contexts: int

    def entry(self, given: Contexts) -> dict[str, Any]:
        """For the result's JSON."""
        least = np.lexsort((self.log_evidence, self.ranks))[:3]
        rows = [self._row(row, given) for row in least.tolist()]
        return {
            "p_value": self.p_value,
            "floor": 1 / (NULLS + 1),
            "examined": self.contexts,
            "replicates": REPLICATES,
            "mean_rank": self.mean_rank,
            "below_all": self.lower,
            "mean_log_evidence": float(self.log_evidence.mean()),
            "least": rows,
        }

    def _row(self, row: int, given: Contexts) -> dict[str, Any]:
        return {
            "key": given.keys[row],
            "context": int(given.sizes[row]),
            "log_evidence": float(self.log_evidence[row]),
            "p_value": (int(self.ranks[row]) + 1) / (REPLICATES + 1),
        }


def plausibility_of(task: Task, truth: Candidate, seed: int) -> Plausibility | None:
    """The plausibility of a task's own contexts; None where the family does not say how probable
    observations are, or draws none of such a size.
    """
    if task.contexts is None:
        return None
    data = task.contexts.whole.data
    some = data.select(np.arange(min(EXAMINED, len(data.index))))
    log_evidence, drawn = np.empty(len(some.index)), np.empty((len(some.index), REPLICATES))
    try:
        for rows, part in by_size(some):
            own = _log_evidence(task, truth, part, seed)
            if own is None:
                return None
            log_evidence[rows] = own
            drawn[rows] = _replicates(task, truth, part, seed)
    except (InputError, ReferenceRefused):
        return None
    ranks = ranks_of(log_evidence, drawn, seed)
    p_value = uniform_p_value(ranks, REPLICATES, seed)
    return Plausibility(
        p_value,
        float((ranks == 0).mean()),
        float((ranks + 0.5).mean() / (REPLICATES + 1)),
        log_evidence,
        ranks,
        len(ranks),
    )


def ranks_of(own: Array, drawn: Array, seed: int) -> IntArray:
    """How many of the drawn values are smaller, (context,); equal ones are ordered at random.

    Args:
        own: (context,).
        drawn: (context, replicate).
    """
    rng = np.random.default_rng([seed, 1])
    smaller = (drawn < own[:, None]).sum(1)
    equal = (drawn == own[:, None]).sum(1)
    return np.asarray(smaller + rng.integers(0, equal + 1))


def uniform_p_value(ranks: IntArray, replicates: int, seed: int) -> float:
    """p-value of the null that ranks are independent and uniform on 0, …, `replicates`; against
    ranks that lie low or high, or near to or far from the middle.
    """
    rng = np.random.default_rng([seed, 2])
    null = rng.integers(0, replicates + 1, (NULLS, len(ranks)))
    seen = _extreme(ranks[None], replicates)[0]
    as_extreme = int((_extreme(null, replicates) >= seen - 1e-12).sum())
    return (1 + as_extreme) / (NULLS + 1)


def _extreme(ranks: IntArray, replicates: int) -> Array:
    """The larger of two standardised means, (sample,)."""
    places = (np.arange(replicates + 1) + 0.5) / (replicates + 1)
    largest = np.zeros(len(ranks))
    for score in (places - 0.5, np.abs(places - 0.5)):
        centred = score - score.mean()
        scale = centred.std() / np.sqrt(ranks.shape[1])
        largest = np.maximum(largest, np.abs(centred[ranks].mean(1)) / scale)
    return largest


def _replicates(task: Task, truth: Candidate, data: Data, seed: int) -> Array:
    """Log densities of what the model draws in the place of each data set, (dataset, replicate)."""
    repeated = data.select(np.repeat(np.arange(len(data.index)), REPLICATES))
    turns = np.tile(np.arange(REPLICATES), len(data.index))
    numbers = FIRST + repeated.index * REPLICATES + turns
    drawn = task.model.redrawn(repeated, task.design, seed, numbers)
    parts = []
    for start in range(0, len(numbers), BATCH):
        part = drawn.select(slice(start, start + BATCH))
        values = _log_evidence(task, truth, part, seed)
        parts.append(np.zeros(0) if values is None else values)
    return np.concatenate(parts).reshape(-1, REPLICATES)


def _log_evidence(task: Task, truth: Candidate, data: Data, seed: int) -> Array | None:
    def infer(asked: Data) -> Predictive:
        branch = truth.infer(task, asked, seed)
        branch.certificate.require(truth.name)
        return branch.predictive

    return task.model.log_evidence(data, infer)
