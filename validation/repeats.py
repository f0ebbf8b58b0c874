"""How far answers to one question are apart when it is asked more than once, in the unit of the primary endpoint.

An answer a is exact + bias + effect of order or batch + noise. To second order its expected divergence from the exact law is
the sum B + S + R of the three, and the divergence between two answers holds no bias: between two to the same request it is 2 R,
between two to requests in another order or batch 2 (S + R). With J the symmetric divergence of two answers,

    R = 1/2 J(a, a'),   S = 1/2 [mean J between requests of two kinds - mean J within one kind].

Both are in the unit of the primary endpoint, so its tolerance is theirs. Without the half and the floor noise counts twice.

    form                    J
    categories, bins        (KL(a || b) + KL(b || a)) / 2, of masses; bins have the same borders
    normals, mixtures       the same of densities
    quantiles               integral of (F_a - F_b)^2 as their form says
    draws of reals          the same, fair: 0 on average for independent draws of one law
    draws of categories     X^2 / S less what independent draws of one law show; X^2 = sum (m - n)^2 / (m + n), counts m and n
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from veribayes.errors import InputError
from veribayes.predictive import Array, Bins, Categorical, Draws, Normal, Predictive, Quantiles
from veribayes.validation.metrics._cells import log
from veribayes.validation.metrics._metric import rowwise
from veribayes.validation.metrics._quadrature import integrate
from veribayes.validation.metrics.kl import normals, relative_entropy

TINY = float(
    np.finfo(np.float32).tiny
)  # a float32 softmax holds less as zero or not at all: it is no mass that moves


def divergence(
    one: Predictive,
    other: Predictive,
    applies: npt.NDArray[np.bool_],
    categories: int | None = None,
) -> Array:
    """Symmetric divergence J of two answers, (dataset, position, query); NaN where a query does not apply.

    Args:
        one, other: predictives of one form with the leading shape of `applies`.
        applies: queries that apply.
        categories: number of categories of the support; None for reals.

    Raises:
        InputError: two forms, or bins or quantiles with other borders or levels.
        ArithmeticError: a divergence is NaN.
    """
    kernel = _kernel(one, other, categories)
    values = np.zeros(applies.shape)
    values[~applies] = np.nan
    rows = np.argwhere(applies & _apart(one, other))
    at = tuple(rows.T)
    values[at] = rowwise(kernel, one[at], other[at])
    if np.isnan(values[applies]).any():
        raise ArithmeticError(f"the divergence of two answers in the form '{one.form}' is NaN")
    return values


def repeat(within: Array) -> Array:
    """R of each prediction: half the divergence of two answers to the same request."""
    return 0.5 * within


def beyond_repeat(across: Sequence[Array], within: Sequence[Array]) -> Array:
    """S of each prediction: half of what answers to two kinds of requests differ by more than answers to one kind.

    Infinite where an infinite divergence appears only between kinds; NaN where answers to one kind differ infinitely.
    """
    floor = np.mean(within, axis=0)
    between = np.mean(across, axis=0)
    excess = np.full(floor.shape, np.nan)
    np.subtract(between, floor, out=excess, where=np.isfinite(floor))
    return 0.5 * excess


def _kernel(one: Predictive, other: Predictive, categories: int | None) -> Callable[..., Array]:
    if one.form != other.form:
        raise InputError(
            f"answers in the form '{one.form}' whenever it is asked", f"'{other.form}'"
        )
    for name in one.shared:
        first, second = (side.variables().get(name) for side in (one, other))
        if not np.array_equal(_or_nothing(first), _or_nothing(second)):
            raise InputError(f"the same '{name}' whenever it is asked", "others")
    if isinstance(one, Draws) and categories is not None:
        return lambda a, b: _category_draws(a, b, categories)
    return KERNELS[one.form]


def _or_nothing(values: Array | None) -> Array:
    return np.empty(0) if values is None else values


def _apart(one: Predictive, other: Predictive) -> npt.NDArray[np.bool_]:
    """Predictions for which two answers are not the same numbers; draws of one law show noise of their own."""
    apart = np.full(one.shape, isinstance(one, Draws))
    mine, theirs = one.variables(), other.variables()
    for name in set(mine) - one.shared:
        if mine[name].shape != theirs[name].shape:
            return np.full(one.shape, True)
        same = mine[name] == theirs[name]
        apart |= ~(same if same.shape == one.shape else same.all(-1))
    return apart


def _masses(one: Categorical | Bins, other: Categorical | Bins) -> Array:
    sides = [log(side.probs) for side in (one, other)]
    seen = [np.where(side > np.log(TINY), side, -np.inf) for side in sides]
    return 0.5 * (relative_entropy(sides[0], seen[1]) + relative_entropy(sides[1], seen[0]))


def _normals(one: Normal, other: Normal) -> Array:
    return 0.5 * (normals(one, other) + normals(other, one))


def _mixtures(one: Predictive, other: Predictive) -> Array:
    return integrate(_integrand, [one, other])


def _integrand(log_q: Array, log_p: Array) -> Array:
    """Of both directions at once: half of (p - q) (log p - log q)."""
    somewhere = np.isfinite(log_p) | np.isfinite(log_q)
    difference = np.subtract(log_p, log_q, out=np.zeros(log_p.shape), where=somewhere)
    return 0.5 * (np.exp(log_p) - np.exp(log_q)) * difference


def _quantiles(one: Quantiles, other: Quantiles) -> Array:
    """Exact: between neighbours of all knots both distribution functions are straight lines."""
    knots = np.sort(np.concatenate([one.values, other.values], -1), -1)
    left, width = knots[:, :-1], np.diff(knots)
    apart = [_below(one, left + t * width) - _below(other, left + t * width) for t in (0.25, 0.75)]
    start, end = 1.5 * apart[0] - 0.5 * apart[1], 1.5 * apart[1] - 0.5 * apart[0]
    return np.asarray((width * (start**2 + start * end + end**2) / 3).sum(-1))


def _below(law: Quantiles, points: Array) -> Array:
    """Distribution function at (row, point) inside the intervals between knots."""
    knots, levels = law.values, np.concatenate([[0.0], law.levels, [1.0]])
    last = (knots[:, None, :] <= points[..., None]).sum(-1)
    inside = (last > 0) & (last < knots.shape[-1])
    low = np.take_along_axis(knots, np.maximum(last - 1, 0), -1)
    high = np.take_along_axis(knots, np.minimum(last, knots.shape[-1] - 1), -1)
    share = np.divide(
        points - low, high - low, out=np.zeros(points.shape), where=inside & (high > low)
    )
    between = levels[last] + share * (levels[np.minimum(last + 1, levels.size - 1)] - levels[last])
    return np.where(last == 0, 0.0, np.where(inside, between, 1.0))


def _real_draws(one: Draws, other: Draws) -> Array:
    """Integral of (F - G)^2 less the part that is expected of independent draws of one law."""
    sizes = [side.draws.shape[-1] for side in (one, other)]
    pooled = np.concatenate([one.draws, other.draws], -1)
    order = np.argsort(pooled, -1, kind="stable")
    ordered = np.take_along_axis(pooled, order, -1)
    mine = order < sizes[0]
    width = np.diff(ordered)
    cdfs = [np.cumsum(m, -1)[:, :-1] / n for m, n in zip((mine, ~mine), sizes, strict=True)]
    noise = [f * (1 - f) / (n - 1) for f, n in zip(cdfs, sizes, strict=True)]
    return np.asarray((width * ((cdfs[0] - cdfs[1]) ** 2 - noise[0] - noise[1])).sum(-1))


def _category_draws(one: Draws, other: Draws, categories: int) -> Array:
    """Given the sums of both counts, independent draws of one law have E X^2 = (k - 1) 2 S / (2 S - 1), k categories seen."""
    (m, draws), (n, others) = (side.frequencies(categories) for side in (one, other))
    if draws != others:
        raise InputError(f"{draws} draws whenever it is asked", f"{others}")
    total = m + n
    square = np.divide((m - n) ** 2, total, out=np.zeros(total.shape), where=total > 0).sum(-1)
    expected = ((total > 0).sum(-1) - 1) * 2 * draws / (2 * draws - 1)
    return np.asarray((square - expected) / draws)


KERNELS: Mapping[str, Callable[..., Array]] = {
    "categorical": _masses,
    "normal": _normals,
    "mixture": _mixtures,
    "bins": _masses,
    "quantiles": _quantiles,
    "draws": _real_draws,
}
