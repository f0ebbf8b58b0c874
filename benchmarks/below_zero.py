"""How often the interval of exact, independent draws lies wholly below zero,
where `verify` gives no verdict.

Run: python -m benchmarks.below_zero [--runs N] [--pools N]

1,000 draws of the exact predictive of a Gaussian process like `gp-rbf-1d`, asked for twice, in runs
of 1,000 data sets. The product of two residuals, integral of (F1 - G)(F2 - G), is sd sum_k l_k x_k
y_k / draws, l_k being the eigenvalues of a Brownian bridge in the place of a standard normal and x,
y standard normal: so a data set costs a few numbers and not 112,000 draws. *Fresh*: runs from
160,000 data sets whose mean is taken off. *Pool*: runs that share 5,000 data sets and their mean,
which is zero but for .45 standard errors of a run; so are the rows of docs/defects.md drawn. Each
is counted at the level that the decision has, 2.5 % one-sided, and at .5 %.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.special import ndtr
from scipy.stats import binomtest

from veribayes.predictive import Array
from veribayes.validation import bootstrap, resampling

DRAWS, DATASETS, POOL = 1000, 1000, 5000
SIZES, QUERIES = (1, 2, 4, 8, 16, 32, 64), 8  # of gp-rbf-1d, as the next three
LENGTHSCALE, NOISE = 0.8, 0.2
TOLERANCE = 0.003389
TERMS = 20  # of the sum: 99.99 % of its variance
DESIGNS, REPEATS = (
    4000,
    40,
)  # data sets whose inputs are drawn, and how often draws are made for each
BLOCK = 250  # runs held at once
LEVELS = (0.025, 0.005)  # one-sided


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=2000, help="fresh runs, a multiple of 250")
    parser.add_argument("--pools", type=int, default=24, help="pools, each with 250 runs")
    given = parser.parse_args()
    rng = np.random.default_rng(7)
    sd = predictive_sds(rng)
    values = np.concatenate([scores(rng, sd) for _ in range(REPEATS)])
    print(f"sd of one data set: {values.std() / TOLERANCE:.3g} tolerances", flush=True)
    fresh = values - values.mean()
    counts = np.zeros(len(LEVELS), dtype=int)
    for _ in range(given.runs // BLOCK):
        counts += below(rng.choice(fresh, (DATASETS, BLOCK))).sum(1)
    for level, count in zip(LEVELS, counts, strict=True):
        print(f"fresh, level {level:.1%}: below zero in {limited(int(count), given.runs)} %")
    shares = np.array([pool_shares(rng, values) for _ in range(given.pools)])
    for i, level in enumerate(LEVELS):
        least, median, most = np.percentile(100 * (1 - shares[:, i]), (0, 50, 100))
        print(f"pools, level {level:.1%}: not below zero in {least:.1f} to {most:.1f} %", end=", ")
        print(f"median {median:.1f}, mean {100 * (1 - shares[:, i].mean()):.1f}", flush=True)


def predictive_sds(rng: np.random.Generator) -> Array:
    """Exact predictive sds of the observations, (data set, size * query)."""
    sds = np.empty((DESIGNS, len(SIZES), QUERIES))
    for i, size in enumerate(SIZES):
        x = rng.standard_normal((DESIGNS, size))
        query = rng.standard_normal((DESIGNS, QUERIES))
        gram = _rbf(x[:, :, None] - x[:, None]) + NOISE**2 * np.eye(size)
        cross = _rbf(x[:, :, None] - query[:, None])
        explained = (cross * np.linalg.solve(gram, cross)).sum(1)
        sds[:, i] = np.sqrt(1 + NOISE**2 - explained)
    return sds.reshape(DESIGNS, -1)


def _rbf(distance: Array) -> Array:
    return np.asarray(np.exp(-0.5 * (np.abs(distance) / LENGTHSCALE) ** 2))


def scores(rng: np.random.Generator, sd: Array) -> Array:
    """CRPS divergence of two answers, mean of each data set:
    normal, given one of the two answers.
    """
    weights = sd / sd.shape[1]
    one_answer = rng.standard_normal((*weights.shape, TERMS))
    variance = (weights**2 * ((eigenvalues() * one_answer) ** 2).sum(-1)).sum(-1)
    return np.asarray(np.sqrt(variance) * rng.standard_normal(len(weights)))


def eigenvalues() -> Array:
    """Of the covariance of an empirical distribution function of so many standard normals,
    largest first.
    """
    z = np.linspace(-6, 6, 601)
    cdf = ndtr(z)
    covariance = np.minimum.outer(cdf, cdf) - np.outer(cdf, cdf)
    return np.asarray(np.linalg.eigvalsh(covariance * (z[1] - z[0]))[::-1][:TERMS] / DRAWS)


def pool_shares(rng: np.random.Generator, values: Array) -> Array:
    """Share of runs from one pool whose interval lies below zero, (level,)."""
    pool = rng.permutation(values)[:POOL]
    return np.asarray(below(rng.choice(pool, (DATASETS, BLOCK))).mean(1))


def below(values: Array) -> Array:
    """Whether the interval of each run lies below zero at each level, (level, run);
    values (data set, run).
    """
    found = bootstrap.studentised(values, seed=0)
    deviations = values - found.mean
    one_more = bootstrap._one_more(deviations)
    farthest = np.where(found.log, found.mean + found.clusters * one_more, np.inf)
    points = [found.at(resampling.order(found.t, level)) for level in LEVELS]
    return np.array([np.minimum(point + one_more, farthest) < 0 for point in points])


def limited(count: int, runs: int) -> str:
    """A share in per cent with its exact 95 % limits (Clopper & Pearson 1934)."""
    limits = binomtest(count, runs).proportion_ci(0.95)
    return f"{100 * count / runs:.2f} [{100 * limits.low:.2f}, {100 * limits.high:.2f}]"


if __name__ == "__main__":
    main()
