"""Where a candidate goes wrong: its mean divergence by context size and by query,
and its worst data sets.

Limits hold simultaneously over all context sizes, or over all queries, and whole data sets are
resampled (`bootstrap.band`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from veribayes.errors import ShapeError
from veribayes.predictive import Array
from veribayes.tree import IntArray
from veribayes.validation import bootstrap, stability
from veribayes.validation.clusters import cluster_means, weighted, weights_of


@dataclass(frozen=True)
class Profile:
    """Mean score by context size or by query, with simultaneous 95 % limits.

    Attributes:
        key: context sizes or query labels, (key,), increasing.
        estimate, low, high: (key,); limits are NaN behind fewer than ten data sets, and where the
            sample does not support them.
        share: part of the primary endpoint that comes from here, (key,); sums to 1. NaN when the
            endpoint is infinite or zero.
        clusters: data sets behind each, (key,).
        reasons: why a limit is not shown, (key,); None where both are, or where the estimate is
            infinite.
    """

    key: IntArray
    estimate: Array
    low: Array
    high: Array
    share: Array
    clusters: IntArray
    reasons: tuple[str | None, ...]


@dataclass(frozen=True)
class Worst:
    """A bad data set: its row, its mean score, and its worst position and query with the score
    there.
    """

    dataset: int
    mean: float
    position: int
    query: int
    score: float


@dataclass(frozen=True)
class Where:
    """Where the candidate is worst."""

    by_context: Profile
    by_query: Profile
    worst: tuple[Worst, ...]


def curve(scores: Array, context: IntArray, *, seed: int = 0) -> Profile:
    """Mean score by context size with a simultaneous band; whole data sets are resampled.

    Args:
        scores: (dataset, position, query), NaN where a query does not apply.
        context: number of observations, (dataset, position); it may differ between data sets.
    """
    if scores.ndim != 3 or context.shape != scores.shape[:2]:
        raise ShapeError(
            "scores (dataset, position, query) and context (dataset, position)",
            f"{scores.shape} and {context.shape}",
        )
    sizes = np.broadcast_to(context[..., None], scores.shape)
    return _profile(scores, sizes, seed)


def where(
    scores: Array,
    context: IntArray,
    *,
    label: IntArray | None = None,
    worst: int = 8,
    seed: int = 0,
) -> Where:
    """Mean score by context and by query with simultaneous limits and shares, and the worst data
    sets.

    Args:
        scores, context: as in `curve`.
        label: what a query asks for, (query,), e.g. its target; queries with one label are taken
            together. Default: its number.
    """
    labels = np.arange(scores.shape[-1]) if label is None else label
    by_query = _profile(scores, np.broadcast_to(labels, scores.shape), seed)
    by_context = curve(scores, context, seed=seed)
    return Where(by_context, by_query, _worst(scores, worst))


def _profile(scores: Array, group: npt.NDArray[np.int64], seed: int) -> Profile:
    weights = weights_of(scores)
    parts = weighted(scores, weights)
    key = np.unique(group[weights > 0])
    values = np.full((len(scores), key.size), np.nan)
    total = parts.sum()
    share = np.full(key.size, np.nan)
    for j, name in enumerate(key):
        chosen = (group == name) & (weights > 0)
        has = chosen.any((1, 2))
        here = np.where(chosen, parts, 0.0).sum((1, 2))
        weight = np.where(chosen, weights, 0.0).sum((1, 2))
        values[has, j] = here[has] / weight[has]
        divided = math.isfinite(total) and total != 0
        share[j] = here.sum() / total if divided else np.nan
    estimate, low, high = bootstrap.band(values, seed=seed)
    low, high = stability.shown(estimate, low, high, values)
    columns = zip(values.T, low, high, strict=True)
    reasons = tuple(_profile_reason(column, *limits) for column, *limits in columns)
    datasets = (~np.isnan(values)).sum(0)
    return Profile(key, estimate, low, high, share, datasets, reasons)


def _profile_reason(values: Array, low: float, high: float) -> str | None:
    values = values[~np.isnan(values)]
    if not np.isfinite(values).all():
        return None
    if values.size < bootstrap.FEWEST:
        return f"fewer than {bootstrap.FEWEST} data sets"
    return stability.reason(values, not np.isnan(low), not np.isnan(high))


def _worst(scores: Array, count: int) -> tuple[Worst, ...]:
    means = cluster_means(scores)
    ranked = np.where(np.isnan(means), -np.inf, means)
    order = np.argsort(ranked, kind="stable")[::-1]
    worst = [int(i) for i in order[:count] if not np.isnan(means[i])]
    return tuple(_worst_of(i, float(means[i]), scores[i]) for i in worst)


def _worst_of(dataset: int, mean: float, scores: Array) -> Worst:
    position, query = divmod(int(np.nanargmax(scores)), scores.shape[1])
    return Worst(dataset, mean, position, query, float(scores[position, query]))
