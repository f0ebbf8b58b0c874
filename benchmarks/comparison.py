"""How often `veribayes compare` says what, on pairs of posteriors whose truth is known: the table of docs/verdict.md.

    python -m benchmarks.comparison [--runs 200] [--seed 0] [--without-joint]

`--without-joint` leaves out the permutation tests, which take nine tenths of the time: a lower bound of the power.

Reference: normal, four chains. Candidates have its mean and sd and another shape in the first of d latents; the last
rows are equal laws, where every `different` is false. Chains are independent draws, or autoregressive with the lag-one
correlation .6 and four times as many draws, so that the number of effective draws is the same.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable

import numpy as np
from scipy import signal, stats

from veribayes.posteriors import comparison
from veribayes.posteriors.chains import Posterior
from veribayes.predictive import Array

CHAINS, EFFECTIVE = 4, 2000
RHO = 0.6  # four times as many draws are needed: (1 + RHO) / (1 - RHO)
SHAPES: dict[str, Callable[[Array], Array]] = {  # of uniform numbers; mean 0 and sd 1
    "the same law": lambda u: stats.norm.ppf(u),
    "bimodal": lambda u: _bimodal(u, 0.9),
    "skewed (gamma, shape 4)": lambda u: (stats.gamma.ppf(u, 4) - 4) / 2,
    "t with 5 degrees of freedom": lambda u: stats.t.ppf(u, 5) / np.sqrt(5 / 3),
    "uniform": lambda u: (u - 0.5) * np.sqrt(12),
}


def _bimodal(u: Array, apart: float) -> Array:
    """Quantiles of two equal normals at +-`apart` with unit variance together, from a table."""
    grid = np.linspace(-5, 5, 4001)
    sd = np.sqrt(1 - apart**2)
    cdf = (stats.norm.cdf(grid, -apart, sd) + stats.norm.cdf(grid, apart, sd)) / 2
    return np.interp(u, cdf, grid)


def draws(rng: np.random.Generator, shape: str, latents: int, chained: bool) -> Array:
    """(chain, draw, latent): the first has the shape, the others are normal."""
    count = EFFECTIVE // CHAINS * (4 if chained else 1)
    z = rng.standard_normal((CHAINS, count, latents))
    if chained:
        z[:, 1:] *= np.sqrt(1 - RHO**2)
        z = signal.lfilter([1.0], [1.0, -RHO], z, axis=1)
    z[..., 0] = SHAPES[shape](stats.norm.cdf(z[..., 0]))
    return np.asarray(z)


def verdicts(shape: str, latents: int, chained: bool, runs: int, seed: int) -> Counter[str]:
    """How often each verdict was reached, how often a test rejected, and how often a number of draws stood by."""
    found: Counter[str] = Counter()
    for run in range(runs):
        rng = np.random.default_rng([seed, run, latents, chained])
        one = Posterior("reference", {"x": draws(rng, "the same law", latents, chained)})
        other = Posterior("candidate", {"x": draws(rng, shape, latents, chained)})
        result = comparison.compare(one, other, seed=run)
        found[result["verdict"]] += 1
        found["rejected"] += any(
            t["p_value"] <= comparison.TEST_LEVEL for t in result["tests"].values()
        )
        found["needed"] += bool(result["needed"] and result["needed"]["factor"])
    return found


def table(runs: int, seed: int) -> str:
    """Markdown, shares in %."""
    lines = [
        "| candidate | latents | chains | different | of these by a test | undecided | equivalent |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for chained in (False, True):
        for latents in (1, 5):
            for shape in SHAPES:
                found = verdicts(shape, latents, chained, runs, seed)
                shares = [
                    found[k] / runs for k in ("different", "rejected", "undecided", "equivalent")
                ]
                kind = f"correlation {RHO:g}" if chained else "independent"
                cells = " | ".join(f"{100 * s:.1f}" for s in shares)
                lines.append(f"| {shape} | {latents} | {kind} | {cells} |")
                print(lines[-1], f"(undecided with a number: {found['needed']})", flush=True)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--without-joint", action="store_true")
    given = parser.parse_args()
    if given.without_joint:
        comparison.JOINT = ()
    print(table(given.runs, given.seed))


if __name__ == "__main__":
    main()
