"""What Monte Carlo error adds to a Kullback-Leibler divergence, and its removal.

KL is convex: noise in the reference p raises KL(p || q) by half of sum Var(p) / p on average, noise
in the candidate q by half of sum p Var(q) / q^2, and averaging over data sets takes neither away.
Two independent runs show it. Score their mean p = (p1 + p2) / 2 and subtract sum (p1 - p2)^2 / (8
p); for a candidate, sum p (q1 - q2)^2 / (8 q^2). Since (a - b) / (a + b) = tanh((log a - log b) /
2), both are sum p tanh^2 / 2, and what is left is of the next order, sum p tanh^4 / 3. Between
densities the sums are integrals over the line; where a candidate has no tails, over what lies
between its borders, given that y does. The noise of the exact mass outside is neglected there: 1 %
of the rest.

Noise in a mean m raises the squared error by its variance. The product of the errors against two
independent runs, (c - m1) (c - m2) = (c - m)^2 - (m1 - m2)^2 / 4, has none of it, and nothing is
left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from veribayes.errors import InputError
from veribayes.predictive import Array, Bins, Categorical, Normal, NormalMixture, Predictive
from veribayes.validation.metrics._cells import conditioned, log_masses, log_probs
from veribayes.validation.metrics._metric import rowwise
from veribayes.validation.metrics._quadrature import integrate
from veribayes.validation.metrics.kl import PART as KL
from veribayes.validation.metrics.kl_density import PART as KL_DENSITY
from veribayes.validation.metrics.kl_density import components

Runs = tuple[Predictive, Predictive]  # two independent runs of one length


@dataclass(frozen=True, eq=False)
class Corrected:
    """KL(exact || candidate) without its Monte Carlo bias, in nats; every array (dataset, position,
    query).

    Attributes:
        value: corrected; may be negative and is not clipped.
        raw: as scored.
        remainder: size of what the correction leaves; its mean belongs into the decision's
            `reference_error`.
    """

    value: Array
    raw: Array
    remainder: Array


def corrected_kl(
    candidate: Predictive | Runs,
    reference: Predictive | Runs,
    outcome: Array,
    *,
    masses: bool = False,
) -> Corrected:
    """KL between the averages of the runs, less the bias of each side that was run twice.

    Args:
        masses: of bins, between the masses of the candidate's cells (metric `kl`) instead of
            densities (`kl_density`).
        candidate, reference: a predictive that is exact, or two independent runs of a Monte Carlo
            one.
        outcome: realised values (dataset, position, query); NaN where a query does not apply.
    """
    q = _one(candidate)
    p = _one(reference)
    raw = (KL if masses else KL_DENSITY).score(q, p, outcome)
    excess = np.zeros((2, *raw.shape))
    for law in (candidate, reference):
        if isinstance(law, tuple):
            excess += _excess(q, p, law, ~np.isnan(raw), masses)
    noise, remainder = excess
    return Corrected(raw - noise, raw, np.where(np.isnan(raw), np.nan, remainder))


def corrected_squares(
    candidate: Predictive | Runs, reference: Predictive | Runs, outcome: Array
) -> Array:
    """Squared error of the mean without its Monte Carlo bias, (dataset, position, query).

    Unbiased, so that it may be negative. Arguments as in `corrected_kl`.
    """
    first, second = (_error(candidate, reference, run) for run in (0, 1))
    return np.where(np.isnan(outcome), np.nan, first * second)


def _error(candidate: Predictive | Runs, reference: Predictive | Runs, run: int) -> Array:
    """What one run's mean is off by one run of the reference's; a law without runs is both."""
    laws = [law[run] if isinstance(law, tuple) else law for law in (candidate, reference)]
    return laws[0].expectation() - laws[1].expectation()


def _one(law: Predictive | Runs) -> Predictive:
    return average(*law) if isinstance(law, tuple) else law


def average(first: Predictive, second: Predictive) -> Predictive:
    """The predictive of both runs together: the equal mixture of theirs."""
    if first.shape != second.shape:
        raise InputError("two runs with one leading shape", f"{first.shape} and {second.shape}")
    if isinstance(first, Categorical) and isinstance(second, Categorical):
        return Categorical(0.5 * (first.probs + second.probs))
    if isinstance(first, Bins) and isinstance(second, Bins) and _same_cells(first, second):
        return Bins(0.5 * (first.probs + second.probs), first.edges, first.tail_scale)
    if isinstance(first, Normal | NormalMixture) and isinstance(second, Normal | NormalMixture):
        weights, mean, sd = (
            np.concatenate(pair, -1)
            for pair in zip(components(first), components(second), strict=True)
        )
        return NormalMixture(0.5 * weights, mean, sd)
    raise InputError(
        "two runs of one form with a density",
        f"'{first.form}' and '{second.form}'",
        "draws have their own debiased metrics",
    )


def _excess(
    candidate: Predictive,
    reference: Predictive,
    runs: Runs,
    asked: npt.NDArray[np.bool_],
    masses: bool,
) -> Array:
    """Bias and remainder that the noise between two runs causes, (2, dataset, position, query)."""
    kernel = _between_masses if masses else _between_densities
    first, second = (law[asked] for law in runs)
    rows = rowwise(kernel, candidate[asked], reference[asked], first, second)
    out = np.zeros((2, *asked.shape))
    out[:, asked] = rows.reshape(-1, 2).T
    return out


def _between_masses(
    candidate: Predictive, reference: Predictive, first: Predictive, second: Predictive
) -> Array:
    """Over the candidate's cells."""
    if isinstance(candidate, Categorical | Bins):
        return _over_cells(reference, first, second, candidate)
    return _over_line(reference, first, second)


def _between_densities(
    candidate: Predictive, reference: Predictive, first: Predictive, second: Predictive
) -> Array:
    """Over the line; runs that are bins differ by one factor in each of their own cells."""
    if isinstance(first, Categorical | Bins):
        return _over_cells(reference, first, second, first)
    if not isinstance(candidate, Bins) or candidate.tail_scale is not None:
        return _over_line(reference, first, second)
    borders = (float(candidate.edges[0]), float(candidate.edges[-1]))
    ends = reference.cdf(np.tile(borders, (*reference.shape, 1)))
    inside = ends[:, 1] - ends[:, 0]
    return _over_line(reference, first, second, borders) / inside[:, None]


def _over_cells(
    reference: Predictive, first: Predictive, second: Predictive, cells: Categorical | Bins
) -> Array:
    logs = [_log_cells(law, cells) for law in (reference, first, second)]
    bias = _bias(*logs).sum(-1)
    remainder = _remainder(*logs).sum(-1)
    return np.stack([bias, remainder], -1)


def _over_line(
    reference: Predictive,
    first: Predictive,
    second: Predictive,
    borders: tuple[float, float] = (-np.inf, np.inf),
) -> Array:
    laws = [reference, first, second]
    bias = integrate(_bias, laws, borders)
    remainder = integrate(_remainder, laws, borders)
    return np.stack([bias, remainder], -1)


def _bias(log_p: Array, first: Array, second: Array) -> Array:
    return 0.5 * np.exp(log_p) * _contrast(first, second) ** 2


def _remainder(log_p: Array, first: Array, second: Array) -> Array:
    return np.exp(log_p) * _contrast(first, second) ** 4 / 3


def _contrast(first: Array, second: Array) -> Array:
    """(a - b) / (a + b) from the logarithms; zero where both are zero."""
    with np.errstate(invalid="ignore"):
        contrast = np.tanh(0.5 * (first - second))
    nowhere = np.isneginf(first) & np.isneginf(second)
    return np.where(nowhere, 0.0, contrast)


def _log_cells(law: Predictive, candidate: Categorical | Bins) -> Array:
    """Log masses of any law in cells, as `kl` sees them."""
    if isinstance(law, Categorical):
        return law.log_masses
    assert isinstance(candidate, Bins)
    if isinstance(law, Bins) and _same_cells(law, candidate):
        return log_probs(law)
    return conditioned(log_masses(law, candidate), candidate)


def _same_cells(one: Bins, other: Bins) -> bool:
    if not np.array_equal(one.edges, other.edges):
        return False
    if one.tail_scale is None or other.tail_scale is None:
        return one.tail_scale is other.tail_scale
    return np.array_equal(one.tail_scale, other.tail_scale)
