"""Simulation-based calibration: ranks of the truth among L draws are uniform on 0, …, L,
for every quantity.

Each quantity's ranks are tested by the discrete Anderson-Darling statistic against its own
simulated null, p-values count the observed one (+1), and Holm corrects for the number of
quantities. Parameters alone cannot see a posterior that is the prior, nor a wrong correlation: pass
data-dependent quantities (log-likelihood, log density of the candidate) as columns.
"""

from __future__ import annotations

from veribayes.predictive import Array
from veribayes.validation.checks._null import holm
from veribayes.validation.checks._ranks import anderson_darling, cumulative, least, tested
from veribayes.validation.checks._test import Outcome, Test, axes


def _kernel(ranks: Array, *, draws: int, seed: int) -> Outcome:
    n, _ = axes(ranks, "dataset quantity")
    counts = cumulative(ranks, draws)
    values, p = tested(anderson_darling, counts, n, seed)
    adjusted = holm({f"quantity {i}": float(v) for i, v in enumerate(p)})
    smallest = min(adjusted.values())
    return Outcome(float(values.max()), smallest, n, adjusted, least=least(len(p)))


PART = Test(
    name="sbc_rank",
    needs="ranks (dataset, quantity) in 0, …, draws; draws=L",
    null="truth and draws are exchangeable given the data",
    minimum=10,
    exactness="conservative",
    citation=(
        "Talts et al. 2018, arXiv:1804.06788; data-dependent quantities: Modrák et al. 2023, "
        "doi:10.1214/23-BA1404; statistic: Choulakian, Lockhart & Stephens 1994, "
        "doi:10.2307/3315828"
    ),
    kernel=_kernel,
)
