"""How often `veribayes compare` says what, on pairs of posteriors whose truth is known:
the table of docs/verdict.md.

    python -m benchmarks.comparison [--runs 200] [--seed 0] [--permutations 399] [--without-joint]
    [--write]

Reference: normal, four chains. Candidates have its mean and sd and another shape in the first of d
latents; the last rows are equal laws, where every `different` is false. Chains are independent
draws, or autoregressive with the lag-one correlation .6 and four times as many draws,
so that the number of effective draws is the same.

`compare` itself makes 999 labellings in each permutation test, which is nine tenths of its time.
Any number of them keeps the size; fewer lose power. Here there are 399: the fewest hundreds of
which the least p-value, 1/400, is rejected at 1 % among three tests. So the power of these two
tests is a lower bound, and the size is theirs. `--without-joint` leaves them out. Each row is kept
in runs/comparison and read back while the sources are the same: an interrupted study continues.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import signal, stats

from benchmarks import _documents
from veribayes.posteriors import comparison
from veribayes.posteriors.chains import Posterior
from veribayes.predictive import Array

CHAINS, EFFECTIVE = 4, 2000
RHO = 0.6  # four times as many draws are needed: (1 + RHO) / (1 - RHO)
PERMUTATIONS = 399
TESTS = ("marginals", "energy_permutation", "mmd_permutation")
SHAPES: dict[str, Callable[[Array], Array]] = {  # of uniform numbers; mean 0 and sd 1
    "the same law": lambda u: stats.norm.ppf(u),
    "bimodal": lambda u: _bimodal(u, 0.9),
    "skewed (gamma, shape 4)": lambda u: (stats.gamma.ppf(u, 4) - 4) / 2,
    "t with 5 degrees of freedom": lambda u: stats.t.ppf(u, 5) / np.sqrt(5 / 3),
    "uniform": lambda u: (u - 0.5) * np.sqrt(12),
}


@dataclass(frozen=True)
class Case:
    """Pairs of one kind.

    Attributes:
        shape: of the candidate's first latent.
        chained: whether draws are those of autoregressive chains.
    """

    shape: str
    latents: int
    chained: bool

    @property
    def file(self) -> str:
        """Where its row is kept."""
        kind = "chained" if self.chained else "independent"
        first_word = self.shape.replace("the ", "").split()[0]
        return f"{first_word}-{self.latents}-{kind}.json"


def main() -> None:
    """Measure, print, write runs/comparison.json;
    with --write also the table in docs/verdict.md.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--permutations", type=int, default=PERMUTATIONS)
    parser.add_argument("--without-joint", action="store_true")
    parser.add_argument("--write", action="store_true", help="put the table into docs/verdict.md")
    given = parser.parse_args()
    comparison.PERMUTATIONS = given.permutations
    if given.without_joint:
        comparison.JOINT = ()
    rows = []
    for case in cases():
        row = kept(case, given.runs, given.seed)
        print(shown(row), flush=True)
        rows.append(row)
    text = _documents.table([shown(row) for row in rows])
    print(text)
    print(f"written: {_documents.keep('comparison', 'veribayes.compared/1', rows)}")
    if given.write:
        print(f"written: {_documents.put('verdict.md', 'comparison', text)}")


def cases() -> Iterator[Case]:
    """All kinds of pairs; equal laws first, whose rows say the most."""
    for shape in SHAPES:
        for latents in (1, 5):
            for chained in (False, True):
                yield Case(shape, latents, chained)


def kept(case: Case, runs: int, seed: int) -> dict[str, Any]:
    """The row of a case, measured once."""
    key = {
        "case": asdict(case),
        "runs": runs,
        "seed": seed,
        "permutations": comparison.PERMUTATIONS,
        "joint": list(comparison.JOINT),
    }
    path = Path("runs/comparison") / case.file
    return _documents.resumed(path, key, lambda: [measured(case, runs, seed)])[0]


def measured(case: Case, runs: int, seed: int) -> dict[str, Any]:
    """Counts of verdicts, of rejections by each test,
    and of undecided runs that name a number of draws.
    """
    counts: Counter[str] = Counter()
    for run in range(runs):
        rng = np.random.default_rng([seed, run, case.latents, case.chained])
        truth = draws(rng, "the same law", case.latents, case.chained)
        other = draws(rng, case.shape, case.latents, case.chained)
        result = comparison.compare(
            Posterior("reference", {"x": truth}), Posterior("candidate", {"x": other}), seed=run
        )
        rejected = [
            name
            for name, test in result["tests"].items()
            if test["p_value"] <= comparison.TEST_LEVEL
        ]
        counts.update([result["verdict"], *rejected])
        counts["any test"] += bool(rejected)
        counts["needed"] += bool(result["needed"] and result["needed"]["factor"])
    return {**asdict(case), "runs": runs, "counts": dict(counts)}


def draws(rng: np.random.Generator, shape: str, latents: int, chained: bool) -> Array:
    """(chain, draw, latent): the first has the shape, the others are normal."""
    count = EFFECTIVE // CHAINS * (4 if chained else 1)
    z = rng.standard_normal((CHAINS, count, latents))
    if chained:
        z[:, 1:] *= np.sqrt(1 - RHO**2)
        z = signal.lfilter([1.0], [1.0, -RHO], z, axis=1)
    z[..., 0] = SHAPES[shape](stats.norm.cdf(z[..., 0]))
    return np.asarray(z)


def _bimodal(u: Array, apart: float) -> Array:
    """Quantiles of two equal normals at +-`apart` with unit variance together, from a table."""
    grid = np.linspace(-5, 5, 4001)
    sd = np.sqrt(1 - apart**2)
    cdf = (stats.norm.cdf(grid, -apart, sd) + stats.norm.cdf(grid, apart, sd)) / 2
    return np.interp(u, cdf, grid)


def shown(row: dict[str, Any]) -> dict[str, str]:
    """A row as it stands in the document: shares in per cent, verdicts with exact 95 % limits."""
    counts, runs = row["counts"], row["runs"]
    by_test = [f"{100 * counts.get(name, 0) / runs:.1f}" for name in TESTS]
    return {
        "candidate": row["shape"],
        "latents": str(row["latents"]),
        "chains": f"correlation {RHO:g}" if row["chained"] else "independent",
        "runs": str(runs),
        "different, %": _limited(counts.get("different", 0), runs),
        "marginals / energy / MMD reject, %": " / ".join(by_test),
        "equivalent, %": _limited(counts.get("equivalent", 0), runs),
    }


def _limited(count: int, runs: int) -> str:
    """A share in per cent with its exact 95 % limits (Clopper & Pearson 1934)."""
    limits = stats.binomtest(count, runs).proportion_ci(0.95)
    return f"{100 * count / runs:.1f} [{100 * limits.low:.1f}, {100 * limits.high:.1f}]"


if __name__ == "__main__":
    main()
