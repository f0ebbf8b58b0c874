"""Bayes for mixture-of-transition weights with many lags, at every prefix,
by randomised quasi-Monte Carlo.

Prefixes are read in blocks of doubling length. The proposal of a block is an equal mixture of two
fits to the posterior, at its first and at its last prefix. Fits live on the sphere, lambda = s^2,
where the density is s^(2 alpha - 1) times the likelihood: square roots make Dirichlet and
multinomial laws nearly normal, and a face of the simplex cuts a fit off instead of drawing it out
into an exponential tail, as logarithms do. In the plane that touches the sphere at the mode,
whitened by the curvature, each coordinate has Student's t law with 4 degrees of freedom. One set of
points serves all prefixes of its block; only its weights are updated.

The points are Sobol' points under independent digital shifts. The shifts make independent unbiased
replicates: they give the error bar, and two halves of them give the pair of estimates whose
difference corrects a comparison. A sequence whose weights are too uneven (effective sample size,
Pareto's k) is run again with four times the points,
and counts against `max_refused` if it fails again.

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
from scipy.stats import qmc

from veribayes.errors import InputError
from veribayes.inference._engine import (
    certify_by_draws,
    equal_chunks,
    float64,
    moments,
    name_of,
    require_positive,
    require_served,
)
from veribayes.inference._simplex import next_symbol, terms
from veribayes.inference._sphere import TINY, fit, proposal
from veribayes.models._random import keys, uniforms
from veribayes.models._task import Task
from veribayes.models.mtd import MTD
from veribayes.predictive import Array, Categorical
from veribayes.statistics.diagnostics import Mask
from veribayes.statistics.pareto import tail_shape, tail_size
from veribayes.tree import Branch, Certificate, Data, IntArray
from veribayes.tree.method import Method

# fewer make the error bar itself uncertain:
# its z-scores would be Student's t with 7 degrees of freedom at 8
REPLICATES = 16
MIN_ESS = 200.0  # points; the error bar is an asymptotic statement
TAIL_LIMIT = 0.5  # Pareto's k of the weights from which an average has no variance
SEGMENT = 16  # symbols between returns to log space, and the first block
BITS = 2**30  # of Sobol' points
MORE = 4  # times the points in the second run


@dataclass(frozen=True)
class LagQuasiMonteCarlo:
    """Importance sampling with Sobol' points.

    Attributes:
        points: of each block, a power of two of at least 512.
        max_refused: largest share of data sets that may fail the gates twice.
    """

    points: int = 4096
    max_refused: float = 0.01
    method: ClassVar[Method] = Method.QUASI_MONTE_CARLO
    families: ClassVar[tuple[str, ...]] = ("mtd",)

    def __post_init__(self) -> None:
        require_positive(self, points=self.points)
        enough = self.points >= 512 and self.points & (self.points - 1) == 0
        if not enough or not 0 <= self.max_refused < 1:
            wanted = (
                "points, a power of two >= 512, and max_refused in [0, 1) for the engine "
                f"'{name_of(self)}'"
            )
            raise InputError(wanted, f"{self.points}, {self.max_refused}")

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        require_served(self, task, data)
        model = cast(MTD, task.model)
        if model.m < 2:
            wanted = f"at least two lags for the engine '{name_of(self)}'"
            raise InputError(wanted, "one", "use 'simplex_quadrature'")
        factors = terms(model, data)
        by_prefix = _run(self.points, model, factors, data, seed)
        failed = np.flatnonzero(~by_prefix.passed)
        if failed.size:
            some = data.select(datasets=failed)
            again = _run(MORE * self.points, model, factors[failed], some, seed)
            columns = zip(by_prefix, again, strict=True)
            by_prefix = PrefixMoments(*(_replaced(old, failed, new) for old, new in columns))
        first = next_symbol(model, data, by_prefix.halves[:, :, 0])
        second = next_symbol(model, data, by_prefix.halves[:, :, 1])
        answer = Categorical((first.probs + second.probs) / 2)
        weights = {**moments(by_prefix.halves.mean(2), by_prefix.second), "mcse": by_prefix.mcse}
        certificate = self._certificate(by_prefix, weights, failed.size)
        return Branch(answer, certificate, {"weights": weights}, (first, second))

    def _certificate(
        self, by_prefix: PrefixMoments, weights: dict[str, Array], rerun: int
    ) -> Certificate:
        """Trusted when few enough data sets fail."""
        passed = by_prefix.passed
        refused_share = float((~passed).mean())
        reasons: tuple[str, ...] = ()
        kept = passed
        if refused_share > self.max_refused:
            kept = np.ones_like(passed)
            reasons = self._reasons(by_prefix, refused_share)
        sd = np.maximum(weights["sd"][kept], 1e-12)
        bound = float((by_prefix.mcse[kept] / sd).max(initial=0.0))
        diagnostics: dict[str, float] = {}
        diagnostics["ess"] = float(by_prefix.ess[kept].min(initial=np.inf))
        diagnostics["pareto_k"] = float(by_prefix.tail_shape[kept].max(initial=-np.inf))
        diagnostics["mcse"] = float(by_prefix.mcse[kept].max(initial=0.0))
        diagnostics["refused_share"] = refused_share
        diagnostics["rerun_share"] = rerun / passed.size
        return certify_by_draws(self.method, bound, reasons, diagnostics)

    def _reasons(self, by_prefix: PrefixMoments, refused_share: float) -> tuple[str, ...]:
        """What is wrong with the weights of the data sets that failed."""
        points = MORE * self.points
        ess = float(by_prefix.ess[~by_prefix.passed].min())
        shape = float(by_prefix.tail_shape[~by_prefix.passed].max())
        uneven = f"{refused_share:.1%} of data sets have uneven weights with {points} points"
        worst_ess = f"effective sample size {ess:.4g} at worst, must reach {MIN_ESS:g}"
        worst_shape = f"Pareto's k {shape:.2g} at worst, must be below {TAIL_LIMIT}"
        return (f"{uneven}; {self.max_refused:.1%} may", f"{worst_ess}; {worst_shape}")


class PrefixMoments(NamedTuple):
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


def _run(points: int, model: MTD, factors: Array, data: Data, seed: int) -> PrefixMoments:
    """All sequences with this many points a block."""
    datasets, length, lags = factors.shape
    in_front = -(length + 1) % SEGMENT  # ones: no data
    padded = np.pad(factors, ((0, 0), (1, in_front), (0, 0)), constant_values=1.0)
    ends = _ends(padded.shape[1] // SEGMENT)
    sobol = qmc.Sobol(lags - 1, scramble=True, rng=np.random.default_rng(seed))
    net = sobol.random(points // REPLICATES)
    shift_shape = (ends.size - 1, REPLICATES, 1, lags - 1)
    alpha = float(model.concentration)
    parts = []
    for chunk in equal_chunks(datasets, 256):
        with float64():
            chunk_keys = keys(seed, "lag quasi-Monte Carlo", data.index[chunk])
            shift = _shifts(chunk_keys, shift_shape)
            prefixes = _sequences(
                padded[chunk], shift, _integers(net), ends, alpha, tail_size(points)
            )
            parts.append(_at_positions(jax.tree.map(np.asarray, prefixes), data.positions))
    columns = zip(*parts, strict=True)
    return PrefixMoments(*(np.concatenate(column)[:datasets] for column in columns))


def _ends(segments: int) -> IntArray:
    """First segments of the blocks, each half as long as the next, and the end."""
    halved = np.ceil(segments / 2.0 ** np.arange(32))
    return np.unique(np.append(0, halved)).astype(np.int64)


def _at_positions(prefixes: tuple[Array, ...], positions: IntArray) -> PrefixMoments:
    """What all prefixes gave, at the wanted ones."""
    mean, second, mcse, ess, tails = prefixes
    used = np.arange(ess.shape[1]) <= positions.max()
    halves, square = mean[:, positions], second[:, positions]
    sd = moments(halves.mean(2), square)["sd"]
    smallest_ess = np.where(used, ess, np.inf).min(1)
    largest_shape = tail_shape(np.exp(tails - tails[..., :1])).max(1)
    return PrefixMoments(
        halves, square, _moderated(mcse[:, positions], sd), smallest_ess, largest_shape
    )


def _moderated(mcse: Array, sd: Array) -> Array:
    """Standard errors (..., lag) whose squares, in posterior variances,
    are drawn halfway to their mean over the lags.

    Sixteen replicates now and then agree by chance: of 3,200 weights one had a third of its true
    standard error and lay 7.2 of them off. Lags of a sequence have like errors in their own sds
    (Smyth 2004, doi 10.2202/1544-6115.1027).
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
    """After each factor: mean weights of both halves, second moment, mcse, ess;
    and the largest weights after each block.

    Args:
        factors: (dataset, time, lag).
        shift: (dataset, block, replicate, 1, axis) integers; net: (point, axis) integers.
        ends: first segments of the blocks, and the end.
    """
    lags = factors.shape[2]

    def sequence(one: tuple[jax.Array, jax.Array]) -> Any:
        series, shifts = one
        segments = series.reshape(-1, SEGMENT, lags)

        def fit_at(centre: jax.Array, end: jax.Array) -> tuple[jax.Array, Any]:
            return fit(series, end * SEGMENT, centre, alpha)

        def block(out: Any, given: tuple[Any, ...]) -> tuple[Any, jax.Array]:
            first, last, pair, shift = given
            share, log_weight = proposal(((net[None] ^ shift) + 0.5) / BITS, pair, alpha)

            def pass_by(i: jax.Array, log_weight: jax.Array) -> jax.Array:
                return log_weight + _logs(segments[i], share)

            def read(i: jax.Array, state: Any) -> Any:
                return _segment(i, state[0], state[1], segments[i], share)

            log_weight = jax.lax.fori_loop(0, first, pass_by, log_weight)
            log_weight, out = jax.lax.fori_loop(first, last, read, (log_weight, out))
            return out, jax.lax.top_k(log_weight, tail + 1)[0]

        _, fits = jax.lax.scan(fit_at, jnp.full(lags, lags**-0.5), ends)
        pairs = jax.tree.map(_pairs, fits)
        blocks = (ends[:-1], ends[1:], pairs, shifts)
        out, tails = jax.lax.scan(block, _empty(segments), blocks)
        flat = [array.reshape(-1, *array.shape[2:]) for array in out]
        return *flat, tails

    return jax.lax.map(sequence, (factors, shift))


def _pairs(fits: jax.Array) -> jax.Array:
    """The fit at the first and at the last prefix of each block."""
    return jnp.stack([fits[:-1], fits[1:]], axis=1)


def _likelihood(a: jax.Array, share: jax.Array) -> jax.Array:
    """sum_g a_g share_g at every point; written out it fuses with what follows,
    a matrix product does not.
    """
    likelihood = a[0] * share[0]
    for g in range(1, len(share)):
        likelihood = likelihood + a[g] * share[g]
    return likelihood


def _logs(a: jax.Array, share: jax.Array) -> jax.Array:
    """Log likelihood of a segment at every point."""

    def grow(s: jax.Array, grown: jax.Array) -> jax.Array:
        return grown * _likelihood(a[s], share)

    return jnp.log(jax.lax.fori_loop(0, SEGMENT, grow, jnp.ones(share.shape[1])))


def _segment(
    i: jax.Array, log_weight: jax.Array, out: Any, a: jax.Array, share: jax.Array
) -> tuple[jax.Array, Any]:
    """Move the weights of the points past a segment and write what each prefix in it gives."""
    lags, points = share.shape
    ones = jnp.ones(points)
    grown = _grown(a, share, ones)
    weight = jnp.exp(log_weight - log_weight.max())[None] * grown
    columns = jnp.concatenate([ones[None], share, share**2])
    by_replicate = columns.reshape(1 + 2 * lags, REPLICATES, -1)
    sums = jnp.einsum("srp,crp->src", weight.reshape(SEGMENT, REPLICATES, -1), by_replicate)
    parts = sums.reshape(SEGMENT, 2, -1, 1 + 2 * lags).sum(2)
    halves = parts[..., 1 : lags + 1] / parts[..., :1]
    whole = parts.sum(1)
    mean = halves.mean(1)
    second = whole[:, lags + 1 :] / whole[:, :1]
    expected = mean[:, None] * sums[..., :1]
    residual = (sums[..., 1 : lags + 1] - expected) / whole[:, None, :1]
    mcse = jnp.sqrt((residual**2).sum(1) * REPLICATES / (REPLICATES - 1))
    ess = whole[:, 0] ** 2 / (weight**2).sum(1)
    pairs = zip(out, (halves, second, mcse, ess), strict=True)
    written = tuple(old.at[i].set(new) for old, new in pairs)
    return log_weight + jnp.log(grown[-1]), written


def _grown(a: jax.Array, share: jax.Array, ones: jax.Array) -> jax.Array:
    """Likelihood of every prefix of a segment, (symbol, point)."""

    def grow(grown: jax.Array, row: jax.Array) -> jax.Array:
        return grown * _likelihood(row, share)

    prefixes = list(accumulate(a, grow, initial=ones))
    return jnp.stack(prefixes[1:])


def _empty(segments: jax.Array) -> Any:
    """Arrays (segment, symbol, ...) for what each prefix gives."""
    count, size, lags = segments.shape
    shapes = ((2, lags), (lags,), (lags,), ())
    return tuple(jnp.zeros((count, size, *shape)) for shape in shapes)


PART = LagQuasiMonteCarlo
