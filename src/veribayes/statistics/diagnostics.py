"""Convergence of Markov chains, for many posteriors at once; every gate fails closed.

Draws have the axes (dataset, latent, chain, draw); results have (dataset, latent). Rank-normalised
split R-hat, bulk and tail effective sample size follow Vehtari et al. (2021), arXiv 1903.08008,
E-BFMI Betancourt (2016), arXiv 1604.00695. NaN draws, a constant latent, a single chain and
separated modes give NaN or a failing number, and NaN passes no gate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.special import ndtri

from veribayes.statistics.arrays import Array
from veribayes.statistics.arrays import Mask as Mask

R_HAT, ESS, E_BFMI = 1.01, 400.0, 0.3  # limits of the literature above; divergences: none
APART = 5.0  # split R-hat of chains that share nothing
TAILS = (0.05, 0.95)  # levels of the indicators whose effective sample size is that of the tails
CONSTANT = (
    1e-28  # variance over the mean square, below which a latent does not vary but by rounding
)
ALL_DRAWS = (2, 3)  # the axes of chains and draws


@dataclass(frozen=True)
class Gates:
    """What a batch of posteriors measured; arrays are (dataset,), the worst over the latents of
    each.

    Attributes:
        rank_r_hat, ess_bulk, ess_tail, divergences, e_bfmi: see the module.
        split_r_hat: of the draws themselves. It is no gate, since it needs a variance, but it has
            no upper limit: between separated modes it is their distance in sds of a chain, where
            that of ranks stays below three.
    """

    rank_r_hat: Array
    ess_bulk: Array
    ess_tail: Array
    divergences: Array
    e_bfmi: Array
    split_r_hat: Array

    @property
    def passed(self) -> Mask:
        """Which data sets pass every gate, (dataset,)."""
        mixed = self.rank_r_hat < R_HAT
        many = (self.ess_bulk >= ESS) & (self.ess_tail >= ESS)
        sound = (self.divergences == 0) & (self.e_bfmi > E_BFMI)
        return np.asarray(mixed & many & sound)

    def taken(self, which: Any) -> Gates:
        """Some of the data sets."""
        parts = [getattr(self, field.name)[which] for field in fields(self)]
        return Gates(*parts)

    def reasons(self) -> list[str]:
        """One sentence for each gate that some data set fails, with the numbers."""
        sentences: list[str] = []
        high = ~(self.rank_r_hat < R_HAT)
        rule = f"must be below {R_HAT}"
        sentences += _failure("rank R-hat", self.rank_r_hat, high, np.max, rule)
        rule = f"must reach {ESS:g}"
        few = ~(self.ess_bulk >= ESS)
        sentences += _failure("bulk effective sample size", self.ess_bulk, few, np.min, rule)
        few = ~(self.ess_tail >= ESS)
        sentences += _failure("tail effective sample size", self.ess_tail, few, np.min, rule)
        divergent = ~(self.divergences == 0)
        rule = "there must be none"
        sentences += _failure("divergent transitions", self.divergences, divergent, np.max, rule)
        low = ~(self.e_bfmi > E_BFMI)
        sentences += _failure("E-BFMI", self.e_bfmi, low, np.min, f"must exceed {E_BFMI}")
        apart = self.split_r_hat > APART
        rule = "chains stay in different places"
        sentences += _failure("split R-hat", self.split_r_hat, apart, np.max, rule)
        return sentences


def _failure(
    name: str, values: Array, failed: Mask, worst: Callable[[Array], Any], rule: str
) -> list[str]:
    """One sentence on a gate that some data sets fail; none where all pass."""
    if not failed.any():
        return []
    extreme = f"{worst(values[failed]):.4g} at worst"
    share = f"in {failed.sum()} of {failed.size} data sets"
    return [f"{name}: {extreme}, {share}, {rule}"]


def measure(draws: Array, energy: Array, diverging: Mask) -> tuple[Gates, Mapping[str, Array]]:
    """Gates of each data set, and mean, sd, mcse, rank_r_hat and ess_bulk of each latent.

    Args:
        draws: (dataset, latent, chain, draw).
        energy, diverging: (dataset, chain, draw).
    """
    halves = split(draws)
    scores = normal_scores(halves)
    ranks = rank_r_hat(draws, scores)
    bulk, tail = ess(scores), ess_tail(draws)
    mean = draws.mean(axis=ALL_DRAWS)
    sd = draws.std(axis=ALL_DRAWS, ddof=1)
    mcse = sd / np.sqrt(ess(halves))
    latent = {
        "mean": mean,
        "sd": sd,
        "mcse": mcse,
        "rank_r_hat": ranks,
        "ess_bulk": bulk,
    }
    divergences = diverging.sum(axis=(1, 2)).astype(np.float64)
    # the initial values are those of no latents: nothing to fail
    most_rank_r_hat = ranks.max(-1, initial=1.0)
    least_bulk = bulk.min(-1, initial=np.inf)
    least_tail = tail.min(-1, initial=np.inf)
    most_split_r_hat = _split_r_hat(draws).max(-1, initial=1.0)
    least_e_bfmi = e_bfmi(energy).min(-1)
    gates = Gates(
        most_rank_r_hat, least_bulk, least_tail, divergences, least_e_bfmi, most_split_r_hat
    )
    return gates, latent


def rank_r_hat(draws: Array, scores: Array | None = None) -> Array:
    """The larger of split R-hat of ranks (location) and of ranks of distances to the median
    (scale).
    """
    halves = split(draws)
    if scores is None:
        scores = normal_scores(halves)
    median = np.median(halves, axis=ALL_DRAWS, keepdims=True)
    folded = normal_scores(np.abs(halves - median))
    return np.maximum(r_hat(scores), r_hat(folded))


def ess_bulk(draws: Array) -> Array:
    """Effective sample size of the rank-normalised draws."""
    return ess(normal_scores(split(draws)))


def ess_tail(draws: Array) -> Array:
    """The smaller effective sample size of the indicators of the lowest and the highest 5 %."""
    halves = split(draws)
    low, high = np.quantile(halves, TAILS, axis=ALL_DRAWS, keepdims=True)
    below_low = (halves <= low).astype(np.float64)
    below_high = (halves <= high).astype(np.float64)
    return np.minimum(ess(below_low), ess(below_high))


def e_bfmi(energy: Array) -> Array:
    """Expected squared change of the energy over its variance, (dataset, chain)."""
    steps = np.diff(energy, axis=-1)
    change = np.square(steps).mean(-1)
    spread = energy.var(-1)
    unknown = np.full_like(spread, np.nan)
    return np.divide(change, spread, out=unknown, where=spread > 0)


def split(draws: Array) -> Array:
    """Each chain as two: (dataset, latent, 2 chain, draw // 2)."""
    half = draws.shape[3] // 2
    first, second = draws[..., :half], draws[..., -half:]
    return np.concatenate([first, second], axis=2)


def normal_scores(draws: Array) -> Array:
    """Normal quantiles of the pooled ranks; ties share a rank, NaN makes all NaN.

    Ranks are read off one sort, and quantiles off a table: a third of the time of ranking and
    inverting draw by draw.
    """
    size = draws.shape[2] * draws.shape[3]
    flat = draws.reshape(*draws.shape[:2], size)
    order = flat.argsort(-1)
    ordered = np.take_along_axis(flat, order, -1)
    place = np.arange(size)
    starts = np.ones(flat.shape, dtype=bool)  # of a run of equal draws
    before, after = ordered[..., :-1], ordered[..., 1:]
    starts[..., 1:] = after != before
    first = np.maximum.accumulate(np.where(starts, place, 0), -1)
    ends = np.ones(flat.shape, dtype=bool)
    ends[..., :-1] = starts[..., 1:]
    backwards = np.where(ends, place, size)[..., ::-1]
    last = np.minimum.accumulate(backwards, -1)[..., ::-1]
    quantiles = _quantiles(size)[first + last]
    scores = np.empty_like(flat)
    np.put_along_axis(scores, order, quantiles, -1)
    scores[np.isnan(ordered[..., -1])] = np.nan  # NaN sorts last
    return scores.reshape(draws.shape)


@lru_cache(maxsize=8)
def _quantiles(size: int) -> Array:
    """Normal quantiles of mean ranks.

    The entry i + j is that of draws that hold the places i to j from below, counted from zero.
    """
    mean_rank = 0.5 * np.arange(2 * size) + 1
    return np.asarray(ndtri((mean_rank - 0.375) / (size + 0.25)))


def r_hat(draws: Array) -> Array:
    """Square root of pooled over within-chain variance; NaN for one chain or a constant."""
    within, pooled = _variances(draws)
    unknown = np.full_like(within, np.nan)
    ratio = np.divide(pooled, within, out=unknown, where=_proper(draws, within))
    return np.sqrt(ratio)


def _split_r_hat(draws: Array) -> Array:
    return r_hat(split(draws))


def ess(draws: Array) -> Array:
    """Effective sample size by Geyer's initial monotone sequence;
    NaN for one chain or a constant.
    """
    chains, length = draws.shape[2:]
    within, pooled = _variances(draws)
    proper = _proper(draws, within)
    lost = within[..., None] - _autocovariance(draws)
    correlation = 1 - lost / np.where(proper, pooled, 1.0)[..., None]
    correlation[..., 0] = 1.0
    even = correlation[..., : length // 2 * 2]
    pairs = even.reshape(*within.shape, length // 2, 2)
    sums = pairs.sum(-1)
    positive = np.logical_and.accumulate(sums > 0, axis=-1)
    first_negative = np.minimum(positive.sum(-1, keepdims=True), sums.shape[-1] - 1)
    last = np.take_along_axis(pairs[..., 0], first_negative, axis=-1)[..., 0]
    decreasing = np.minimum.accumulate(sums, axis=-1)
    total = np.where(positive, decreasing, 0.0).sum(-1)
    time = -1 + 2 * total + np.maximum(last, 0.0)
    time = np.maximum(time, 1 / np.log10(chains * length))
    return np.where(proper, chains * length / time, np.nan)


def _variances(draws: Array) -> tuple[Array, Array]:
    """Mean variance within chains, and the posterior variance,
    which adds the one between chains.
    """
    length = draws.shape[3]
    within = draws.var(axis=3, ddof=1).mean(2)
    between = draws.mean(3).var(axis=2, ddof=1)
    return within, within * (length - 1) / length + between


def _proper(draws: Array, within: Array) -> Mask:
    """Which latents can be judged: more than one chain before splitting, finite draws that vary."""
    several = draws.shape[2] > 2  # halves of one chain cannot show that another would go elsewhere
    varies = within > CONSTANT * np.square(draws).mean(axis=ALL_DRAWS)
    finite = np.isfinite(draws).all(axis=ALL_DRAWS)
    return np.asarray(several & finite & varies)


def _autocovariance(draws: Array) -> Array:
    """Biased autocovariance at all lags, mean over chains: (dataset, latent, lag)."""
    length = draws.shape[3]
    size = next_fast_len(2 * length, real=True)
    spectrum = rfft(draws - draws.mean(3, keepdims=True), size)
    power = np.square(np.abs(spectrum)).mean(2)
    covariance = irfft(power, size)[..., :length]
    return np.asarray(covariance / length)
