"""Bayes for mixture-of-transition weights with many lags, at every prefix, by randomised quasi-Monte Carlo.

Prefixes are read in blocks of doubling length. The proposal of a block is an equal mixture of two fits to the posterior, at its
first and at its last prefix. Fits live on the sphere, lambda = s^2, where the density is s^(2 alpha - 1) times the likelihood:
square roots make Dirichlet and multinomial laws nearly normal, and a face of the simplex cuts a fit off instead of drawing
it out into an exponential tail, as logarithms do. In the plane that touches the sphere at the mode, whitened by the
curvature, each coordinate has Student's t law with 4 degrees of freedom. One set of points serves all prefixes of its block;
only its weights are updated.

The points are Sobol' points under independent digital shifts. The shifts make independent unbiased replicates: they give the
error bar, and two halves of them give the pair of estimates whose difference corrects a comparison. A sequence whose weights
are too uneven (effective sample size, Pareto's k) is run again with four times the points, and counts against `max_refused`
if it fails again.

Owen (1997), doi 10.1214/aos/1031594731; Vehtari et al., arXiv 1507.02646 (Pareto's k).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any, ClassVar, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_solve, solve_triangular
from scipy.stats import qmc

from veribayes.errors import InputError
from veribayes.inference._engine import (
    equal_chunks,
    float64,
    moments,
    name_of,
    require_positive,
    require_served,
)
from veribayes.inference._simplex import next_symbol, terms
from veribayes.models._random import keys, uniforms
from veribayes.models._task import Task
from veribayes.models.mtd import MTD
from veribayes.predictive import Array, Categorical
from veribayes.statistics.diagnostics import Mask
from veribayes.statistics.pareto import tail_shape, tail_size
from veribayes.tree import Branch, Certificate, Data, IntArray

REPLICATES = 16  # fewer make the error bar itself uncertain: its z-scores would be Student's t with 7 degrees of freedom at 8
MIN_ESS = 200.0  # points; the error bar is an asymptotic statement
TAIL_LIMIT = 0.5  # Pareto's k of the weights from which an average has no variance
SEGMENT = 16  # symbols between returns to log space, and the first block
STEPS = 8  # Newton's, from the mode of the block before
LONGEST, NEAREST = 0.3, 1e-3  # a Newton step, and the mode to a face, on the unit sphere
MILD = 0.25  # exponent of the prior in a fit: smaller ones put the mode on a face
BITS = 2**30  # of Sobol' points
MORE = 4  # times the points in the second run
TINY = 1e-300


@dataclass(frozen=True)
class LagQuasiMonteCarlo:
    """Importance sampling with Sobol' points.

    Attributes:
        points: of each block, a power of two of at least 512.
        max_refused: largest share of data sets that may fail the gates twice.
    """

    points: int = 4096
    max_refused: float = 0.01
    method: ClassVar[str] = "quasi_monte_carlo"
    families: ClassVar[tuple[str, ...]] = ("mtd",)

    def __post_init__(self) -> None:
        require_positive(self, points=self.points)
        if self.points < 512 or self.points & (self.points - 1) or not 0 <= self.max_refused < 1:
            wanted = f"points, a power of two >= 512, and max_refused in [0, 1) for the engine '{name_of(self)}'"
            raise InputError(wanted, f"{self.points}, {self.max_refused}")

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        require_served(self, task, data)
        model = cast(MTD, task.model)
        if model.m < 2:
            raise InputError(
                f"at least two lags for the engine '{name_of(self)}'",
                "one",
                "use 'simplex_quadrature'",
            )
        factors = terms(model, data)
        found = _run(self.points, model, factors, data, seed)
        failed = np.flatnonzero(~found.passed)
        if failed.size:
            again = _run(
                MORE * self.points, model, factors[failed], data.select(datasets=failed), seed
            )
            found = Found(
                *(_replaced(old, failed, new) for old, new in zip(found, again, strict=True))
            )
        halves = tuple(next_symbol(model, data, found.halves[:, :, i]) for i in (0, 1))
        answer = Categorical((halves[0].probs + halves[1].probs) / 2)
        weights = {**moments(found.halves.mean(2), found.second), "mcse": found.mcse}
        return Branch(
            answer,
            self._certificate(found, weights, failed.size),
            {"weights": weights},
            (halves[0], halves[1]),
        )

    def _certificate(self, found: Found, weights: dict[str, Array], rerun: int) -> Certificate:
        """Trusted when few enough data sets fail."""
        share, kept = float((~found.passed).mean()), found.passed
        reasons: tuple[str, ...] = ()
        if share > self.max_refused:
            kept = np.ones_like(kept)
            ess, shape = (
                float(found.ess[~found.passed].min()),
                float(found.tail_shape[~found.passed].max()),
            )
            reasons = (
                f"{share:.1%} of data sets have uneven weights with {MORE * self.points} points; {self.max_refused:.1%} may",
                f"effective sample size {ess:.4g} at worst, must reach {MIN_ESS:g}; Pareto's k {shape:.2g} at worst, "
                f"must be below {TAIL_LIMIT}",
            )
        sd = np.maximum(weights["sd"][kept], 1e-12)
        bound = float((found.mcse[kept] / sd).max(initial=0.0))
        diagnostics = {
            "ess": float(found.ess[kept].min(initial=np.inf)),
            "pareto_k": float(found.tail_shape[kept].max(initial=-np.inf)),
            "mcse": float(found.mcse[kept].max(initial=0.0)),
            "refused_share": share,
            "rerun_share": rerun / found.passed.size,
        }
        return Certificate(
            "refused" if reasons else "trusted",
            self.method,
            bound,
            "montecarlo",
            reasons,
            diagnostics,
        )


class Found(NamedTuple):
    """What the points of a batch of sequences gave at the wanted prefixes.

    Attributes:
        halves: mean weights from each half of the replicates, (dataset, position, half, lag).
        second: second raw moment, (dataset, position, lag).
        mcse: standard error of the mean of both halves, the same shape.
        ess: smallest effective sample size of any prefix up to the last, (dataset,).
        tail_shape: largest Pareto's k at the end of a block, (dataset,).
    """

    halves: Array
    second: Array
    mcse: Array
    ess: Array
    tail_shape: Array

    @property
    def passed(self) -> Mask:
        """Which sequences pass both gates; NaN passes none."""
        return np.asarray((self.ess >= MIN_ESS) & (self.tail_shape < TAIL_LIMIT))


def _replaced(old: Array, rows: IntArray, new: Array) -> Array:
    out = old.copy()
    out[rows] = new
    return out


def _run(points: int, model: MTD, factors: Array, data: Data, seed: int) -> Found:
    """All sequences with this many points a block."""
    length = factors.shape[1]
    padded = np.pad(
        factors, ((0, 0), (1, -(length + 1) % SEGMENT), (0, 0)), constant_values=1.0
    )  # in front: no data
    segments = padded.shape[1] // SEGMENT
    ends = np.unique(np.append(0, np.ceil(segments / 2.0 ** np.arange(32)))).astype(np.int64)
    net = qmc.Sobol(model.m - 1, scramble=True, rng=np.random.default_rng(seed)).random(
        points // REPLICATES
    )
    parts = []
    for chunk in equal_chunks(len(factors), 256):
        with float64():
            shift = _shifts(
                keys(seed, "lag quasi-Monte Carlo", data.index[chunk]),
                (ends.size - 1, REPLICATES, 1, model.m - 1),
            )
            out = _sequences(
                padded[chunk],
                shift,
                _integers(net),
                ends,
                float(model.concentration),
                tail_size(points),
            )
            mean, second, mcse, ess, tails = (np.asarray(a) for a in out)
        at = data.positions
        used = np.arange(ess.shape[1]) <= at.max()
        sd = moments(mean[:, at].mean(2), second[:, at])["sd"]
        parts.append(Found(mean[:, at], second[:, at], _moderated(mcse[:, at], sd),
                           np.where(used, ess, np.inf).min(1), tail_shape(np.exp(tails - tails[..., :1])).max(1)))  # fmt: skip
    return Found(*(np.concatenate(column)[: len(factors)] for column in zip(*parts, strict=True)))


def _moderated(mcse: Array, sd: Array) -> Array:
    """Standard errors (..., lag) whose squares, in posterior variances, are drawn halfway to their mean over the lags.

    Sixteen replicates now and then agree by chance: of 3,200 weights one had a third of its true standard error and lay 7.2 of
    them off. Lags of a sequence have like errors in their own sds (Smyth 2004, doi 10.2202/1544-6115.1027).
    """
    square = (mcse / np.maximum(sd, TINY)) ** 2
    return sd * np.sqrt((square + square.mean(-1, keepdims=True)) / 2)


@partial(jax.jit, static_argnums=1)
def _shifts(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Integers (dataset, *shape)."""
    return jax.vmap(lambda one: _integers(uniforms(one, shape)[0]))(key)


def _integers(u: Array | jax.Array) -> jax.Array:
    return (jnp.asarray(u) * BITS).astype(jnp.int64)


@partial(jax.jit, static_argnames="tail")
def _sequences(
    factors: jax.Array, shift: jax.Array, net: jax.Array, ends: jax.Array, alpha: float, tail: int
) -> Any:
    """After each factor: mean weights of both halves, second moment, mcse, ess; and the largest weights after each block.

    Args:
        factors: (dataset, time, lag).
        shift: (dataset, block, replicate, 1, axis) integers; net: (point, axis) integers.
        ends: first segments of the blocks, and the end.
    """
    lags = factors.shape[2]

    def sequence(one: tuple[jax.Array, jax.Array]) -> Any:
        segments, centre = one[0].reshape(-1, SEGMENT, lags), jnp.full(lags, lags**-0.5)
        fits = jax.lax.scan(lambda at, end: _fit(one[0], end * SEGMENT, at, alpha), centre, ends)[1]

        def block(out: Any, given: tuple[Any, ...]) -> tuple[Any, jax.Array]:
            first, last, fit, shift = given
            share, log_weight = _proposal(((net[None] ^ shift) + 0.5) / BITS, fit, alpha)
            log_weight = jax.lax.fori_loop(
                0, first, lambda i, w: w + _logs(segments[i], share), log_weight
            )
            log_weight, out = jax.lax.fori_loop(
                first,
                last,
                lambda i, at: _segment(i, at[0], at[1], segments[i], share),
                (log_weight, out),
            )
            return out, jax.lax.top_k(log_weight, tail + 1)[0]

        pairs = jax.tree.map(lambda a: jnp.stack([a[:-1], a[1:]], axis=1), fits)
        out, tails = jax.lax.scan(block, _empty(segments), (ends[:-1], ends[1:], pairs, one[1]))
        return *(a.reshape(-1, *a.shape[2:]) for a in out), tails

    return jax.lax.map(sequence, (factors, shift))


def _fit(a: jax.Array, n: jax.Array, centre: jax.Array, alpha: float) -> tuple[jax.Array, Any]:
    """Mode and Cholesky factor of the curvature after n factors, in the tangent plane, by Newton's method.

    With b = 2 alpha - 1 and r_k = a_k s / sum_g a_kg s_g^2, at the mode the curvature is
    E^T (4 sum_k r_k r_k^T + 2 diag(b / s^2)) E + m I, E a basis of the plane: positive, so that every step is uphill.
    """
    used, exponent = (jnp.arange(len(a)) < n)[:, None], jnp.maximum(2 * alpha - 1, MILD)

    def curved(s: jax.Array) -> tuple[jax.Array, jax.Array]:
        r = jnp.where(used, a * s[None] / jnp.maximum(a @ s**2, TINY)[:, None], 0.0)
        slope, plane = 2 * r.sum(0) + exponent / s, _plane(s)
        curvature = plane.T @ (4 * r.T @ r + 2 * exponent * jnp.diag(s**-2)) @ plane
        return plane.T @ slope, jnp.linalg.cholesky(curvature + len(s) * jnp.eye(len(s) - 1))

    def newton(_: int, s: jax.Array) -> jax.Array:
        slope, factor = curved(s)
        step = cho_solve((factor, True), slope)
        step = step * jnp.minimum(1.0, LONGEST / jnp.maximum(jnp.linalg.norm(step), TINY))
        moved = jnp.maximum(jnp.abs(s + _plane(s) @ step), NEAREST)
        return moved / jnp.linalg.norm(moved)

    centre = jax.lax.fori_loop(0, STEPS, newton, centre)
    return centre, (centre, curved(centre)[1])


def _plane(s: jax.Array) -> jax.Array:
    """Orthonormal basis (lag, axis) of the plane that touches the sphere at s: a Householder reflection."""
    normal = s.at[-1].add(1.0)
    return (jnp.eye(len(s)) - jnp.outer(normal, normal) / normal[-1])[:, :-1]


def _proposal(u: jax.Array, fits: Any, alpha: float) -> tuple[jax.Array, jax.Array]:
    """Weights (lag, point) from uniforms (replicate, point, axis), and log prior density over proposal density (point,)."""
    root, half = jnp.sqrt(4 * u * (1 - u)), u.shape[1] // 2
    x = (
        jnp.sign(u - 0.5) * 2 * jnp.sqrt(jnp.maximum(jnp.cos(jnp.arccos(root) / 3) / root - 1, 0.0))
    )  # Student's t, 4
    drawn = []
    for centre, factor, part in zip(*fits, (x[:, :half], x[:, half:]), strict=True):
        plane = _plane(centre) @ solve_triangular(factor.T, part.reshape(-1, u.shape[2]).T)
        drawn.append((centre[:, None] + plane).reshape(-1, u.shape[0], half))
    s = jnp.concatenate(drawn, axis=2).reshape(u.shape[2] + 1, -1)
    inside, s = (s > 0).all(0), jnp.abs(s) / jnp.linalg.norm(s, axis=0, keepdims=True)
    log_q = []
    for centre, factor in zip(*fits, strict=True):
        along = centre @ s
        back = factor.T @ (_plane(centre).T @ s) / along[None]
        log_q.append(
            jnp.log(jnp.diag(factor)).sum()
            - 2.5 * jnp.log1p(back**2 / 4).sum(0)
            - len(s) * jnp.log(along)
        )
    log_prior = jnp.where(inside, (2 * alpha - 1) * jnp.log(s).sum(0), -jnp.inf)
    return s**2, log_prior - jnp.logaddexp(*log_q)


def _likelihood(a: jax.Array, share: jax.Array) -> jax.Array:
    """sum_g a_g share_g at every point; written out it fuses with what follows, a matrix product does not."""
    return sum((a[g] * share[g] for g in range(1, len(share))), start=a[0] * share[0])


def _logs(a: jax.Array, share: jax.Array) -> jax.Array:
    """Log likelihood of a segment at every point."""
    one = jnp.ones(share.shape[1])
    return jnp.log(
        jax.lax.fori_loop(0, SEGMENT, lambda s, grown: grown * _likelihood(a[s], share), one)
    )


def _segment(
    i: jax.Array, log_weight: jax.Array, out: Any, a: jax.Array, share: jax.Array
) -> tuple[jax.Array, Any]:
    """Move the weights of the points past a segment and write what each prefix in it gives."""
    lags = len(share)
    after = accumulate(
        a, lambda grown, row: grown * _likelihood(row, share), initial=jnp.ones(share.shape[1])
    )
    grown = jnp.stack(list(after)[1:])
    weight = jnp.exp(log_weight - log_weight.max())[None] * grown
    columns = jnp.concatenate([jnp.ones((1, share.shape[1])), share, share**2]).reshape(
        1 + 2 * lags, REPLICATES, -1
    )
    sums = jnp.einsum("srp,crp->src", weight.reshape(SEGMENT, REPLICATES, -1), columns)
    parts = sums.reshape(SEGMENT, 2, -1, 1 + 2 * lags).sum(2)
    halves = parts[..., 1 : lags + 1] / parts[..., :1]
    whole = parts.sum(1)
    mean, second = halves.mean(1), whole[:, lags + 1 :] / whole[:, :1]
    residual = (sums[..., 1 : lags + 1] - mean[:, None] * sums[..., :1]) / whole[:, None, :1]
    mcse = jnp.sqrt((residual**2).sum(1) * REPLICATES / (REPLICATES - 1))
    ess = whole[:, 0] ** 2 / (weight**2).sum(1)
    return log_weight + jnp.log(grown[-1]), tuple(
        old.at[i].set(new) for old, new in zip(out, (halves, second, mcse, ess), strict=True)
    )


def _empty(segments: jax.Array) -> Any:
    count, size, lags = segments.shape
    shapes = (2, lags), (lags,), (lags,), ()
    return tuple(jnp.zeros((count, size, *shape)) for shape in shapes)


PART = LagQuasiMonteCarlo
