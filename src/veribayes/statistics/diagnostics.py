"""Convergence of Markov chains, for many posteriors at once; every gate fails closed.

Draws have the axes (dataset, latent, chain, draw); results have (dataset, latent). Rank-normalised split R-hat, bulk and
tail effective sample size follow Vehtari et al. (2021), arXiv 1903.08008, E-BFMI Betancourt (2016), arXiv 1604.00695.
NaN draws, a constant latent, a single chain and separated modes give NaN or a failing number, and NaN passes no gate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft, next_fast_len, rfft
from scipy.special import ndtri

from veribayes.predictive import Array

R_HAT, ESS, E_BFMI = 1.01, 400.0, 0.3  # limits of the literature above; divergences: none
APART = 5.0  # split R-hat of chains that share nothing
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Gates:
    """What a batch of posteriors measured; arrays are (dataset,), the worst over the latents of each.

    Attributes:
        rank_r_hat, ess_bulk, ess_tail, divergences, e_bfmi: see the module.
        split_r_hat: of the draws themselves. It is no gate, since it needs a variance, but it has no upper limit: between
            separated modes it is their distance in sds of a chain, where that of ranks stays below three.
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
        good = (self.rank_r_hat < R_HAT) & (self.ess_bulk >= ESS) & (self.ess_tail >= ESS)
        return np.asarray(good & (self.divergences == 0) & (self.e_bfmi > E_BFMI))

    def taken(self, which: Any) -> Gates:
        """Some of the data sets."""
        return Gates(*(getattr(self, f.name)[which] for f in fields(self)))

    def reasons(self) -> list[str]:
        """One sentence for each gate that some data set fails, with the numbers."""
        rows = [
            (
                "rank R-hat",
                self.rank_r_hat,
                ~(self.rank_r_hat < R_HAT),
                np.max,
                f"must be below {R_HAT}",
            ),
            (
                "bulk effective sample size",
                self.ess_bulk,
                ~(self.ess_bulk >= ESS),
                np.min,
                f"must reach {ESS:g}",
            ),
            (
                "tail effective sample size",
                self.ess_tail,
                ~(self.ess_tail >= ESS),
                np.min,
                f"must reach {ESS:g}",
            ),
            (
                "divergent transitions",
                self.divergences,
                ~(self.divergences == 0),
                np.max,
                "there must be none",
            ),
            ("E-BFMI", self.e_bfmi, ~(self.e_bfmi > E_BFMI), np.min, f"must exceed {E_BFMI}"),
            (
                "split R-hat",
                self.split_r_hat,
                self.split_r_hat > APART,
                np.max,
                "chains stay in different places",
            ),
        ]
        return [f"{name}: {worst(value[failed]):.4g} at worst, in {failed.sum()} of {failed.size} data sets, {rule}"
                for name, value, failed, worst, rule in rows if failed.any()]  # fmt: skip


def measure(draws: Array, energy: Array, diverging: Mask) -> tuple[Gates, Mapping[str, Array]]:
    """Gates of each data set, and mean, sd, mcse, rank_r_hat and ess_bulk of each latent.

    Args:
        draws: (dataset, latent, chain, draw).
        energy, diverging: (dataset, chain, draw).
    """
    scores = normal_scores(split(draws))
    r_hat, bulk, tail = rank_r_hat(draws, scores), ess(scores), ess_tail(draws)
    sd = draws.std(axis=(2, 3), ddof=1)
    latent = {
        "mean": draws.mean(axis=(2, 3)),
        "sd": sd,
        "mcse": sd / np.sqrt(ess(split(draws))),
        "rank_r_hat": r_hat,
        "ess_bulk": bulk,
    }
    divergences = diverging.sum(axis=(1, 2)).astype(np.float64)
    limits = (
        r_hat.max(-1, initial=1.0),
        bulk.min(-1, initial=np.inf),
        tail.min(-1, initial=np.inf),
    )  # no latents: nothing to fail
    apart = _split_r_hat(draws).max(-1, initial=1.0)
    return Gates(*limits, divergences, e_bfmi(energy).min(-1), apart), latent


def rank_r_hat(draws: Array, scores: Array | None = None) -> Array:
    """The larger of split R-hat of ranks (location) and of ranks of distances to the median (scale)."""
    halves = split(draws)
    folded = np.abs(halves - np.median(halves, axis=(2, 3), keepdims=True))
    return np.maximum(
        r_hat(normal_scores(halves) if scores is None else scores), r_hat(normal_scores(folded))
    )


def ess_bulk(draws: Array) -> Array:
    """Effective sample size of the rank-normalised draws."""
    return ess(normal_scores(split(draws)))


def ess_tail(draws: Array) -> Array:
    """The smaller effective sample size of the indicators of the lowest and the highest 5 %."""
    halves = split(draws)
    cuts = np.quantile(halves, (0.05, 0.95), axis=(2, 3), keepdims=True)
    return np.minimum(*(ess((halves <= cut).astype(np.float64)) for cut in cuts))


def e_bfmi(energy: Array) -> Array:
    """Expected squared change of the energy over its variance, (dataset, chain)."""
    change, spread = np.square(np.diff(energy, axis=-1)).mean(-1), energy.var(-1)
    return np.divide(change, spread, out=np.full_like(spread, np.nan), where=spread > 0)


def split(draws: Array) -> Array:
    """Each chain as two: (dataset, latent, 2 chain, draw // 2)."""
    half = draws.shape[3] // 2
    return np.concatenate([draws[..., :half], draws[..., -half:]], axis=2)


def normal_scores(draws: Array) -> Array:
    """Normal quantiles of the pooled ranks; ties share a rank, NaN makes all NaN.

    Ranks are read off one sort, and quantiles off a table: a third of the time of ranking and inverting draw by draw.
    """
    size = draws.shape[2] * draws.shape[3]
    flat = draws.reshape(*draws.shape[:2], size)
    order = flat.argsort(-1)
    ordered = np.take_along_axis(flat, order, -1)
    place, new = np.arange(size), np.ones(flat.shape, dtype=bool)
    new[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    first = np.maximum.accumulate(np.where(new, place, 0), -1)
    ends = np.concatenate([new[..., 1:], np.ones_like(new[..., :1])], -1)
    last = np.minimum.accumulate(np.where(ends, place, size)[..., ::-1], -1)[..., ::-1]
    scores = np.empty_like(flat)
    np.put_along_axis(scores, order, _quantiles(size)[first + last], -1)
    scores[np.isnan(ordered[..., -1])] = np.nan  # NaN sorts last
    return scores.reshape(draws.shape)


@lru_cache(maxsize=8)
def _quantiles(size: int) -> Array:
    """Normal quantile of the mean rank of draws that hold the places i to j from below, by i + j (counted from zero)."""
    return np.asarray(ndtri((0.5 * np.arange(2 * size) + 1 - 0.375) / (size + 0.25)))


def r_hat(draws: Array) -> Array:
    """Square root of pooled over within-chain variance; NaN for one chain or a constant."""
    within, pooled = _variances(draws)
    return np.sqrt(
        np.divide(pooled, within, out=np.full_like(within, np.nan), where=_proper(draws, within))
    )


def _split_r_hat(draws: Array) -> Array:
    return r_hat(split(draws))


def ess(draws: Array) -> Array:
    """Effective sample size by Geyer's initial monotone sequence; NaN for one chain or a constant."""
    chains, length = draws.shape[2:]
    within, pooled = _variances(draws)
    proper = _proper(draws, within)
    correlation = (
        1 - (within[..., None] - _autocovariance(draws)) / np.where(proper, pooled, 1.0)[..., None]
    )
    correlation[..., 0] = 1.0
    pairs = correlation[..., : length // 2 * 2].reshape(*within.shape, length // 2, 2)
    both = pairs.sum(-1)
    positive = np.logical_and.accumulate(both > 0, axis=-1)
    end = np.minimum(
        positive.sum(-1, keepdims=True), both.shape[-1] - 1
    )  # the first pair that is not positive
    last = np.take_along_axis(pairs[..., 0], end, axis=-1)[..., 0]
    total = np.where(positive, np.minimum.accumulate(both, axis=-1), 0.0).sum(-1)
    time = np.maximum(-1 + 2 * total + np.maximum(last, 0.0), 1 / np.log10(chains * length))
    return np.where(proper, chains * length / time, np.nan)


def _variances(draws: Array) -> tuple[Array, Array]:
    """Mean variance within chains, and the estimate of the posterior variance that adds the one between chains."""
    length = draws.shape[3]
    within = draws.var(axis=3, ddof=1).mean(2)
    return within, within * (length - 1) / length + draws.mean(3).var(axis=2, ddof=1)


def _proper(draws: Array, within: Array) -> Mask:
    """Which latents can be judged: more than one chain before splitting, finite draws that vary."""
    several = (
        draws.shape[2] > 2
    )  # two halves of one chain cannot show that another would go elsewhere
    varies = within > 1e-28 * np.square(draws).mean(axis=(2, 3))
    return np.asarray(several & np.isfinite(draws).all(axis=(2, 3)) & varies)


def _autocovariance(draws: Array) -> Array:
    """Biased autocovariance at all lags, mean over chains: (dataset, latent, lag)."""
    length = draws.shape[3]
    size = next_fast_len(2 * length, real=True)
    spectrum = rfft(draws - draws.mean(3, keepdims=True), size)
    return np.asarray(irfft(np.square(np.abs(spectrum)).mean(2), size)[..., :length] / length)
