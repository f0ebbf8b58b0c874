"""Differences between two sets of posterior draws, each with its Monte Carlo error and in one unit: sds of the reference.

    mean          difference of means
    sd            logarithm of the ratio of sds; two values have no sd of their own
    correlation   difference of correlations
    shape         difference of the mean of a function with unit variance under the reference, uncorrelated there with the
                  latent and its square: order 3 sees asymmetry, order 4 tails and modes, 5 and 6 finer detail

A difference d of a mean or of a shape, small and in these units, is a divergence of d^2 / 2 nats. The functions of
shape are the first `ORDERS` Legendre polynomials in the normal probability of the standardised draw, made orthogonal to
1, z and z^2, cut at `CUT`, over the reference's draws. Standard errors come from the effective sample size of each
function's own chain (Vehtari et al. 2021, arXiv 1903.08008); smooth functions: Neyman 1937,
doi:10.1080/03461238.1937.10404821.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

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
COLLINEAR = 0.05  # residual sd below which a function of shape says nothing beside mean and sd: draws with few values
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
        """Within the tolerance by its own 95 % interval: *all inside* needs no correction (intersection-union)."""
        return bool(abs(self.estimate) + norm.isf(LEVEL / 2) * self.error < tolerance)


@dataclass(frozen=True)
class Needed:
    """How many draws would settle an open comparison with probability `POWER`.

    Attributes:
        factor: times as many draws on both sides.
        candidate_factor: times as many of the candidate alone; None where the reference's error is in the way.
    """

    factor: float
    candidate_factor: float | None


def effects(
    truth: Array, candidate: Array, names: Sequence[str], *, cap: int = 2000
) -> list[Effect]:
    """Those of `differences` that are no shape: means, sds and correlations."""
    return [e for e in differences(truth, candidate, names, cap=cap) if e.kind != "shape"]


def differences(
    truth: Array, candidate: Array, names: Sequence[str], *, cap: int = 2000
) -> list[Effect]:
    """All effects between draws (scalar, chain, draw) of the same scalars, none of which is constant in the reference.

    Args:
        cap: effective draws a side that `capped` counts at most.
    """
    sd, centre = truth.std(axis=(1, 2), ddof=1), truth.mean(axis=(1, 2))
    white = [
        _several((draws - centre[:, None, None]) / sd[:, None, None])
        for draws in (truth, candidate)
    ]
    pairs = list(combinations(range(len(names)), 2)) if len(names) <= PAIRED else []
    parts = [("mean", list(names), [_moment(w) for w in white])]
    wide = np.array([np.unique(w).size > 2 for w in white[0]])
    if wide.any():
        labels = [n for n, several in zip(names, wide, strict=True) if several]
        parts.append(("sd", labels, [_log_sd(w[wide]) for w in white]))
    parts += [
        ("shape", [f"{name}, order {o}"], sides)
        for i, name in enumerate(names)
        for o, sides in _shapes(white[0], white[1], i)
    ]
    if pairs:
        labels = [f"{names[i]}, {names[j]}" for i, j in pairs]
        parts.append(("correlation", labels, [_correlations(w, pairs) for w in white]))
    limit = float(norm.isf(LEVEL / 2 / sum(len(labels) for _, labels, _ in parts)))
    return [e for kind, labels, sides in parts for e in _effects(labels, kind, sides, limit, cap)]


def needed(found: Sequence[Effect], tolerance: float) -> Needed | None:
    """Draws that would settle it, effects within their simultaneous limits of zero being zero; None where no number does.

    One effect beyond the tolerance settles it; else every one must come to lie within.
    """
    beyond = [e for e in found if abs(_assumed(e)) > tolerance]
    rooms = [(e, _room(e, tolerance, len(found))) for e in beyond or found]
    both = [_times(e.error, room) for e, room in rooms]
    alone = [_times_alone(e, room) for e, room in rooms]
    choose = min if beyond else max
    factor, candidate = choose(both, default=np.inf), choose(alone, default=np.inf)
    return (
        Needed(float(factor), float(candidate) if np.isfinite(candidate) else None)
        if np.isfinite(factor)
        else None
    )


def _assumed(e: Effect) -> float:
    return e.estimate if abs(e.estimate) > e.critical * e.error else 0.0


def _room(e: Effect, tolerance: float, count: int) -> float:
    """Standard error at which the effect is settled with probability `POWER`."""
    size = abs(_assumed(e))
    if size > tolerance:
        return float((size - tolerance) / (e.critical + norm.ppf(POWER)))
    sides = 2 if size == 0 else 1
    return float((tolerance - size) / (norm.isf(LEVEL / 2) + norm.isf((1 - POWER) / count / sides)))


def _times(error: float, room: float) -> float:
    return (error / room) ** 2 if room > 0 else np.inf


def _times_alone(e: Effect, room: float) -> float:
    left = room**2 - e.reference_error**2
    return e.candidate_error**2 / left if left > 0 else np.inf


def _effects(
    names: Sequence[str], kind: str, sides: Sequence[Array], limit: float, cap: int
) -> Iterator[Effect]:
    """Differences between the estimates of both sides, (3, scalar) each: value, standard error, spread of a single draw."""
    truth, candidate = sides
    estimate, error = candidate[0] - truth[0], np.hypot(truth[1], candidate[1])
    fewest = np.hypot(*(np.maximum(side[1], side[2] / np.sqrt(cap)) for side in sides))
    z, capped = (
        np.divide(estimate, e, out=np.zeros_like(estimate), where=e > 0) for e in (error, fewest)
    )
    columns = (
        estimate,
        estimate - limit * error,
        estimate + limit * error,
        z,
        truth[1],
        candidate[1],
        capped,
    )
    for i, name in enumerate(names):
        yield Effect(name, kind, *(float(column[i]) for column in columns))


def _several(draws: Array) -> Array:
    """One chain as its two halves: that shows an error, if not that another chain would go elsewhere."""
    if draws.shape[1] > 1:
        return draws
    half = draws.shape[2] // 2
    return np.concatenate([draws[..., :half], draws[..., -half:]], axis=1)


def _moment(draws: Array) -> Array:
    """Mean, its Monte Carlo standard error, and the spread of one draw, (3, scalar); no error where nothing varies."""
    spread = draws.std(axis=(1, 2), ddof=1)
    varies = spread > NEGLIGIBLE * np.maximum(np.abs(draws).max(axis=(1, 2)), NEGLIGIBLE)
    size = np.full(spread.shape, np.inf)
    if varies.any():
        size[varies] = ess(split(draws[varies][None]))[0]
    return np.stack(
        [draws.mean(axis=(1, 2)), spread / np.sqrt(size), np.where(varies, spread, 0.0)]
    )


def _log_sd(draws: Array) -> Array:
    """log sd, by the delta method from the mean square."""
    mean, error, spread = _moment((draws - draws.mean(axis=(1, 2), keepdims=True)) ** 2)
    return np.stack([0.5 * np.log(mean), 0.5 * error / mean, 0.5 * spread / mean])


def _shapes(truth: Array, candidate: Array, at: int) -> Iterator[tuple[int, list[Array]]]:
    """Order and both sides of every function of one scalar's shape, (3, 1) each."""
    sides = (truth[at], candidate[at])
    cut = [np.clip(z.ravel(), -CUT, CUT) for z in sides]
    basis = [np.stack([np.ones(z.size), z, z**2], axis=1) for z in cut]
    raw = [legvander(2 * ndtr(z.ravel()) - 1, ORDERS)[:, 1:] for z in sides]
    for i in range(ORDERS):
        slopes = np.linalg.lstsq(basis[0], raw[0][:, i], rcond=None)[0]
        rest = [
            polynomials[:, i] - functions @ slopes
            for polynomials, functions in zip(raw, basis, strict=True)
        ]
        spread = rest[0].std()
        if spread <= COLLINEAR * raw[0][:, i].std():
            continue
        made = [values / spread for values in rest]
        basis = [np.column_stack(both) for both in zip(basis, made, strict=True)]
        yield (
            3 + i,
            [
                _moment(values.reshape(1, *side.shape))
                for values, side in zip(made, sides, strict=True)
            ],
        )


def _correlations(draws: Array, pairs: Sequence[tuple[int, int]]) -> Array:
    """Correlations; their errors from the influence z_i z_j - r (z_i^2 + z_j^2) / 2. A constant has none: zero."""
    centred = draws - draws.mean(axis=(1, 2), keepdims=True)
    sd = draws.std(axis=(1, 2), keepdims=True)
    z = np.divide(centred, sd, out=np.zeros_like(centred), where=sd > 0)
    i, j = np.array(pairs).T
    r = (z[i] * z[j]).mean(axis=(1, 2))
    influence = z[i] * z[j] - r[:, None, None] * (z[i] ** 2 + z[j] ** 2) / 2
    _, error, spread = _moment(influence)
    return np.stack([r, error, spread])
