"""Nulls and planted defects for every test, in NumPy: what its size and power are measured on.

amortised   theta ~ N(0, I_2), four observations x | theta ~ N(theta, I_2), 100 draws of a
            candidate's posterior for each data set; x is summarised by its mean. z is whitened
            under the exact posterior N(4/5 mean x, I / 5).
two-sample  independent draws of N(0, I_4) against another law; and two chains of one law.
predictive  one outcome a data set; a candidate that is too wide, shifted or heavy-tailed, or whose
            probabilities are tempered.
in-context  coins with a uniform prior: 20 tosses are the prompt, the predictive is that of the next
            one.
divergence  one log-normal divergence a data set in units of the tolerance; or at 3 context sizes
            and 4 queries, half of its variance the data set's own, with groups by size, by query,
            by what holds for whole data sets, and by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import signal, special

from veribayes.predictive import Array
from veribayes.validation.checks._ranks import ranks

Rng = np.random.Generator
Given = tuple[tuple[Array, ...], dict[str, Any]]  # what a test's `run` takes: arrays and options
NULL = "none"
DRAWS, OBSERVATIONS, DIMENSIONS = 100, 4, 2
CHAIN = 0.9  # lag-one autocorrelation; unthinned, a permutation test rejects 62 % of such nulls
SEGMENT = 5  # draws of a unit
TOSSES, STEPS, PATHS, ORDERS = 20, 8, 10, 5
# weight of a toss relative to the next one's, of a predictor with the order dependence below
FORGOTTEN = 0.9
ORDER_TOLERANCE = 0.009121  # nats; mean over 4 million prompts, standard error 5e-6


@dataclass(frozen=True)
class Scene:
    """Data sets with their truth: theta and mean x (dataset, 2), and the mean of the first half of
    the observations.
    """

    truth: Array
    mean: Array
    half: Array


def scene(rng: Rng, n: int) -> Scene:
    """Conjugate Gaussian data sets."""
    truth = rng.standard_normal((n, DIMENSIONS))
    noise = rng.standard_normal((2, n, DIMENSIONS)) / np.sqrt(OBSERVATIONS / 2)
    halves = truth + noise
    return Scene(truth, halves.mean(0), halves[0])


def posterior(mean: Array, observations: int) -> tuple[Array, float]:
    """Mean (dataset, 1, 2) and sd of theta given the mean of some observations."""
    sd = float(np.sqrt(1 / (observations + 1)))
    return mean[:, None] * observations / (observations + 1), sd


def _scaled(factor: float) -> Callable[[Scene, Array], Array]:
    return lambda s, z: factor * z


def _shifted(by: float) -> Callable[[Scene, Array], Array]:
    return lambda s, z: z + by


def _correlated(rho: float) -> Callable[[Scene, Array], Array]:
    root = np.linalg.cholesky(np.array([[1.0, rho], [rho, 1.0]]))
    return lambda s, z: z @ root.T


def _by_law(observations: int) -> Callable[[Scene, Array], Array]:
    """Draws from the posterior given fewer observations (0: the prior), whitened under the exact
    one.
    """

    def planted(s: Scene, z: Array) -> Array:
        mean, sd = posterior(s.half, observations)
        exact_mean, exact_sd = posterior(s.mean, OBSERVATIONS)
        return (mean + sd * z - exact_mean) / exact_sd

    return planted


def _biased(s: Scene, z: Array) -> Array:
    side = np.sign(s.mean[:, None])
    return z + 0.5 * side * np.array([1.0, 0.0])


def _heteroscedastic(s: Scene, z: Array) -> Array:
    right = s.mean[:, None, :1] > 0
    return z * np.where(right, 1.3, 0.7)


POSTERIORS: Mapping[str, Callable[[Scene, Array], Array]] = {
    NULL: lambda s, z: z,
    "sd x 1.10": _scaled(1.1),
    "sd x 0.90": _scaled(0.9),
    "sd x 1.25": _scaled(1.25),
    "shift .10 sd": _shifted(0.10),
    "shift .25 sd": _shifted(0.25),
    "correlation .3": _correlated(0.3),
    "correlation .6": _correlated(0.6),
    "posterior = prior": _by_law(0),
    "half of the data": _by_law(OBSERVATIONS // 2),
    "x-dependent bias .5 sd": _biased,
    "heteroscedastic 1.3 / .7": _heteroscedastic,
}

PAIR = np.eye(4)  # rows times this: coordinates 0 and 1 have correlation .3
PAIR[:2, 1] = 0.3, np.sqrt(1 - 0.3**2)

ONE = np.array([0.3, 0.0, 0.0, 0.0])


def _normals(change: Callable[[Array], Array]) -> Callable[[Rng, int], Array]:
    """Draws of N(0, I_4) that are changed."""
    return lambda rng, n: change(rng.standard_normal((n, 4)))


def _heavy(rng: Rng, n: int) -> Array:
    return np.sqrt(3 / 5) * rng.standard_t(5, (n, 4))


SAMPLES: Mapping[str, Callable[[Rng, int], Array]] = {
    NULL: _normals(lambda z: z),
    "sd x 1.10": _normals(lambda z: 1.1 * z),
    "shift .15, all": _normals(lambda z: z + 0.15),
    "shift .3, one": _normals(lambda z: z + ONE),
    "correlation .3, one pair": _normals(lambda z: z @ PAIR),
    "t5 tails, unit variance": _heavy,
}


def _outcomes(change: Callable[[Array], Array]) -> Callable[[Rng, int], Array]:
    """Outcomes N(0, 1) that are changed."""
    return lambda rng, n: change(rng.standard_normal(n))


OUTCOMES: Mapping[str, Callable[[Rng, int], Array]] = {
    NULL: _outcomes(lambda y: y),
    "sd x 1.25": _outcomes(lambda y: y / 1.25),
    "sd x 0.80": _outcomes(lambda y: y / 0.8),
    "shift .25 sd": _outcomes(lambda y: y - 0.25),
    "t3 outcomes": lambda rng, n: rng.standard_t(3, n),
}

TEMPERATURES: Mapping[str, float] = {NULL: 1.0, "temperature 0.67": 0.67, "temperature 1.5": 1.5}


WEIGHTS: Mapping[str, float] = {"exact Bayes": 1.0, "half of the tolerance": 0.933, NULL: FORGOTTEN}


def _laplace(heads: Array, tosses: Array) -> Array:
    """The next probability of heads under a uniform prior."""
    return (1 + heads) / (2 + tosses)


def _too_sure(heads: Array, tosses: Array) -> Array:
    return _sharpened(_laplace(heads, tosses), 1.5)


def _leaning(heads: Array, tosses: Array) -> Array:
    return np.minimum(_laplace(heads, tosses) + 0.02, 1.0)


# weight of a toss relative to the next one's; next probability of heads from (weighted heads,
# weighted tosses)
COINS: Mapping[str, tuple[float, Callable[[Array, Array], Array]]] = {
    NULL: (1.0, _laplace),
    "forgets, weight .9 a toss": (0.9, _laplace),
    "too sure, power 1.5": (1.0, _too_sure),
    "leans to heads by .02": (1.0, _leaning),
}


DIVERGENCES: Mapping[str, float] = {  # mean in tolerances
    NULL: 1.0,
    "1.5 times the tolerance": 1.5,
    "twice the tolerance": 2.0,
    "5 times the tolerance": 5.0,
}
PLACES: Mapping[str, int] = {
    NULL: -1,
    "half as large again at a query": 3,
    "half as large again in a pattern": 7,
}  # group
# context sizes and queries; groups of whole data sets, and of single predictions
CELLS, PATTERNS, REGIONS = (3, 4), 5, 4


def _sharpened(p: Array, power: float) -> Array:
    heads = p**power
    tails = (1 - p) ** power
    return np.asarray(heads / (heads + tails))


def _amortised(rng: Rng, n: int, defect: str) -> tuple[Scene, Array]:
    s = scene(rng, n)
    z = rng.standard_normal((n, DRAWS, DIMENSIONS))
    return s, POSTERIORS[defect](s, z)


def whitened(rng: Rng, n: int, defect: str) -> Given:
    s, z = _amortised(rng, n, defect)
    return (z, s.mean), {}


def _draws(rng: Rng, n: int, defect: str) -> tuple[Scene, Array]:
    s, z = _amortised(rng, n, defect)
    mean, sd = posterior(s.mean, OBSERVATIONS)
    return s, mean + sd * z


def parameter_ranks(rng: Rng, n: int, defect: str) -> Given:
    s, draws = _draws(rng, n, defect)
    return (ranks(s.truth, draws).astype(float),), {"draws": DRAWS}


def all_ranks(rng: Rng, n: int, defect: str) -> Given:
    s, draws = _draws(rng, n, defect)
    of_truth = _log_likelihood(s.truth, s.mean)
    of_draws = _log_likelihood(draws, s.mean[:, None])
    truth = np.concatenate([s.truth, of_truth[:, None]], -1)
    drawn = np.concatenate([draws, of_draws[..., None]], -1)
    return (ranks(truth, drawn).astype(float),), {"draws": DRAWS}


def likelihood_ranks(rng: Rng, n: int, defect: str) -> Given:
    (found,), options = all_ranks(rng, n, defect)
    return (found[:, -1],), options


def _log_likelihood(theta: Array, mean: Array) -> Array:
    squares = (theta - mean) ** 2
    return np.asarray(-0.5 * OBSERVATIONS * squares.sum(-1))


def joint(rng: Rng, n: int, defect: str) -> Given:
    s, draws = _draws(rng, n, defect)
    return (s.truth, draws, s.mean), {}


def joint_pairs(rng: Rng, n: int, defect: str) -> Given:
    """Truth and one draw, each beside the same x."""
    s, draws = _draws(rng, n, defect)
    truth = np.c_[s.truth, s.mean]
    drawn = np.c_[draws[:, 0], s.mean]
    return (truth, drawn), {"pairs": True, "permutations": 99}


def few_draws(rng: Rng, n: int, defect: str) -> Given:
    s, draws = _draws(rng, n, defect)
    return (s.truth, draws[:, :5], s.mean), {"permutations": 99}


def two_samples(rng: Rng, n: int, defect: str) -> Given:
    exact = SAMPLES[NULL](rng, n)
    planted = SAMPLES[defect](rng, n)
    return (exact, planted), {"thin": False, "permutations": 99}


def chains(rng: Rng, n: int, defect: str) -> Given:
    """Two stationary AR(1) chains of one law, autocorrelation .9."""
    del defect
    noise = rng.standard_normal((2, n, 2)) * np.sqrt(1 - CHAIN**2)
    noise[:, 0] /= np.sqrt(1 - CHAIN**2)
    x, y = signal.lfilter([1.0], [1.0, -CHAIN], noise, axis=1)
    return (x, y), {"permutations": 99}


def units(rng: Rng, n: int, defect: str) -> Given:
    """Short AR(1) chains of one law, autocorrelation .9; each chain is a unit."""
    del defect
    steps = np.arange(SEGMENT)
    lags = np.abs(steps[:, None] - steps)
    root = np.linalg.cholesky(CHAIN**lags)
    segments = root @ rng.standard_normal((2, n, SEGMENT, 2))
    x, y = segments.reshape(2, n * SEGMENT, 2)
    labels = np.repeat(np.arange(n), SEGMENT)
    return (x, y), {"units": (labels, labels), "permutations": 99}


def pit(rng: Rng, n: int, defect: str) -> Given:
    return (special.ndtr(OUTCOMES[defect](rng, n)),), {}


def atoms(rng: Rng, n: int, defect: str) -> Given:
    """Outcomes known to the next lower integer."""
    y = np.floor(OUTCOMES[defect](rng, n))
    spread = int(rng.integers(2**31))
    return (special.ndtr(y), special.ndtr(y + 1)), {"spread": spread}


def continued(rng: Rng, n: int, defect: str) -> Given:
    """Probabilities of heads along continuations that the predictor draws from itself."""
    keep, predict = COINS[defect]
    prompt = rng.random((n, 1, TOSSES)) < rng.random((n, 1, 1))
    age = keep ** np.arange(TOSSES)[::-1]
    heads = np.repeat(prompt @ age, PATHS, axis=1)
    tosses = np.full((n, PATHS), age.sum())
    predictions = [predict(heads, tosses)]
    for _ in range(STEPS):
        drawn = rng.random((n, PATHS)) < predictions[-1]
        heads = keep * heads + drawn
        tosses = keep * tosses + 1
        predictions.append(predict(heads, tosses))
    values = np.stack(predictions, -1)
    return (values[..., None],), {"flips": 199}


def reordered(rng: Rng, n: int, defect: str) -> Given:
    """Predictives of a forgetful predictor on one prompt in several orders."""
    prompt = rng.random((n, 1, TOSSES)) < rng.random((n, 1, 1))
    tosses = np.repeat(prompt, ORDERS + 1, axis=1)
    tosses[:, 1:] = rng.permuted(tosses[:, 1:], axis=2)
    age = WEIGHTS[defect] ** np.arange(TOSSES)[::-1]
    p = (1 + tosses @ age) / (2 + age.sum())
    return (np.stack([p, 1 - p], -1),), {"tolerance": ORDER_TOLERANCE}


def counts(rng: Rng, n: int, defect: str) -> Given:
    exact, planted = _categories(rng, n, defect)
    counts = rng.multinomial(10, planted).astype(float)
    return (counts, exact), {"replicates": 99}


def bets(rng: Rng, n: int, defect: str) -> Given:
    """Under the null outcomes follow the candidate and the bettor is wrong; else they follow the
    bettor.
    """
    law, other = _categories(rng, n, "temperature 0.67" if defect == NULL else defect)
    y = rng.multinomial(1, law).argmax(-1)[:, None]
    candidate, bettor = (law, other) if defect == NULL else (other, law)
    probabilities = (np.take_along_axis(p, y, -1) for p in (bettor, candidate))
    return tuple(np.log(each[:, 0]) for each in probabilities), {}


def sizes(rng: Rng, n: int, defect: str) -> Given:
    """Log-normal, sd 1 on the log scale."""
    values = np.exp(rng.standard_normal(n) - 0.5)
    return (DIVERGENCES[defect] * values,), {"tolerance": 1.0}


def places(rng: Rng, n: int, defect: str) -> Given:
    """Divergences and sixteen groups, one of them worse."""
    shape = (n, *CELLS)
    own = rng.standard_normal((n, 1, 1))
    z = np.sqrt(0.5) * (own + rng.standard_normal(shape))
    uniform = rng.random((PATTERNS, n, 1, 1))
    patterns = uniform < rng.uniform(0.2, 0.8, (PATTERNS, 1, 1, 1))
    regions = rng.random((REGIONS, *shape)) < 0.2
    sizes, queries = np.indices(CELLS)
    by_size = [sizes == k for k in range(CELLS[0])]
    by_query = [queries == k for k in range(CELLS[1])]
    every = [*by_size, *by_query, *patterns, *regions]
    groups = np.stack([np.broadcast_to(group, shape) for group in every])
    worse = groups[PLACES[defect]] if defect != NULL else np.zeros(shape, dtype=bool)
    scores = np.exp(z) * np.where(worse, 1.5, 1.0)
    return (scores, groups.astype(float)), {}


def _categories(rng: Rng, n: int, defect: str) -> tuple[Array, Array]:
    """Probabilities of four categories a data set, and the same tempered."""
    probs = rng.dirichlet(np.full(4, 2.0), n)
    tempered = probs ** (1 / TEMPERATURES[defect])
    return probs, tempered / tempered.sum(-1, keepdims=True)
