"""Which of several predictors is nearest to a candidate, and by how much it leads:
pure functions of divergences.

Nearness is the mean divergence of the predictor from the candidate. Data sets are the only unit of
replication. The order of the predictors is that of their means; an infinite divergence orders
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from veribayes.predictive import Array, Predictive
from veribayes.validation import bootstrap, decision
from veribayes.validation.metrics._metric import Metric

# JS = KL / 4 to third order (Lin 1991, doi:10.1109/18.61115): both are chi-square, by 1/8 and 1/2
JS_SHARE = 4
# nats; of predictors that coincide at a position that one is named which is nearest over all
ROUNDING = 1e-12
SHARE = 0.1  # of two predictors' separation, which the difference between them has to exceed

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Distances:
    """Mean divergences in one metric, by data set and position; the last axis but one of `apart` is
    what plays the truth.

    Attributes:
        metric, unit: of the divergence.
        tolerance: largest mean that counts as near, in this unit.
        near: divergence of each predictor from the candidate, (predictor, dataset, position); NaN
            where nothing was asked.
        apart: mean divergence of the row from the column, (predictor, predictor, position + 1):
            overall last.
        clusters: `near` averaged over positions, (predictor, dataset).
    """

    metric: str
    unit: str
    tolerance: float
    near: Array
    apart: Array
    clusters: Array


@dataclass(frozen=True)
class Yardstick:
    """By what predictors are compared.

    Attributes:
        metric: of a predictor's divergence from the candidate.
        between: of two predictors' divergence from each other, the same quantity.
        unit, tolerance: of the divergence.
    """

    metric: Metric
    between: Metric
    unit: str
    tolerance: float


@dataclass(frozen=True)
class Lead:
    """By how much a rival is farther away than the nearest predictor, and how much tells the two
    apart.
    """

    rival: int
    estimate: float
    low: float
    high: float
    needed: float

    @property
    def beaten(self) -> bool:
        """Whether the rival explains the candidate worse; one that is infinitely far does."""
        return self.low > self.needed


def measure(
    by: Yardstick,
    answer: Predictive,
    laws: Sequence[Predictive],
    compared: Sequence[Predictive],
    outcome: Array,
    progress: Progress,
) -> Distances:
    """How far the predictors are from the candidate, and from each other.

    Args:
        answer: the candidate's predictive, (dataset, position, query).
        laws: the predictors'.
        compared: the same in the form in which they stand in the candidate's place.
        outcome: of that shape; NaN where a query does not apply.
        progress: called with the number of each predictor when it is done.
    """
    scores, apart = [], []
    for number, law in enumerate(laws):
        scores.append(by.metric.score(answer, law, outcome))
        profiles = [_profile(by.between.score(other, law, outcome)) for other in compared]
        apart.append(profiles)
        progress(number)
    near = [queries(each) for each in scores]
    clusters = [decision.cluster_means(each) for each in scores]
    return Distances(
        metric=by.metric.name,
        unit=by.unit,
        tolerance=by.tolerance,
        near=np.stack(near),
        apart=np.array(apart),
        clusters=np.stack(clusters),
    )


def queries(scores: Array) -> Array:
    """Mean over the queries that apply, (dataset, position); NaN where none does."""
    asked = ~np.isnan(scores)
    total = np.where(asked, scores, 0.0).sum(-1)
    mean = total / np.maximum(asked.sum(-1), 1)
    return np.where(asked.any(-1), mean, np.nan)


def _profile(scores: Array) -> Array:
    """Mean over data sets at each position, and of the endpoint: (position + 1,)."""
    overall = decision.cluster_means(scores).mean()
    return np.append(over_datasets(queries(scores)), overall)


def over_datasets(values: Array) -> Array:
    """Mean over the data sets that say something, axis -2; NaN where none does."""
    present = ~np.isnan(values)
    count = present.sum(-2)
    total = np.where(present, values, 0.0).sum(-2)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def ordering(measured: Sequence[Distances], seed: int) -> Distances:
    """What orders the predictors: the first metric, unless it is infinite for some and the others
    are beyond its tolerance.
    """
    first = measured[0]
    last = measured[-1]
    best = nearest(first.clusters.mean(1))
    if first is last or best is None:
        return last
    return last if fit(first, best, seed) == "different" else first


def nearest(means: Array, wanted: int | None = None) -> int | None:
    """The smallest finite mean; of several that coincide the wanted one, or the first. None where
    none is finite.
    """
    finite = np.isfinite(means)
    if not finite.any():
        return None
    smallest = finite & (means <= means[finite].min() + ROUNDING)
    if wanted is not None and smallest[wanted]:
        return wanted
    return int(np.argmax(smallest))


def fit(distances: Distances, best: int, seed: int) -> decision.Verdict:
    """What the distance from the nearest predictor is against the tolerance.

    A name is no warrant for contexts that were not seen; `verify` gives that.
    """
    return decision.decide(
        distances.clusters[best],
        tolerance=distances.tolerance,
        seed=seed,
        worst=0.0,
        fewest=decision.FEWEST_SECONDARY,
    ).verdict


def split(apart: Array, best: int, tolerance: float) -> tuple[list[int], list[int]]:
    """Predictors nearer to the best one than the tolerance, in either direction, and the others."""
    distance = np.minimum(apart[best], apart[:, best])
    same: list[int] = []
    others: list[int] = []
    for rival in range(len(apart)):
        if rival == best:
            continue
        (same if distance[rival] < tolerance else others).append(rival)
    return same, others


def lead(distances: Distances, best: int, rival: int, seed: int) -> Lead:
    """How much farther away the rival is, over all context lengths."""
    needed = lead_needed(distances.apart[..., -1], best, rival, distances.tolerance)
    rival_clusters = distances.clusters[rival]
    if not np.isfinite(rival_clusters).all():
        return Lead(rival, math.inf, math.inf, math.inf, needed)
    limits = bootstrap.difference(rival_clusters, distances.clusters[best], seed=seed)
    return Lead(rival, limits.estimate, limits.low, limits.high, needed)


def lead_needed(apart: Array, best: int, rival: int, tolerance: float) -> float:
    """The lead that tells the best from a rival."""
    for separation in (float(apart[rival, best]), float(apart[best, rival])):
        if math.isfinite(separation):
            return SHARE * separation
    return tolerance
