"""What the size and power of every test are measured on:
which data, at which sizes, with which planted defects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from veribayes.validation.checks import _planted as planted
from veribayes.validation.checks._planted import NULL, Given, Rng
from veribayes.validation.checks._test import Exactness

KEPT = 1000  # replicates that share a kept null; the size is an average over several of them


@dataclass(frozen=True)
class Problem:
    """A test on data that may be planted: `draw(rng, n, defect)`; `n` is the sample size that
    `defects` are measured at.
    """

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
        if self.looks == 1:
            return [None]
        return [n * k // self.looks for k in range(1, self.looks + 1)]


def _defects(laws: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(name for name in laws if name != NULL)


SEEN, FEW, LOOKED = (50, 100, 200), (20, 50, 100), "looked at 10 times"
OF_POSTERIORS, OF_SAMPLES = _defects(planted.POSTERIORS), _defects(planted.SAMPLES)
OF_OUTCOMES, OF_TEMPERATURES = _defects(planted.OUTCOMES), _defects(planted.TEMPERATURES)
OF_DIVERGENCES, OF_PLACES = _defects(planted.DIVERGENCES), _defects(planted.PLACES)
OF_COINS, OF_WEIGHTS = _defects(planted.COINS), _defects(planted.WEIGHTS)

PROBLEMS: Mapping[str, Problem] = {
    "rosenblatt": Problem("rosenblatt", "amortised", planted.whitened, SEEN, 200, OF_POSTERIORS),
    "sbc_rank": Problem(
        "sbc_rank", "amortised", planted.parameter_ranks, SEEN, 200, OF_POSTERIORS, shares=KEPT
    ),
    "sbc_rank-likelihood": Problem(
        "sbc_rank",
        "amortised",
        planted.all_ranks,
        SEEN,
        200,
        OF_POSTERIORS,
        "+ log-likelihood",
        shares=KEPT,
    ),
    "ecdf_band": Problem(
        "ecdf_band",
        "amortised",
        planted.likelihood_ranks,
        SEEN,
        200,
        OF_POSTERIORS,
        "of log-likelihood",
        shares=KEPT,
    ),
    "tarp": Problem("tarp", "amortised", planted.joint, SEEN, 200, OF_POSTERIORS, shares=KEPT),
    "c2st-pairs": Problem(
        "c2st", "amortised", planted.joint_pairs, SEEN, 200, OF_POSTERIORS, "of pairs"
    ),
    "local_c2st": Problem("local_c2st", "amortised", planted.few_draws, SEEN, 1000, OF_POSTERIORS),
    "energy_permutation": Problem(
        "energy_permutation", "two-sample", planted.two_samples, FEW, 500, OF_SAMPLES
    ),
    "mmd_permutation": Problem(
        "mmd_permutation", "two-sample", planted.two_samples, FEW, 500, OF_SAMPLES
    ),
    "c2st": Problem("c2st", "two-sample", planted.two_samples, FEW, 500, OF_SAMPLES),
    "sliced_wasserstein": Problem(
        "sliced_wasserstein", "two-sample", planted.two_samples, FEW, 500, OF_SAMPLES
    ),
    "energy_permutation-chains": Problem(
        "energy_permutation",
        "two-sample",
        planted.chains,
        (3000, 4000, 6000),
        3000,
        (),
        "of chains, rho .9",
        "asymptotic",
    ),
    "energy_permutation-units": Problem(
        "energy_permutation",
        "two-sample",
        planted.units,
        (12, 20, 40),
        40,
        (),
        "of whole units, rho .9",
    ),
    "mmd_permutation-chains": Problem(
        "mmd_permutation",
        "two-sample",
        planted.chains,
        (3000, 4000, 6000),
        3000,
        (),
        "of chains, rho .9",
        "asymptotic",
    ),
    "pit_uniform": Problem(
        "pit_uniform", "predictive", planted.pit, (50, 200, 1000), 200, OF_OUTCOMES, shares=KEPT
    ),
    "pit_uniform-atoms": Problem(
        "pit_uniform",
        "predictive",
        planted.atoms,
        (50, 200, 1000),
        200,
        OF_OUTCOMES,
        "with atoms",
        shares=KEPT,
    ),
    "g_test": Problem("g_test", "predictive", planted.counts, (10, 30, 100), 200, OF_TEMPERATURES),
    "e_process": Problem(
        "e_process", "predictive", planted.bets, (50, 200, 1000), 200, OF_TEMPERATURES
    ),
    "pit_uniform-looks": Problem(
        "pit_uniform", "stopping", planted.pit, SEEN, 200, (), LOOKED, shares=KEPT, looks=10
    ),
    "e_process-looks": Problem(
        "e_process", "stopping", planted.bets, SEEN, 200, (), LOOKED, looks=10
    ),
    "e_mean": Problem("e_mean", "divergence", planted.sizes, (50, 200, 1000), 200, OF_DIVERGENCES),
    "e_mean-looks": Problem("e_mean", "stopping", planted.sizes, SEEN, 200, (), LOOKED, looks=10),
    "concentration": Problem("concentration", "divergence", planted.places, SEEN, 200, OF_PLACES),
    "martingale": Problem(
        "martingale", "in-context", planted.continued, (50, 100, 200), 200, OF_COINS
    ),
    "exchangeability": Problem(
        "exchangeability", "equivalence", planted.reordered, (100, 300, 1000), 300, OF_WEIGHTS
    ),
}
