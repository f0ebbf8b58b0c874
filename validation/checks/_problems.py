"""Nulls and planted defects for every test, in NumPy: what its size and power are measured on.

amortised   theta ~ N(0, I_2), four observations x | theta ~ N(theta, I_2), 100 draws of a candidate's posterior for each data
            set; x is summarised by its mean. z is whitened under the exact posterior N(4/5 mean x, I / 5).
two-sample  independent draws of N(0, I_4) against another law; and two chains of one law.
predictive  one outcome a data set; a candidate that is too wide, shifted or heavy-tailed, or whose probabilities are tempered.
in-context  coins with a uniform prior: 20 tosses are the prompt, the predictive is that of the next one.
divergence  one log-normal divergence a data set in units of the tolerance; or at 3 context sizes and 4 queries, half of its
            variance the data set's own, with groups by size, by query, by what holds for whole data sets, and by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import signal, special

from veribayes.predictive import Array
from veribayes.validation.checks._ranks import ranks
from veribayes.validation.checks._test import Exactness

Rng = np.random.Generator
Given = tuple[tuple[Array, ...], dict[str, Any]]  # what a test's `run` takes: arrays and options
NULL = "none"
DRAWS, OBSERVATIONS, DIMENSIONS = 100, 4, 2
KEPT = 1000  # replicates that share a kept null; the size is an average over several of them
CHAIN = 0.9  # lag-one autocorrelation; unthinned, a permutation test rejects 62 % of such nulls
SEGMENT = 5  # draws of a unit
TOSSES, STEPS, PATHS, ORDERS = 20, 8, 10, 5
FORGOTTEN = 0.9  # weight of a toss relative to the next one's, of a predictor with the order dependence below
ORDER_TOLERANCE = 0.009121  # nats; mean over 4 million prompts, standard error 5e-6


@dataclass(frozen=True)
class Scene:
    """Data sets with their truth: theta and mean x (dataset, 2), and the mean of the first half of the observations."""

    truth: Array
    mean: Array
    half: Array


@dataclass(frozen=True)
class Problem:
    """A test on data that may be planted: `draw(rng, n, defect)`; `n` is the sample size that `defects` are measured at."""

    test: str
    table: str
    draw: Callable[[Rng, int, str], Given]
    sizes: tuple[int, int, int]
    n: int
    defects: tuple[str, ...]
    remark: str = ""
    exactness: Exactness | None = None  # where it is not what the test states
    shares: int = 1  # replicates with one seed of the test: many where it keeps its simulated null
    looks: int = 1  # times that one looks while data sets come in, stopping at the first rejection

    @property
    def title(self) -> str:
        """Heading in a table."""
        return f"{self.test} {self.remark}".strip()

    def moments(self, n: int) -> list[int | None]:
        """Numbers of data sets at which one looks; None is all."""
        return (
            [None] if self.looks == 1 else [n * k // self.looks for k in range(1, self.looks + 1)]
        )


def scene(rng: Rng, n: int) -> Scene:
    """Conjugate Gaussian data sets."""
    truth = rng.standard_normal((n, DIMENSIONS))
    halves = truth + rng.standard_normal((2, n, DIMENSIONS)) / np.sqrt(OBSERVATIONS / 2)
    return Scene(truth, halves.mean(0), halves[0])


def posterior(mean: Array, observations: int) -> tuple[Array, float]:
    """Mean (dataset, 1, 2) and sd of theta given the mean of some observations."""
    return mean[:, None] * observations / (observations + 1), float(np.sqrt(1 / (observations + 1)))


def _scaled(factor: float) -> Callable[[Scene, Array], Array]:
    return lambda s, z: factor * z


def _shifted(by: float) -> Callable[[Scene, Array], Array]:
    return lambda s, z: z + by


def _correlated(rho: float) -> Callable[[Scene, Array], Array]:
    return lambda s, z: z @ np.linalg.cholesky(np.array([[1.0, rho], [rho, 1.0]])).T


def _by_law(observations: int) -> Callable[[Scene, Array], Array]:
    """Draws from the posterior given fewer observations (0: the prior), whitened under the exact one."""

    def planted(s: Scene, z: Array) -> Array:
        mean, sd = posterior(s.half, observations)
        exact_mean, exact_sd = posterior(s.mean, OBSERVATIONS)
        return (mean + sd * z - exact_mean) / exact_sd

    return planted


def _biased(s: Scene, z: Array) -> Array:
    return z + 0.5 * np.sign(s.mean[:, None]) * np.array([1.0, 0.0])


def _heteroscedastic(s: Scene, z: Array) -> Array:
    return z * np.where(s.mean[:, None, :1] > 0, 1.3, 0.7)


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

SAMPLES: Mapping[str, Callable[[Rng, int], Array]] = {
    NULL: lambda rng, n: rng.standard_normal((n, 4)),
    "sd x 1.10": lambda rng, n: 1.1 * rng.standard_normal((n, 4)),
    "shift .15, all": lambda rng, n: rng.standard_normal((n, 4)) + 0.15,
    "shift .3, one": lambda rng, n: rng.standard_normal((n, 4)) + np.array([0.3, 0.0, 0.0, 0.0]),
    "correlation .3, one pair": lambda rng, n: rng.standard_normal((n, 4)) @ PAIR,
    "t5 tails, unit variance": lambda rng, n: np.sqrt(3 / 5) * rng.standard_t(5, (n, 4)),
}

OUTCOMES: Mapping[str, Callable[[Rng, int], Array]] = {
    NULL: lambda rng, n: rng.standard_normal(n),
    "sd x 1.25": lambda rng, n: rng.standard_normal(n) / 1.25,
    "sd x 0.80": lambda rng, n: rng.standard_normal(n) / 0.8,
    "shift .25 sd": lambda rng, n: rng.standard_normal(n) - 0.25,
    "t3 outcomes": lambda rng, n: rng.standard_t(3, n),
}

TEMPERATURES: Mapping[str, float] = {NULL: 1.0, "temperature 0.67": 0.67, "temperature 1.5": 1.5}


WEIGHTS: Mapping[str, float] = {"exact Bayes": 1.0, "half of the tolerance": 0.933, NULL: FORGOTTEN}

# next probability of heads from (weighted heads, weighted tosses)
COINS: Mapping[str, tuple[float, Callable[[Array, Array], Array]]] = {
    NULL: (1.0, lambda heads, tosses: (1 + heads) / (2 + tosses)),
    "forgets, weight .9 a toss": (0.9, lambda heads, tosses: (1 + heads) / (2 + tosses)),
    "too sure, power 1.5": (1.0, lambda heads, tosses: _sharpened((1 + heads) / (2 + tosses), 1.5)),
    "leans to heads by .02": (
        1.0,
        lambda heads, tosses: np.minimum((1 + heads) / (2 + tosses) + 0.02, 1.0),
    ),
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
CELLS, PATTERNS, REGIONS = (
    (3, 4),
    5,
    4,
)  # context sizes and queries; groups of whole data sets, and of single predictions


def _sharpened(p: Array, power: float) -> Array:
    return np.asarray(p**power / (p**power + (1 - p) ** power))


def _amortised(rng: Rng, n: int, defect: str) -> tuple[Scene, Array]:
    s = scene(rng, n)
    return s, POSTERIORS[defect](s, rng.standard_normal((n, DRAWS, DIMENSIONS)))


def _whitened(rng: Rng, n: int, defect: str) -> Given:
    s, z = _amortised(rng, n, defect)
    return (z, s.mean), {}


def _draws(rng: Rng, n: int, defect: str) -> tuple[Scene, Array]:
    s, z = _amortised(rng, n, defect)
    mean, sd = posterior(s.mean, OBSERVATIONS)
    return s, mean + sd * z


def _parameter_ranks(rng: Rng, n: int, defect: str) -> Given:
    s, draws = _draws(rng, n, defect)
    return (ranks(s.truth, draws).astype(float),), {"draws": DRAWS}


def _all_ranks(rng: Rng, n: int, defect: str) -> Given:
    s, draws = _draws(rng, n, defect)
    truth = np.concatenate([s.truth, _log_likelihood(s.truth, s.mean)[:, None]], -1)
    drawn = np.concatenate([draws, _log_likelihood(draws, s.mean[:, None])[..., None]], -1)
    return (ranks(truth, drawn).astype(float),), {"draws": DRAWS}


def _likelihood_ranks(rng: Rng, n: int, defect: str) -> Given:
    (found,), options = _all_ranks(rng, n, defect)
    return (found[:, -1],), options


def _log_likelihood(theta: Array, mean: Array) -> Array:
    return np.asarray(-0.5 * OBSERVATIONS * ((theta - mean) ** 2).sum(-1))


def _joint(rng: Rng, n: int, defect: str) -> Given:
    s, draws = _draws(rng, n, defect)
    return (s.truth, draws, s.mean), {}


def _joint_pairs(rng: Rng, n: int, defect: str) -> Given:
    """Truth and one draw, each beside the same x."""
    s, draws = _draws(rng, n, defect)
    return (np.c_[s.truth, s.mean], np.c_[draws[:, 0], s.mean]), {"pairs": True, "permutations": 99}


def _few_draws(rng: Rng, n: int, defect: str) -> Given:
    s, draws = _draws(rng, n, defect)
    return (s.truth, draws[:, :5], s.mean), {"permutations": 99}


def _two_samples(rng: Rng, n: int, defect: str) -> Given:
    return (SAMPLES[NULL](rng, n), SAMPLES[defect](rng, n)), {"thin": False, "permutations": 99}


def _chains(rng: Rng, n: int, defect: str) -> Given:
    """Two stationary AR(1) chains of one law, autocorrelation .9."""
    del defect
    noise = rng.standard_normal((2, n, 2)) * np.sqrt(1 - CHAIN**2)
    noise[:, 0] /= np.sqrt(1 - CHAIN**2)
    x, y = signal.lfilter([1.0], [1.0, -CHAIN], noise, axis=1)
    return (x, y), {"permutations": 99}


def _units(rng: Rng, n: int, defect: str) -> Given:
    """Short AR(1) chains of one law, autocorrelation .9; each chain is a unit."""
    del defect
    steps = np.arange(SEGMENT)
    root = np.linalg.cholesky(CHAIN ** np.abs(steps[:, None] - steps))
    x, y = (root @ rng.standard_normal((2, n, SEGMENT, 2))).reshape(2, n * SEGMENT, 2)
    labels = np.repeat(np.arange(n), SEGMENT)
    return (x, y), {"units": (labels, labels), "permutations": 99}


def _pit(rng: Rng, n: int, defect: str) -> Given:
    return (special.ndtr(OUTCOMES[defect](rng, n)),), {}


def _atoms(rng: Rng, n: int, defect: str) -> Given:
    """Outcomes known to the next lower integer."""
    y = np.floor(OUTCOMES[defect](rng, n))
    return (special.ndtr(y), special.ndtr(y + 1)), {"spread": int(rng.integers(2**31))}


def _continued(rng: Rng, n: int, defect: str) -> Given:
    """Probabilities of heads along continuations that the predictor draws from itself."""
    keep, predict = COINS[defect]
    prompt = rng.random((n, 1, TOSSES)) < rng.random((n, 1, 1))
    age = keep ** np.arange(TOSSES)[::-1]
    heads, tosses = np.repeat(prompt @ age, PATHS, axis=1), np.full((n, PATHS), age.sum())
    found = [predict(heads, tosses)]
    for _ in range(STEPS):
        heads, tosses = keep * heads + (rng.random((n, PATHS)) < found[-1]), keep * tosses + 1
        found.append(predict(heads, tosses))
    return (np.stack(found, -1)[..., None],), {"flips": 199}


def _reordered(rng: Rng, n: int, defect: str) -> Given:
    """Predictives of a forgetful predictor on one prompt in several orders."""
    tosses = np.repeat(rng.random((n, 1, TOSSES)) < rng.random((n, 1, 1)), ORDERS + 1, axis=1)
    tosses[:, 1:] = rng.permuted(tosses[:, 1:], axis=2)
    age = WEIGHTS[defect] ** np.arange(TOSSES)[::-1]
    p = (1 + tosses @ age) / (2 + age.sum())
    return (np.stack([p, 1 - p], -1),), {"tolerance": ORDER_TOLERANCE}


def _counts(rng: Rng, n: int, defect: str) -> Given:
    exact, planted = _categories(rng, n, defect)
    return (rng.multinomial(10, planted).astype(float), exact), {"replicates": 99}


def _bets(rng: Rng, n: int, defect: str) -> Given:
    """Under the null outcomes follow the candidate and the bettor is wrong; else they follow the bettor."""
    law, other = _categories(rng, n, "temperature 0.67" if defect == NULL else defect)
    y = rng.multinomial(1, law).argmax(-1)[:, None]
    candidate, bettor = (law, other) if defect == NULL else (other, law)
    return tuple(np.log(np.take_along_axis(p, y, -1)[:, 0]) for p in (bettor, candidate)), {}


def _sizes(rng: Rng, n: int, defect: str) -> Given:
    """Log-normal, sd 1 on the log scale."""
    return (DIVERGENCES[defect] * np.exp(rng.standard_normal(n) - 0.5),), {"tolerance": 1.0}


def _places(rng: Rng, n: int, defect: str) -> Given:
    """Divergences and sixteen groups, one of them worse."""
    z = np.sqrt(0.5) * (rng.standard_normal((n, 1, 1)) + rng.standard_normal((n, *CELLS)))
    cells, patterns = (
        np.indices(CELLS),
        rng.random((PATTERNS, n, 1, 1)) < rng.uniform(0.2, 0.8, (PATTERNS, 1, 1, 1)),
    )
    found = [cells[axis] == k for axis in (0, 1) for k in range(CELLS[axis])] + list(patterns)
    groups = np.stack(
        [
            np.broadcast_to(g, (n, *CELLS))
            for g in [*found, *(rng.random((REGIONS, n, *CELLS)) < 0.2)]
        ]
    )
    worse = groups[PLACES[defect]] if defect != NULL else np.zeros((n, *CELLS), dtype=bool)
    return (np.exp(z) * np.where(worse, 1.5, 1.0), groups.astype(float)), {}


def _categories(rng: Rng, n: int, defect: str) -> tuple[Array, Array]:
    """Probabilities of four categories a data set, and the same tempered."""
    probs = rng.dirichlet(np.full(4, 2.0), n)
    tempered = probs ** (1 / TEMPERATURES[defect])
    return probs, tempered / tempered.sum(-1, keepdims=True)


def _planted(defects: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(name for name in defects if name != NULL)


SEEN, FEW, LOOKED = (50, 100, 200), (20, 50, 100), "looked at 10 times"

PROBLEMS: Mapping[str, Problem] = {
    "rosenblatt": Problem("rosenblatt", "amortised", _whitened, SEEN, 200, _planted(POSTERIORS)),
    "sbc_rank": Problem(
        "sbc_rank", "amortised", _parameter_ranks, SEEN, 200, _planted(POSTERIORS), shares=KEPT
    ),
    "sbc_rank-likelihood": Problem(
        "sbc_rank",
        "amortised",
        _all_ranks,
        SEEN,
        200,
        _planted(POSTERIORS),
        "+ log-likelihood",
        shares=KEPT,
    ),
    "ecdf_band": Problem(
        "ecdf_band",
        "amortised",
        _likelihood_ranks,
        SEEN,
        200,
        _planted(POSTERIORS),
        "of log-likelihood",
        shares=KEPT,
    ),
    "tarp": Problem("tarp", "amortised", _joint, SEEN, 200, _planted(POSTERIORS), shares=KEPT),
    "c2st-pairs": Problem(
        "c2st", "amortised", _joint_pairs, SEEN, 200, _planted(POSTERIORS), "of pairs"
    ),
    "local_c2st": Problem("local_c2st", "amortised", _few_draws, SEEN, 1000, _planted(POSTERIORS)),
    "energy_permutation": Problem(
        "energy_permutation", "two-sample", _two_samples, FEW, 500, _planted(SAMPLES)
    ),
    "mmd_permutation": Problem(
        "mmd_permutation", "two-sample", _two_samples, FEW, 500, _planted(SAMPLES)
    ),
    "c2st": Problem("c2st", "two-sample", _two_samples, FEW, 500, _planted(SAMPLES)),
    "sliced_wasserstein": Problem(
        "sliced_wasserstein", "two-sample", _two_samples, FEW, 500, _planted(SAMPLES)
    ),
    "energy_permutation-chains": Problem(
        "energy_permutation",
        "two-sample",
        _chains,
        (3000, 4000, 6000),
        3000,
        (),
        "of chains, rho .9",
        "asymptotic",
    ),
    "energy_permutation-units": Problem(
        "energy_permutation", "two-sample", _units, (12, 20, 40), 40, (), "of whole units, rho .9"
    ),
    "mmd_permutation-chains": Problem(
        "mmd_permutation",
        "two-sample",
        _chains,
        (3000, 4000, 6000),
        3000,
        (),
        "of chains, rho .9",
        "asymptotic",
    ),
    "pit_uniform": Problem(
        "pit_uniform", "predictive", _pit, (50, 200, 1000), 200, _planted(OUTCOMES), shares=KEPT
    ),
    "pit_uniform-atoms": Problem(
        "pit_uniform",
        "predictive",
        _atoms,
        (50, 200, 1000),
        200,
        _planted(OUTCOMES),
        "with atoms",
        shares=KEPT,
    ),
    "g_test": Problem("g_test", "predictive", _counts, (10, 30, 100), 200, _planted(TEMPERATURES)),
    "e_process": Problem(
        "e_process", "predictive", _bets, (50, 200, 1000), 200, _planted(TEMPERATURES)
    ),
    "pit_uniform-looks": Problem(
        "pit_uniform", "stopping", _pit, SEEN, 200, (), LOOKED, shares=KEPT, looks=10
    ),
    "e_process-looks": Problem("e_process", "stopping", _bets, SEEN, 200, (), LOOKED, looks=10),
    "e_mean": Problem("e_mean", "divergence", _sizes, (50, 200, 1000), 200, _planted(DIVERGENCES)),
    "e_mean-looks": Problem("e_mean", "stopping", _sizes, SEEN, 200, (), LOOKED, looks=10),
    "concentration": Problem("concentration", "divergence", _places, SEEN, 200, _planted(PLACES)),
    "martingale": Problem(
        "martingale", "in-context", _continued, (50, 100, 200), 200, _planted(COINS)
    ),
    "exchangeability": Problem(
        "exchangeability", "equivalence", _reordered, (100, 300, 1000), 300, _planted(WEIGHTS)
    ),
}
