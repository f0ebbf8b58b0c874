"""Differences between two sets of posterior draws, with Monte Carlo errors, in reference sds.

    mean          difference of means
    sd            logarithm of the ratio of sds; two values have no sd of their own
    correlation   difference of correlations
    shape         difference of the mean of a function with unit variance under the reference,
                  uncorrelated there with the latent and its square: order 3 sees asymmetry, order 4
                  tails and modes, 5 and 6 finer detail

A difference d of a mean or of a shape, small and in these units, is a divergence of d^2 / 2 nats.
The functions of shape are the first `ORDERS` Legendre polynomials in the normal probability of the
standardised draw, made orthogonal to 1, z and z^2, cut at `CUT`, over the reference's draws.
Standard errors come from the effective sample size of each function's own chain (Vehtari et al.
2021, arXiv 1903.08008); smooth functions: Neyman 1937, doi:10.1080/03461238.1937.10404821.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.polynomial.legendre import legvander
from scipy.special import ndtr
from scipy.stats import norm

from veribayes.predictive import Array
from veribayes.statistics.diagnostics import ess, split

LEVEL = 0.05  # of all intervals together
ORDERS = 4  # functions of shape; measured by benchmarks/comparison.py
CUT = 3.0  # sds: beyond, the square of a heavy tail would be all noise
PAIRED = 40  # latents up to which all correlations are compared: 780 pairs
POWER = 0.8  # with which the number of draws that is stated settles it
# Residual sd below which a shape says nothing beside mean and sd: draws with few values.
COLLINEAR = 0.05
NEGLIGIBLE = 1e-12  # spread of what varies by rounding alone


@dataclass(frozen=True)
class Effect:
    """One difference between the two posteriors.

    Attributes:
        name: latent, two of them, or latent and order.
        kind: `mean`, `sd`, `correlation` or `shape`.
        estimate: candidate less reference.
        low, high: limits that hold for all effects together, 95 %.
        z: estimate in standard errors.
        reference_error, candidate_error: Monte Carlo standard error that each side contributes.
        capped: `z` if each side had at most as many effective draws as `differences` was told.
    """

    name: str
    kind: str
    estimate: float
    low: float
    high: float
    z: float
    reference_error: float
    candidate_error: float
    capped: float

    @property
    def error(self) -> float:
        return float(np.hypot(self.reference_error, self.candidate_error))

    @property
    def critical(self) -> float:
        """Standard errors between the estimate and its simultaneous limits."""
        return (self.high - self.low) / 2 / self.error if self.error > 0 else 0.0

    def outside(self, tolerance: float) -> bool:
        """Beyond the tolerance, with the search over all effects paid for."""
        return self.low > tolerance or self.high < -tolerance

    def inside(self, tolerance: float) -> bool:
        """Within the tolerance by its own 95 % interval.

        *All inside* needs no correction (intersection-union).
        """
        reach = norm.isf(LEVEL / 2) * self.error
        return bool(abs(self.estimate) + reach < tolerance)


@dataclass(frozen=True)
class Needed:
    """How many draws would settle an open comparison with probability `POWER`.

    Attributes:
        factor: times as many draws on both sides.
        candidate_factor: times as many of the candidate alone; None where the reference's error is
            in the way.
    """

    factor: float
    candidate_factor: float | None


class Group(NamedTuple):
    """Differences of one kind.

    Attributes:
        kind: as in `Effect`.
        labels: a name for each.
        sides: of the reference and of the candidate, (3, label): value, standard error, spread of a
            single draw.
    """

    kind: str
    labels: list[str]
    sides: Sequence[Array]


def effects(
    truth: Array, candidate: Array, names: Sequence[str], *, cap: int = 2000
) -> list[Effect]:
    """Those of `differences` that are no shape: means, sds and correlations."""
    differing = differences(truth, candidate, names, cap=cap)
    return [effect for effect in differing if effect.kind != "shape"]


def differences(
    truth: Array, candidate: Array, names: Sequence[str], *, cap: int = 2000
) -> list[Effect]:
    """All effects between draws (scalar, chain, draw) of the same scalars.

    None of them is constant in the reference.

    Args:
        cap: effective draws a side that `capped` counts at most.
    """
    sd, centre = truth.std(axis=(1, 2), ddof=1), truth.mean(axis=(1, 2))
    standardised = []
    for draws in (truth, candidate):
        z = (draws - centre[:, None, None]) / sd[:, None, None]
        standardised.append(_several(z))
    groups = [Group("mean", list(names), [_moment(z) for z in standardised])]
    groups += _spreads(names, standardised)
    for i, name in enumerate(names):
        for order, sides in _shapes(standardised[0], standardised[1], i):
            groups.append(Group("shape", [f"{name}, order {order}"], sides))
    if 1 < len(names) <= PAIRED:
        pairs = list(combinations(range(len(names)), 2))
        labels = [f"{names[i]}, {names[j]}" for i, j in pairs]
        sides = [_correlations(z, pairs) for z in standardised]
        groups.append(Group("correlation", labels, sides))
    count = sum(len(group.labels) for group in groups)
    limit = float(norm.isf(LEVEL / 2 / count))
    differing: list[Effect] = []
    for group in groups:
        differing += _effects(group, limit, cap)
    return differing


def _spreads(names: Sequence[str], standardised: Sequence[Array]) -> list[Group]:
    """Log sds of the scalars that have more than two values."""
    wide = np.array([np.unique(z).size > 2 for z in standardised[0]])
    if not wide.any():
        return []
    labels = [name for name, several in zip(names, wide, strict=True) if several]
    return [Group("sd", labels, [_log_sd(z[wide]) for z in standardised])]


def needed(effects: Sequence[Effect], tolerance: float) -> Needed | None:
    """Draws that would settle it; None where no number does.

    Effects within their simultaneous limits of zero are taken as zero. One effect beyond the
    tolerance settles it; else every one must come to lie within.
    """
    beyond = [effect for effect in effects if abs(_assumed(effect)) > tolerance]
    both, alone = [], []
    for effect in beyond or effects:
        room = _room(effect, tolerance, len(effects))
        both.append(_times(effect.error, room))
        alone.append(_times_alone(effect, room))
    choose = min if beyond else max
    factor, candidate = choose(both, default=np.inf), choose(alone, default=np.inf)
    if not np.isfinite(factor):
        return None
    return Needed(float(factor), float(candidate) if np.isfinite(candidate) else None)


def _assumed(effect: Effect) -> float:
    significant = abs(effect.estimate) > effect.critical * effect.error
    return effect.estimate if significant else 0.0


def _room(effect: Effect, tolerance: float, count: int) -> float:
    """Standard error at which the effect is settled with probability `POWER`."""
    size = abs(_assumed(effect))
    if size > tolerance:
        return float((size - tolerance) / (effect.critical + norm.ppf(POWER)))
    sides = 2 if size == 0 else 1
    reach = norm.isf(LEVEL / 2) + norm.isf((1 - POWER) / count / sides)
    return float((tolerance - size) / reach)


def _times(error: float, room: float) -> float:
    return (error / room) ** 2 if room > 0 else np.inf


def _times_alone(effect: Effect, room: float) -> float:
    left = room**2 - effect.reference_error**2
    return effect.candidate_error**2 / left if left > 0 else np.inf


def _effects(group: Group, limit: float, cap: int) -> Iterator[Effect]:
    """Differences between the estimates of both sides,
    with limits that many standard errors away.
    """
    truth, candidate = group.sides
    estimate, error = candidate[0] - truth[0], np.hypot(truth[1], candidate[1])
    least_errors = [np.maximum(side[1], side[2] / np.sqrt(cap)) for side in group.sides]
    low, high = estimate - limit * error, estimate + limit * error
    z = _in_errors(estimate, error)
    capped = _in_errors(estimate, np.hypot(*least_errors))
    columns = (estimate, low, high, z, truth[1], candidate[1], capped)
    for i, name in enumerate(group.labels):
        yield Effect(name, group.kind, *(float(column[i]) for column in columns))


def _in_errors(estimate: Array, error: Array) -> Array:
    """Estimates in units of their errors; zero where there is no error."""
    return np.divide(estimate, error, out=np.zeros_like(estimate), where=error > 0)


def _several(draws: Array) -> Array:
    """One chain as its two halves.

    That shows an error, if not that another chain would go elsewhere.
    """
    if draws.shape[1] > 1:
        return draws
    half = draws.shape[2] // 2
    return np.concatenate([draws[..., :half], draws[..., -half:]], axis=1)


def _moment(draws: Array) -> Array:
    """Mean, its Monte Carlo standard error, and the spread of one draw, (3, scalar).

    There is no error where nothing varies.
    """
    mean, spread = draws.mean(axis=(1, 2)), draws.std(axis=(1, 2), ddof=1)
    largest = np.abs(draws).max(axis=(1, 2))
    varies = spread > NEGLIGIBLE * np.maximum(largest, NEGLIGIBLE)
    size = np.full(spread.shape, np.inf)
    if varies.any():
        size[varies] = ess(split(draws[varies][None]))[0]
    return np.stack([mean, spread / np.sqrt(size), np.where(varies, spread, 0.0)])


def _log_sd(draws: Array) -> Array:
    """log sd, by the delta method from the mean square."""
    centred = draws - draws.mean(axis=(1, 2), keepdims=True)
    mean, error, spread = _moment(centred**2)
    return np.stack([0.5 * np.log(mean), 0.5 * error / mean, 0.5 * spread / mean])


def _shapes(truth: Array, candidate: Array, at: int) -> Iterator[tuple[int, list[Array]]]:
    """Order and both sides of every function of one scalar's shape, (3, 1) each."""
    sides = (truth[at], candidate[at])
    basis, polynomials = [], []
    for side in sides:
        z = np.clip(side.ravel(), -CUT, CUT)
        basis.append(np.stack([np.ones(z.size), z, z**2], axis=1))
        uniform = 2 * ndtr(side.ravel()) - 1
        polynomials.append(legvander(uniform, ORDERS)[:, 1:])
    for i in range(ORDERS):
        slopes = np.linalg.lstsq(basis[0], polynomials[0][:, i], rcond=None)[0]
        rest = [raw[:, i] - lower @ slopes for raw, lower in zip(polynomials, basis, strict=True)]
        spread = rest[0].std()
        if spread <= COLLINEAR * polynomials[0][:, i].std():
            continue
        functions = [values / spread for values in rest]
        basis = [np.column_stack(both) for both in zip(basis, functions, strict=True)]
        moments = []
        for values, side in zip(functions, sides, strict=True):
            moments.append(_moment(values.reshape(1, *side.shape)))
        yield 3 + i, moments


def _correlations(draws: Array, pairs: Sequence[tuple[int, int]]) -> Array:
    """Correlations; their errors from the influence z_i z_j - r (z_i^2 + z_j^2) / 2.

    A constant has no correlation: zero.
    """
    centred = draws - draws.mean(axis=(1, 2), keepdims=True)
    sd = draws.std(axis=(1, 2), keepdims=True)
    z = np.divide(centred, sd, out=np.zeros_like(centred), where=sd > 0)
    i, j = np.array(pairs).T
    product = z[i] * z[j]
    r = product.mean(axis=(1, 2))
    influence = product - r[:, None, None] * (z[i] ** 2 + z[j] ** 2) / 2
    _, error, spread = _moment(influence)
    return np.stack([r, error, spread])
