"""Kernel two-sample tests by permutation of whole units, from one precomputed matrix;
thinning of chains comes first.

For each kernel the U-statistic is mean k(x, x') + mean k(y, y') - 2 mean k(x, y), no draw being its
own partner: unbiased, and negative half of the time under the null. Rows with one unit label move
together, and pairs within a unit are left out as the diagonal is. Several kernels: the largest of
their statistics, each standardised over the permutations, the observed one being one of them.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial.distance import pdist, squareform

from veribayes.errors import ShapeError
from veribayes.predictive import Array
from veribayes.tree import IntArray
from veribayes.validation.checks._null import generator, max_statistic
from veribayes.validation.checks._test import Outcome, at_least, axes, with_spread

Units = tuple[IntArray, IntArray]  # labels of the rows of x, and of those of y

MINIMUM = 10  # units a side: C(20, 10) relabellings
RESIDUAL = 0.01  # autocorrelation that thinning leaves
WINDOW = 5.0  # Sokal's: sum autocorrelations up to five times the autocorrelation time


def distances(x: Array, y: Array, thin: bool) -> tuple[Array, int]:
    """Euclidean distances of all pairs of the thinned, pooled and standardised rows; and how many
    are of x.
    """
    if axes(x, "draw coordinate")[1] != axes(y, "draw coordinate")[1]:
        raise ShapeError("samples with the same coordinates", f"{x.shape} and {y.shape}")
    if thin:
        x = x[:: thinning(x)]
        y = y[:: thinning(y)]
    rows = with_spread(np.concatenate([x, y]), "both samples")
    return squareform(pdist(rows)), len(x)


def permuted(
    kernels: Array, m: int, units: Units | None, *, permutations: int, seed: int, name: str
) -> Outcome:
    """Permutation test of kernels (kernel, row, row), the first m rows being x; `units` labels the
    rows of x and y.
    """
    kernels, first = _by_unit(kernels, m, units)
    n = kernels.shape[-1]
    at_least(MINIMUM, min(first, n - first), name)
    rng = generator(seed, name, m, n)
    labels = np.zeros((permutations + 1, n))
    labels[:, :first] = 1.0
    labels[1:] = rng.permuted(labels[1:], axis=1)
    values = np.stack([unbiased(kernel, labels) for kernel in kernels], -1)
    largest, adjusted = max_statistic(values)
    smallest = float(adjusted.min())
    return Outcome(largest, smallest, min(first, n - first), least=1 / (permutations + 1))


def unbiased(kernel: Array, labels: Array) -> Array:
    """U-statistic for each labelling (permutation, row) of ones (x) and zeros (y); `kernel` has a
    zero diagonal.
    """
    m = labels[0].sum()
    n = labels.shape[1] - m
    half = labels @ kernel
    xx = (half * labels).sum(-1)
    all_x = half.sum(-1)
    total = kernel.sum()
    xy = all_x - xx
    yy = total - 2 * xy - xx
    within = xx / (m * (m - 1)) + yy / (n * (n - 1))
    return np.asarray(within - 2 * xy / (m * n))


def thinning(chain: Array) -> int:
    """Step after which an AR(1) chain of the same autocorrelation time keeps at most `RESIDUAL` of
    it.

    The largest time over coordinates and their squares counts, (draw, coordinate).
    """
    centred = chain - chain.mean(0)
    columns = np.concatenate([centred, centred**2], 1).T
    time = max(_autocorrelation_time(column) for column in columns)
    rho = (time - 1) / (time + 1)
    noise = 2 / math.sqrt(len(chain))  # what independent draws show
    if rho <= max(RESIDUAL, noise):
        return 1
    return math.ceil(math.log(RESIDUAL) / math.log(rho))


def _autocorrelation_time(values: Array) -> float:
    """1 + 2 sum of autocorrelations up to Sokal's window, doi:10.1007/978-1-4899-0319-8_6."""
    n = values.size
    centred = values - values.mean()
    power = np.abs(np.fft.rfft(centred, 2 * n)) ** 2
    covariance = np.fft.irfft(power)[:n]
    if covariance[0] <= 1e-24 * n * max(np.abs(values).max(), 1e-300) ** 2:
        return 1.0  # a constant is refused where samples are standardised
    times = 2 * np.cumsum(covariance / covariance[0]) - 1
    stop = np.arange(n) >= WINDOW * times
    last = stop.argmax() if stop.any() else n - 1
    return float(max(1.0, times[last]))


def _by_unit(kernels: Array, m: int, units: Units | None) -> tuple[Array, int]:
    """Kernels averaged over the rows of each unit, with a zero diagonal; and the number of units of
    x.
    """
    if units is not None:
        unit, first = _numbered(units, m, kernels.shape[-1])
        share = np.eye(int(unit.max()) + 1)[:, unit]
        share /= share.sum(1, keepdims=True)
        kernels = share @ kernels @ share.T
        m = first
    diagonal = np.arange(kernels.shape[-1])
    kernels[:, diagonal, diagonal] = 0.0
    return kernels, m


def _numbered(units: Units, m: int, n: int) -> tuple[IntArray, int]:
    """Units of x and y as 0, 1, …, those of x first."""
    if (len(units[0]), len(units[1])) != (m, n - m):
        got = f"{len(units[0])} and {len(units[1])}"
        raise ShapeError(f"unit labels of {m} and {n - m} rows", got)
    x, y = (np.unique(labels, return_inverse=True)[1] for labels in units)
    first = int(x.max()) + 1
    return np.concatenate([x, first + y]), first
