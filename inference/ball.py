"""Gaussian process regression in ball arithmetic:
every number is an interval that contains the exact one.

Kernel entries, the solution of (K + s^2 I) [alpha, W] = [y, K(x, x*)] and all that follows are
enclosed by Arb at a precision that doubles until the enclosures of means, sds and weights are
tighter than float64. What is left is the rounding of the answer. Slow (milliseconds to seconds a
prefix): meant to audit a sample of data sets, as `cholesky` does with its option `enclosed`.
Needs python-flint (`pip install veribayes[ball]`).

Johansson (2017), doi 10.1109/TC.2017.2690633.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, ClassVar

import numpy as np

from veribayes.errors import InputError, ReferenceRefused
from veribayes.inference._engine import EPS, certify, name_of
from veribayes.inference._gaussian import LIMIT, gaussian
from veribayes.models._task import Task
from veribayes.models.gaussian_process import GaussianProcess
from veribayes.models.gaussian_process._hyper import Theta, below
from veribayes.models.gaussian_process._kernels import (
    RBF,
    Kernel,
    Linear,
    Matern12,
    Matern32,
    Matern52,
    Periodic,
    Product,
    Sum,
)
from veribayes.predictive import Array, Normal, NormalMixture
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method

PRECISION = (106, 212, 424, 848, 1696)  # bits, tried in turn
TIGHT = 2.0**-55  # relative radius of an enclosure: an eighth of the rounding to float64

Ball = Any  # flint.arb


@dataclass(frozen=True)
class BallArithmetic:
    """Rigorous enclosures; hyperparameters are fixed or on grids."""

    method: ClassVar[Method] = Method.EXACT
    families: ClassVar[tuple[str, ...]] = ("gaussian_process",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        model = gaussian(self, task, data)
        if any(not p.discrete for p in model.priors.values()):
            wanted = f"fixed hyperparameters or grids for the engine '{name_of(self)}'"
            raise InputError(wanted, "a continuous prior", "use 'cholesky'")
        arrays = [data.arrays[name] for name in ("x", "y", "x_query")]
        rows = []
        for x, y, query in zip(*arrays, strict=True):
            rows.append([enclosed(model, x, y, query, int(n)) for n in data.positions])
        weights, mean, sd = np.moveaxis(np.array(rows), 3, 0)  # (dataset, position, query, node)
        answer: Normal | NormalMixture = NormalMixture(weights, mean, sd)
        if model.fixed:
            answer = Normal(mean[..., 0], sd[..., 0])
        spread = float((np.abs(mean).max(-1) / sd.min(-1)).max())
        return Branch(answer, certify(self.method, 2 * EPS * (1 + spread), limit=LIMIT))


def enclosed(model: GaussianProcess, x: Array, y: Array, query: Array, n: int) -> Array:
    """Weights, means and sds of every hyperparameter node after n points,
    each correctly rounded up to a bit: (query, 3, node).

    Raises:
        InputError: python-flint is not installed.
        ReferenceRefused: the largest precision does not suffice.
    """
    try:
        from flint import ctx
    except ModuleNotFoundError:
        remedy = "pip install 'veribayes[ball]'"
        raise InputError("python-flint", "an installation without it", remedy) from None
    before = ctx.prec
    try:
        for ctx.prec in PRECISION:
            tight = _attempt(model, x[:n], y[:n], query)
            if tight is not None:
                return tight
    finally:
        ctx.prec = before
    reason = f"{PRECISION[-1]} bits do not separate a covariance matrix from a singular one"
    raise ReferenceRefused("ball", [reason])


def _attempt(model: GaussianProcess, x: Array, y: Array, query: Array) -> Array | None:
    """The answer at the present precision; None where an enclosure is not tight."""
    theta, prior = model.hyper_nodes()
    points, queries = _balls(x), _balls(query)
    values = [_ball(v) for v in y]
    parts, scaled = [], []
    for h, prior_weight in enumerate(prior):
        node = {name: float(value[h]) for name, value in theta.items()}
        try:
            part = _node(model, points, values, queries, node)
        except ZeroDivisionError:  # a pivot whose ball contains zero
            return None
        _, _, fit, det = part
        parts.append(part)
        scaled.append(_ball(prior_weight) * (-fit / 2).exp() / det.sqrt())
    total = reduce(_add, scaled)
    weights = [w / total for w in scaled]
    rows = []
    for q in range(len(query)):
        means = [mean[q] for mean, _, _, _ in parts]
        sds = [variance[q].sqrt() for _, variance, _, _ in parts]
        rows.append([weights, means, sds])
    balls = np.array(rows, dtype=object)
    if not all(_tight(ball) for ball in balls.flat):
        return None
    return balls.astype(np.float64)


def _node(
    model: GaussianProcess,
    x: list[list[Ball]],
    y: list[Ball],
    query: list[list[Ball]],
    theta: Theta,
) -> tuple[list[Ball], list[Ball], Ball, Ball]:
    """Means and variances of observations at the queries, y^T A^-1 y and det A."""
    from flint import arb, arb_mat

    own = below("kernel.", theta)
    noise = _ball(theta["noise_sd"]) ** 2
    prior = [_kernel(model.kernel, q, q, own) + noise for q in query]
    if not x:
        return [arb(0)] * len(query), prior, arb(0), arb(1)
    across, covariance = [], []
    for a in x:
        across.append([_kernel(model.kernel, a, q, own) for q in query])
        diagonal = [noise if a is b else 0 for b in x]
        row = [_kernel(model.kernel, a, b, own) for b in x]
        covariance.append([k + extra for k, extra in zip(row, diagonal, strict=True)])
    matrix = arb_mat(covariance)
    targets = [[v, *row] for v, row in zip(y, across, strict=True)]
    solved = matrix.solve(arb_mat(targets))
    fit = (arb_mat([y]) * solved).tolist()[0][0]
    explained = (arb_mat(across).transpose() * solved).tolist()
    mean = [row[0] for row in explained]
    variance = [prior[q] - row[1 + q] for q, row in enumerate(explained)]
    return mean, variance, fit, matrix.det()


def _kernel(kernel: Kernel, x: Sequence[Ball], z: Sequence[Ball], theta: Theta) -> Ball:
    """The formula of each kernel's docstring."""
    if isinstance(kernel, Sum | Product):
        parts = []
        for i, term in enumerate(kernel.terms):
            parts.append(_kernel(term, x, z, below(f"{i}.", theta)))
        return reduce(_add if isinstance(kernel, Sum) else _times, parts)
    p = {name: _ball(value) for name, value in _values(kernel, theta, len(x)).items()}
    pairs = list(zip(x, z, strict=True))
    if isinstance(kernel, Linear):
        products = [p[f"diagonal {i}"] * a * b for i, (a, b) in enumerate(pairs)]
        return reduce(_add, products)
    return p["amplitude"] ** 2 * _correlation(kernel, [a - b for a, b in pairs], p)


def _correlation(kernel: Kernel, step: Sequence[Ball], p: Mapping[str, Ball]) -> Ball:
    square = reduce(_add, (a * a for a in step)) / p["lengthscale"] ** 2
    match kernel:
        case RBF():
            return (-square / 2).exp()
        case Matern12():
            return (-_root(square)).exp()
        case Matern32():
            s = _root(3 * square)
            return (1 + s) * (-s).exp()
        case Matern52():
            s = _root(5 * square)
            return (1 + s + s**2 / 3) * (-s).exp()
        case Periodic():
            waves = reduce(_add, ((a / p["period"]).sin_pi() ** 2 for a in step))
            return (-2 * waves / p["lengthscale"] ** 2).exp()
    raise InputError("a kernel known to the engine 'ball'", f"'{kernel.kind}'", "use 'cholesky'")


def _values(kernel: Kernel, theta: Theta, d: int) -> dict[str, float]:
    """Hyperparameters by name, fixed ones included;
    the diagonal of a linear kernel entry by entry.
    """
    fixed = {name: value for name, value in vars(kernel).items() if not hasattr(value, "nodes")}
    own = {**fixed, **theta}
    if not isinstance(kernel, Linear):
        return own
    diagonal = np.broadcast_to(own["diagonal"], d)
    return {f"diagonal {i}": float(v) for i, v in enumerate(diagonal)}


def _ball(value: float) -> Ball:
    """The exact value of a float."""
    from flint import arb

    return arb(float(value))


def _balls(points: Array) -> list[list[Ball]]:
    return [_coordinates(point) for point in points]


def _coordinates(point: Array) -> list[Ball]:
    return [_ball(value) for value in point]


def _root(square: Ball) -> Ball:
    """Square root of what is known not to be negative."""
    return square.nonnegative_part().sqrt()


def _tight(ball: Ball) -> bool:
    """Whether an enclosure is narrow beside its middle,
    or narrow beside one where the middle is zero.
    """
    if not ball.is_finite():
        return False
    return bool(ball.rad() <= TIGHT * abs(ball.mid()) or ball.rad() <= TIGHT**4)


def _add(a: Ball, b: Ball) -> Ball:
    return a + b


def _times(a: Ball, b: Ball) -> Ball:
    return a * b


PART = BallArithmetic
