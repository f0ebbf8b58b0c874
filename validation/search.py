"""Where a divergence concentrates: groups of predictions in which it is larger than elsewhere,
with the search paid for.

A group is any set of predictions: a context size, a variable, an evidence pattern, a region of
inputs. For each the mean inside is compared with the mean outside, on the log scale where both are
positive. All groups share their resamples of whole data sets, and the studentised statistic of a
group is compared with the largest over all groups (maxT, one-sided): a p-value of .05 is the chance
that anything at all is found where the divergence is the same everywhere. Groups may overlap; those
with fewer than twenty data sets inside or outside are not searched. Westfall & Young 1993, ISBN
978-0-471-55761-6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from veribayes.errors import ShapeError
from veribayes.predictive import Array
from veribayes.validation import resampling

FEWEST = 20  # data sets that say something inside a group, and outside
GROUPS = 16  # searched at once: 1,999 x 224 sums

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Found:
    """A group in comparison with everything outside it.

    Attributes:
        name: of the group.
        ratio: mean inside over mean outside; NaN where one of them is not positive.
        low: simultaneous 95 % lower limit of the ratio.
        weight, share: part of the predictions inside, and part of the divergence.
        p_value: adjusted for every group that was searched.
        datasets: data sets with a prediction inside.
    """

    name: str
    ratio: float
    low: float
    weight: float
    share: float
    p_value: float
    datasets: int


def concentration(scores: Array, groups: Mapping[str, Mask], *, seed: int = 0) -> tuple[Found, ...]:
    """Every group that can be searched, the most significant first.

    Args:
        scores: finite, (dataset, position, query); NaN where a query does not apply.
        groups: name -> which predictions belong to it, of the shape of the scores.
    """
    inside = _searchable(scores, groups)
    if not inside or not np.nan_to_num(scores).any():  # nothing, or nothing that could concentrate
        return ()
    names = list(inside)
    batches = []
    for start in range(0, len(names), GROUPS):
        masks = [inside[name] for name in names[start : start + GROUPS]]
        batches.append(_batch(scores, masks, seed))
    columns = [np.concatenate(parts, axis=-1) for parts in zip(*batches, strict=True)]
    ratio, error, t, replicates, weight, share = columns
    largest = np.sort(replicates.max(-1))
    as_large = largest.size - np.searchsorted(largest, t)
    p = (1 + as_large) / (1 + largest.size)
    rank = round((largest.size + 1) * resampling.LEVEL) - 1
    low = ratio * np.exp(-largest[rank] * error)
    order = np.argsort(-t, kind="stable")
    found = []
    for i in order:
        group = Found(
            name=names[i],
            ratio=float(ratio[i]),
            low=float(low[i]),
            weight=float(weight[i]),
            share=float(share[i]),
            p_value=float(p[i]),
            datasets=_datasets(inside[names[i]]),
        )
        found.append(group)
    return tuple(found)


def _searchable(scores: Array, groups: Mapping[str, Mask]) -> dict[str, Mask]:
    """Which scores lie inside each group, for those with enough data sets inside and outside."""
    applies = ~np.isnan(scores)
    inside = {}
    for name, mask in groups.items():
        if mask.shape != scores.shape:
            raise ShapeError(f"groups of the scores' shape {scores.shape}", "others")
        members = mask & applies
        others = applies & ~members
        if min(_datasets(members), _datasets(others)) >= FEWEST:
            inside[name] = members
    return inside


def _datasets(mask: Mask) -> int:
    return int(mask.any((1, 2)).sum())


def _batch(scores: Array, masks: list[Mask], seed: int) -> tuple[Array, ...]:
    """Ratio, standard error, statistic, its replicates, weight and share of each group."""
    terms = np.stack([_terms(scores, mask) for mask in masks], 1)  # (dataset, group, 4)
    n, groups, width = terms.shape
    upper = np.triu_indices(width)
    products = terms[..., upper[0]] * terms[..., upper[1]]
    columns = np.concatenate([terms, products], -1).reshape(n, -1)
    sums = resampling.resampled(columns, seed)
    resampled = sums.reshape(-1, groups, width + upper[0].size)
    observed = columns.sum(0).reshape(1, groups, -1)
    log = _positive(observed)[0] & _positive(resampled).all(0)
    effect, error = _effect(observed, log, upper)
    effects, errors = _effect(resampled, log, upper)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = effect[0] / error[0]
        replicates = (effects - effect) / errors
    logs = np.where(log, effect[0], 0.0)
    ratio = np.where(log, np.exp(logs), np.nan)
    score, weight, score_outside, weight_outside = observed[0, :, :4].T
    statistics = np.nan_to_num(t, nan=0.0)
    null = np.nan_to_num(replicates, nan=0.0, posinf=0.0)
    weights = weight / (weight + weight_outside)
    shares = score / (score + score_outside)
    return ratio, error[0], statistics, null, weights, shares


def _terms(scores: Array, mask: Mask) -> Array:
    """Sum and number of the scores inside, and outside, of each data set, (dataset, 4)."""
    values = np.nan_to_num(scores)
    applies = ~np.isnan(scores)
    columns = []
    for side in (mask, applies & ~mask):
        total = np.where(side, values, 0.0).sum((1, 2))
        columns += [total, side.sum((1, 2))]
    return np.stack(columns, -1)


def _positive(sums: Array) -> Mask:
    return np.asarray((sums[..., 0] > 0) & (sums[..., 2] > 0))


def _effect(
    sums: Array, log: Mask, upper: tuple[npt.NDArray[np.int64], ...]
) -> tuple[Array, Array]:
    """log of the ratio of the two means, or their difference, and its standard error by the delta
    method.

    The influence of a data set is linear in its four terms; its square is a sum of their products.
    """
    inside, count, outside, others = np.moveaxis(sums[..., :4], -1, 0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        one = inside / count
        other = outside / others
        ratio = np.where(log, one / other, 1.0)
        effect = np.where(log, np.log(ratio), one - other)
        scale = np.where(log, 1 / one, 1.0)
        other_scale = np.where(log, 1 / other, 1.0)
        by_inside = 1 / count * scale
        by_count = -one / count * scale
        by_outside = -1 / others * other_scale
        by_others = other / others * other_scale
        slope = np.stack([by_inside, by_count, by_outside, by_others], -1)
        twice = np.where(upper[0] == upper[1], 1.0, 2.0)
        slopes = slope[..., upper[0]] * slope[..., upper[1]]
        square = (slopes * twice * sums[..., 4:]).sum(-1)
        return effect, np.sqrt(np.maximum(square, 0.0))
