"""How far answers to one question are apart when it is asked more than once,
in the unit of the primary endpoint.

An answer a is exact + bias + effect of order or batch + noise. To second order its expected
divergence from the exact law is the sum B + S + R of the three, and the divergence between two
answers holds no bias: between two to the same request it is 2 R, between two to requests in another
order or batch 2 (S + R). With J the symmetric divergence of two answers,

    R = 1/2 J(a, a'),   S = 1/2 [mean J between requests of two kinds - mean J within one kind].

Both are in the unit of the primary endpoint, so its tolerance is theirs. Without the half and the
floor noise counts twice.

    form                    J
    categories, bins        (KL(a || b) + KL(b || a)) / 2, of masses; bins have the same borders
    normals, mixtures       the same of densities
    quantiles               integral of (F_a - F_b)^2 as their form says
    draws of reals          the same, fair: 0 on average for independent draws of one law
    points                  (mean_a - mean_b)^2
    draws of categories     X^2 / S less what independent draws of one law show; X^2 = sum (m - n)^2
                            / (m + n), counts m and n
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from veribayes.errors import InputError
from veribayes.predictive import (
    Array,
    Bins,
    Categorical,
    Draws,
    Normal,
    Point,
    Predictive,
    Quantiles,
)
from veribayes.validation.metrics._cells import log
from veribayes.validation.metrics._metric import rowwise
from veribayes.validation.metrics._quadrature import integrate
from veribayes.validation.metrics.kl import normals, relative_entropy

# a float32 softmax holds less as zero or not at all: it is no mass that moves
TINY = float(np.finfo(np.float32).tiny)


def divergence(
    one: Predictive,
    other: Predictive,
    applies: npt.NDArray[np.bool_],
    categories: int | None = None,
) -> Array:
    """Symmetric divergence J of two answers, (dataset, position, query); NaN where a query does not
    apply.

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
    """S of each prediction: half of what answers to two kinds of requests differ by more than
    answers to one kind.

    Infinite where an infinite divergence appears only between kinds; NaN where answers to one kind
    differ infinitely.
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
        first = one.variables().get(name)
        second = other.variables().get(name)
        if not np.array_equal(_or_nothing(first), _or_nothing(second)):
            raise InputError(f"the same '{name}' whenever it is asked", "others")
    if isinstance(one, Draws) and categories is not None:
        return lambda a, b: _category_draws(a, b, categories)
    return KERNELS[one.form]


def _or_nothing(values: Array | None) -> Array:
    return np.empty(0) if values is None else values


def _apart(one: Predictive, other: Predictive) -> npt.NDArray[np.bool_]:
    """Predictions for which two answers are not the same numbers; draws of one law show noise of
    their own.
    """
    apart = np.full(one.shape, isinstance(one, Draws))
    mine, theirs = one.variables(), other.variables()
    for name in set(mine) - one.shared:
        if mine[name].shape != theirs[name].shape:
            return np.full(one.shape, True)
        same = mine[name] == theirs[name]
        apart |= ~(same if same.shape == one.shape else same.all(-1))
    return apart


def _masses(one: Categorical | Bins, other: Categorical | Bins) -> Array:
    first = log(one.probs)
    second = log(other.probs)
    forwards = relative_entropy(first, _seen(second))
    return 0.5 * (forwards + relative_entropy(second, _seen(first)))


def _seen(log_probs: Array) -> Array:
    return np.where(log_probs > np.log(TINY), log_probs, -np.inf)


def _normals(one: Normal, other: Normal) -> Array:
    return 0.5 * (normals(one, other) + normals(other, one))


def _mixtures(one: Predictive, other: Predictive) -> Array:
    return integrate(_integrand, [one, other])


def _integrand(log_q: Array, log_p: Array) -> Array:
    """Of both directions at once: half of (p - q) (log p - log q)."""
    somewhere = np.isfinite(log_p) | np.isfinite(log_q)
    difference = np.subtract(log_p, log_q, out=np.zeros(log_p.shape), where=somewhere)
    masses = np.exp(log_p) - np.exp(log_q)
    return 0.5 * masses * difference


def _points(one: Point, other: Point) -> Array:
    return (one.mean - other.mean) ** 2


def _quantiles(one: Quantiles, other: Quantiles) -> Array:
    """Exact: between neighbours of all knots both distribution functions are straight lines."""
    pooled = np.concatenate([one.values, other.values], -1)
    knots = np.sort(pooled, -1)
    left = knots[:, :-1]
    width = np.diff(knots)
    first, second = (_gap(one, other, left + t * width) for t in (0.25, 0.75))
    start = 1.5 * first - 0.5 * second
    end = 1.5 * second - 0.5 * first
    squares = start**2 + start * end + end**2
    return np.asarray((width * squares / 3).sum(-1))


def _gap(one: Quantiles, other: Quantiles, points: Array) -> Array:
    return _below(one, points) - _below(other, points)


def _below(law: Quantiles, points: Array) -> Array:
    """Distribution function at (row, point) inside the intervals between knots."""
    knots = law.values
    levels = np.concatenate([[0.0], law.levels, [1.0]])
    reached = knots[:, None, :] <= points[..., None]
    last = reached.sum(-1)
    inside = (last > 0) & (last < knots.shape[-1])
    low = np.take_along_axis(knots, np.maximum(last - 1, 0), -1)
    above = np.minimum(last, knots.shape[-1] - 1)
    high = np.take_along_axis(knots, above, -1)
    wide = inside & (high > low)
    share = np.divide(points - low, high - low, out=np.zeros(points.shape), where=wide)
    following = np.minimum(last + 1, levels.size - 1)
    between = levels[last] + share * (levels[following] - levels[last])
    within = np.where(inside, between, 1.0)
    return np.where(last == 0, 0.0, within)


def _real_draws(one: Draws, other: Draws) -> Array:
    """Integral of (F - G)^2 less the part that is expected of independent draws of one law."""
    size = one.draws.shape[-1]
    other_size = other.draws.shape[-1]
    pooled = np.concatenate([one.draws, other.draws], -1)
    order = np.argsort(pooled, -1, kind="stable")
    ordered = np.take_along_axis(pooled, order, -1)
    mine = order < size
    width = np.diff(ordered)
    below = np.cumsum(mine, -1)[:, :-1] / size
    other_below = np.cumsum(~mine, -1)[:, :-1] / other_size
    noise = below * (1 - below) / (size - 1)
    other_noise = other_below * (1 - other_below) / (other_size - 1)
    squares = (below - other_below) ** 2 - noise - other_noise
    return np.asarray((width * squares).sum(-1))


def _category_draws(one: Draws, other: Draws, categories: int) -> Array:
    """Given the sums of both counts, independent draws of one law have E X^2 = (k - 1) 2 S / (2 S -
    1), k categories seen.
    """
    m, draws = one.frequencies(categories)
    n, others = other.frequencies(categories)
    if draws != others:
        raise InputError(f"{draws} draws whenever it is asked", f"{others}")
    total = m + n
    seen = total > 0
    terms = np.divide((m - n) ** 2, total, out=np.zeros(total.shape), where=seen)
    square = terms.sum(-1)
    free = seen.sum(-1) - 1
    expected = free * 2 * draws / (2 * draws - 1)
    return np.asarray((square - expected) / draws)


KERNELS: Mapping[str, Callable[..., Array]] = {
    "categorical": _masses,
    "normal": _normals,
    "mixture": _mixtures,
    "bins": _masses,
    "quantiles": _quantiles,
    "draws": _real_draws,
    "point": _points,
}
