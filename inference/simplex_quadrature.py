"""Exact Bayes for mixture-of-transition weights at every prefix,
by Gauss-Jacobi quadrature on the simplex.

Stick-breaking turns lambda ~ Dirichlet(alpha, ..., alpha) into independent v_j ~ Beta(alpha, alpha
(m - j)). The likelihood of a prefix of n symbols is a polynomial of degree n - m in lambda whose
coefficients are not negative, because they are sums of products of probabilities.
Two things follow.

The number of nodes is chosen by certificate. Every monomial lambda^c is a product over the axes of
v_j^c (1 - v_j)^d, so the relative error of the quadrature is at most the largest one on such
products, whatever the data and the matrix are. With N nodes an axis it behaves like 2 exp(-2 N^2 /
n), and N >= (n - m + 3) / 2 are exact. A posterior mean is a ratio of two such integrals, which
doubles it. Where the first lags leave a rest r, the likelihood is nearly of degree r n in how the
others share it, and about N sqrt(r) nodes do on the axes between the first and the last: a third
fewer for four lags. The largest error is computed with these nodes, axis by axis from the last one.

Prefixes are read in blocks. The likelihood of a block is, in the last axis, a polynomial in
Bernstein form whose coefficients grow symbol by symbol; the moments of the node weights with the
Bernstein basis, one matrix product, give every prefix inside the block.
All terms are positive: nothing cancels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from typing import ClassVar, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from veribayes.errors import InputError, ReferenceRefused
from veribayes.inference._beta import MAX_DEGREE, beta_rule, monomial_errors
from veribayes.inference._engine import (
    EPS,
    certify,
    equal_chunks,
    float64,
    moments,
    name_of,
    require_positive,
    require_served,
)
from veribayes.inference._simplex import next_symbol, terms
from veribayes.models._task import Task
from veribayes.models.mtd import MTD
from veribayes.predictive import Array, Categorical
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method

LIMIT = 1e-6  # error of a probability that a reference may have
AFFORDABLE = (
    20_000  # nodes of a grid that is taken to meet `error`; larger ones have to meet LIMIT / 2 only
)
LARGEST = 2_000_000  # nodes of any grid: 16 MB a data set
CHUNK = 131_072  # node weights at once: 1 MB stays near the processor
# symbols between updates of the node weights: moments with 8 basis functions fill the vector units
BLOCK = 5
SCALE = 1e250  # sum of the node weights: leaves 558 decades down to the smallest float
DEPTH = math.log(SCALE) - math.log(2.3e-308)
SPARE = 2  # nodes beyond N sqrt(r), for terms whose degree is above r n by chance


class Plan(NamedTuple):
    """How many nodes: `last` on the first and on the last axis;
    `narrow`: fewer between where there is little to share.
    """

    last: int
    alpha: float
    narrow: bool


class Grid(NamedTuple):
    """Nodes on the simplex: all axes but the last make rows, the last one has nodes u.

    Attributes:
        shares: of the first m - 2 lags, (row, lag).
        rest: what they leave to the last two, (row,).
        u: part of the rest that goes to the last but one, (node,).
        weight: of every node, (row, node), sum one.
    """

    shares: Array
    rest: Array
    u: Array
    weight: Array


@dataclass(frozen=True)
class SimplexQuadrature:
    """Gauss-Jacobi quadrature over the lag weights.

    Attributes:
        nodes: nodes an axis; None: as few as the certificate allows. Where they are too few for a
            bound below 1e-6, the error is measured against a quarter more of them, and the
            certificate says `estimate`: twice that change. The error of the finer grid is smaller
                by exp(-N^2 / n), so the change is nearly the error itself; a test measures both.
        error: bound on the error of a probability that the choice of nodes aims at, as long as the
            grid is affordable.
        latents: also return the posterior moments of the weights;
            without them it takes a seventh less time for four lags.
    """

    nodes: int | None = None
    error: float = 1e-12
    latents: bool = True
    method: ClassVar[Method] = Method.QUADRATURE
    families: ClassVar[tuple[str, ...]] = ("mtd",)

    def __post_init__(self) -> None:
        require_positive(self, error=self.error)
        if self.nodes is not None and self.nodes < 2:
            wanted = f"at least 2 nodes an axis for the engine '{name_of(self)}'"
            raise InputError(wanted, f"{self.nodes}")

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        require_served(self, task, data)
        model = cast(MTD, task.model)
        alpha = model.concentration
        factors = terms(model, data)
        degree = _degree(factors.shape[1], model.m)
        nodes = self.nodes or _nodes(model.m, degree, alpha, self.error)
        raw_moments, lost = self._moments(factors, alpha, nodes)
        answer, posterior = self._read(model, data, raw_moments)
        # sums of positive terms
        rounding = 4 * EPS * (degree * (2 * model.m + 4) + model.m * nodes)
        bound = _ratio_error(model.m, nodes, degree, alpha) + rounding + lost
        if bound <= LIMIT:
            method = Method.EXACT if 2 * nodes > degree else self.method
            return Branch(answer, certify(method, bound, nodes=nodes), posterior)
        more = nodes + max(2, nodes // 4)
        finer_moments, _ = self._moments(factors, alpha, more)
        finer, _ = self._read(model, data, finer_moments)
        change = 2 * float(np.abs(answer.probs - finer.probs).max()) + lost
        certificate = certify(self.method, change, kind="estimate", nodes=nodes)
        return Branch(answer, certificate, posterior)

    def _read(
        self, model: MTD, data: Data, raw_moments: Array
    ) -> tuple[Categorical, dict[str, dict[str, Array]]]:
        """The next symbol and the weights at the positions of the data."""
        at = raw_moments[:, data.positions]
        first = at[..., : model.m]
        second = at[..., model.m :]
        posterior = {"weights": moments(first, second)} if self.latents else {}
        return next_symbol(model, data, first), posterior

    def _moments(self, factors: Array, alpha: float, nodes: int) -> tuple[Array, float]:
        """First and, with `latents`, second raw moments of the weights after 0, 1, ... factors
        (dataset, prefix, lag), side by side; and a bound on what nodes lost."""
        datasets, length, lags = factors.shape
        if lags == 1:
            return np.ones((datasets, length + 1, 2)), 0.0
        plan = Plan(nodes, alpha, 2 * nodes <= _degree(length, lags))
        size = _size(lags - 1, nodes, plan)
        if size > LARGEST:
            reason = f"{nodes} nodes on {lags - 1} axes exceed {LARGEST:.0e} nodes"
            remedy = "use 'lag_quasi_monte_carlo' or fewer nodes"
            raise ReferenceRefused(name_of(self), [f"{reason}; {remedy}"])
        grid = _grid(lags, plan)
        in_front = -(length + 1) % BLOCK  # ones: no data
        padded = np.pad(factors, ((0, 0), (1, in_front), (0, 0)), constant_values=1.0)
        chunks = equal_chunks(datasets, CHUNK // size)
        with float64():
            parts = [np.asarray(_filter(padded[chunk], grid, self.latents)) for chunk in chunks]
        computed = np.concatenate(parts, axis=1)[: length + 1, :datasets]
        raw_moments = computed.swapaxes(0, 1)
        if not np.all(np.isfinite(raw_moments)):
            reason = "a sequence has probability zero under every weight"
            raise ReferenceRefused(name_of(self), [reason])
        return raw_moments, _lost(factors, raw_moments[:, :-1, :lags], grid)


def _degree(length: int, lags: int) -> int:
    """Of the integrand of a second moment."""
    return max(length - lags, 0) + 2


@cache
def _nodes(lags: int, degree: int, alpha: float, error: float) -> int:
    """Fewest nodes of the first axis, up to a few, that the certificate allows;
    those of exactness at most.
    """
    exact = degree // 2 + 1
    nodes = exact
    for aim in (error, max(error, LIMIT / 2)):
        log_ratio = math.log(max(4 * (lags - 1) / aim, 2.0))
        nodes = min(math.ceil(0.93 * math.sqrt(degree * log_ratio / 2)), exact)
        while nodes < exact and degree <= MAX_DEGREE:
            if _ratio_error(lags, nodes, degree, alpha) <= aim:
                break
            nodes = min(nodes + 1 + nodes // 64, exact)
        plan = Plan(nodes, alpha, nodes < exact)
        if _size(lags - 1, nodes, plan) <= AFFORDABLE:
            break
    return nodes


def _ratio_error(lags: int, nodes: int, degree: int, alpha: float) -> float:
    """Bound on the relative error of a posterior mean, from those of numerator and denominator."""
    if lags == 1:
        return 0.0
    if degree > MAX_DEGREE:
        return math.inf
    plan = Plan(nodes, alpha, 2 * nodes <= degree)
    largest = float(_errors(lags - 1, nodes, degree, plan).max())
    return 2 * largest / (1 - largest) if largest < 1 else math.inf


@cache
def _errors(axes: int, nodes: int, degree: int, plan: Plan) -> Array:
    """Largest relative errors of the nodes on the last axes on monomials of each total degree,
    (degree + 1,).
    """
    if axes == 1:
        return monomial_errors(plan.last, degree, plan.alpha, plan.alpha)
    later = [_errors(axes - 1, n, degree, plan) for n in _later(axes, nodes, plan)]
    return monomial_errors(nodes, degree, plan.alpha, plan.alpha * axes, np.stack(later))


@cache
def _size(axes: int, nodes: int, plan: Plan) -> int:
    """Nodes on the last axes together; those of a full grid where that is out of reach."""
    if axes < 3 or nodes**2 > 2 * LARGEST:
        return nodes ** max(axes - 1, 0) * plan.last
    return sum(_size(axes - 1, n, plan) for n in _later(axes, nodes, plan))


@cache
def _later(axes: int, nodes: int, plan: Plan) -> list[int]:
    """How many nodes the next axis has at each node of this one."""
    if axes == 2 or not plan.narrow:
        return [plan.last] * nodes
    at, _ = beta_rule(nodes, plan.alpha, plan.alpha * axes)
    return [min(nodes, math.ceil(nodes * math.sqrt(1 - v) + SPARE)) for v in at]


@cache
def _grid(lags: int, plan: Plan) -> Grid:
    """All nodes for this many lags."""
    shares, rest, weight = _rows(lags - 1, plan.last, plan)
    u, w = beta_rule(plan.last, plan.alpha, plan.alpha)
    return Grid(shares, rest, u, np.outer(weight, w))


def _rows(axes: int, nodes: int, plan: Plan) -> tuple[Array, Array, Array]:
    """All axes before the last: shares (row, lag), rest (row,) and weight (row,)."""
    if axes == 1:
        return np.ones((1, 0)), np.ones(1), np.ones(1)
    at, weights = beta_rule(nodes, plan.alpha, plan.alpha * axes)
    parts = []
    for v, w, n in zip(at, weights, _later(axes, nodes, plan), strict=True):
        shares, rest, weight = _rows(axes - 1, n, plan)
        with_first = np.insert((1 - v) * shares, 0, v, axis=1)
        parts.append((with_first, (1 - v) * rest, w * weight))
    shares, rest, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    return shares, rest, weight


@partial(jax.jit, static_argnames="squares")
def _filter(factors: jax.Array, grid: Grid, squares: bool) -> jax.Array:
    """Moments of the weights after each factor, (time, dataset, lag),
    and with `squares` the second ones beside them.
    """
    shares, rest, u, weight = (jnp.asarray(a) for a in grid)
    datasets, length, lags = factors.shape
    rows, nodes = weight.shape
    update = _bernstein(u, BLOCK).T
    down = _bernstein(u, BLOCK + 2)
    blocks = factors.swapaxes(0, 1).reshape(length // BLOCK, BLOCK, datasets, lags)

    def block(weight: jax.Array, a: jax.Array) -> tuple[jax.Array, jax.Array]:
        by_degree = _by_degree(list((down @ weight).reshape(-1, datasets, rows)))
        form = [jnp.ones((datasets, rows))]  # the likelihood of the block so far
        sums = []
        for s, factor in enumerate(a, start=1):
            fixed = factor[:, :-2] @ shares.T
            low = fixed + rest[None] * factor[:, -1, None]
            high = fixed + rest[None] * factor[:, -2, None]
            form = _times_linear(form, low, high)
            ends = _ends(by_degree, s, squares)
            sums.append(jnp.stack([_dot(form, basis) for basis in ends]))
        upper, lower, *square = jnp.stack(sums, axis=1)  # (symbol, dataset, row)
        whole = upper + lower
        total = whole.sum(-1)
        raw = [whole @ shares, upper @ rest[:, None], lower @ rest[:, None]]
        if squares:
            raw.append(whole @ shares**2)
            raw.extend(s @ rest[:, None] ** 2 for s in square)
        scaled = jnp.stack(form) * (SCALE / total[-1])[None, :, None]
        weight = weight * (update @ scaled.reshape(BLOCK + 1, -1))
        return weight, jnp.concatenate(raw, axis=-1) / total[..., None]

    # (node, dataset x row)
    scaled_weight = SCALE * weight.T[:, None]
    start = jnp.broadcast_to(scaled_weight, (nodes, datasets, rows)).reshape(nodes, -1)
    return jax.lax.scan(block, start, blocks)[1].reshape(length, datasets, -1)


def _by_degree(moments: list[jax.Array]) -> dict[int, list[jax.Array]]:
    """Moments of the node weights with the Bernstein bases from degree BLOCK + 2,
    which are given, down to 2.
    """
    by_degree = {BLOCK + 2: moments}
    for degree in range(BLOCK + 1, 1, -1):
        by_degree[degree] = [a + b for a, b in pairwise(by_degree[degree + 1])]
    return by_degree


def _times_linear(form: list[jax.Array], low: jax.Array, high: jax.Array) -> list[jax.Array]:
    """The Bernstein coefficients of a form times low (1 - u) + high u."""
    between = [low * b + high * a for a, b in pairwise(form)]
    return [low * form[0], *between, high * form[-1]]


def _ends(
    by_degree: dict[int, list[jax.Array]], symbol: int, squares: bool
) -> list[list[jax.Array]]:
    """Moments with the basis times u and times 1 - u,
    and with `squares` times u^2 and (1 - u)^2.
    """
    ends = []
    for power in (1, 2) if squares else (1,):
        moments = by_degree[symbol + power]
        ends += [moments[power:], moments[:-power]]
    return ends


def _dot(form: list[jax.Array], moments: list[jax.Array]) -> jax.Array:
    """Written out: elementwise sums fuse and fill the vector units, a reduction does not."""
    total = form[0] * moments[0]
    for coefficient, moment in zip(form[1:], moments[1:], strict=True):
        total = total + coefficient * moment
    return total


def _bernstein(u: jax.Array, degree: int) -> jax.Array:
    """u^k (1 - u)^(degree - k), (k, node)."""
    return jnp.stack([u**k * (1 - u) ** (degree - k) for k in range(degree + 1)])


def _lost(factors: Array, before: Array, grid: Grid) -> float:
    """Bound on the relative weight of nodes that fell below the smallest float,
    and that later symbols could have brought back.

    Relative to the others a node falls by at most the probability of the symbol over its smallest
    likelihood, and rises by at most the largest likelihood over that probability.

    Args:
        factors, before: likelihood terms, and the mean weights before each, (dataset, time, lag).
    """
    of_rest = grid.rest * min(grid.u.min(), 1 - grid.u.max())
    smallest = min(grid.shares.min(initial=1.0), float(of_rest.min()))
    best = factors.max(-1)
    log_p = np.log((factors * before).sum(-1))
    log_least = np.log(np.maximum(factors.min(-1), smallest * best))
    fallen = np.cumsum(log_p - log_least, axis=1)
    gone = fallen > math.log(max(grid.weight.min(), 5e-324)) + DEPTH
    if not gone.any():
        return 0.0
    gain = np.where(gone, np.log(best) - log_p, 0.0).sum(1).max(initial=0.0)
    return math.exp(min(gain + math.log(grid.weight.size) - DEPTH, 0.0))


PART = SimplexQuadrature
