"""Size and power of the p-value that says whether given contexts look like what a model draws:
`python -m benchmarks.plausibility`.

Log densities are normal, in one row rounded to tenths so that there are ties; shifts and scales are
in standard deviations of what the model draws.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from veribayes.run.plausibility import REPLICATES, ranks_of, uniform_p_value

CONTEXTS = 50
CASES = {  # name -> (shift, scale, decimals)
    "drawn by the model": (0.0, 1.0, 12),
    "the same, with ties": (0.0, 1.0, 1),
    "less probable by half an sd": (-0.5, 1.0, 12),
    "more spread by a half": (0.0, 1.5, 12),
}


def shares(shift: float, scale: float, decimals: int, runs: int) -> tuple[float, float]:
    """Share of runs that are rejected at 5 and at 1 per cent; run i has the seed i."""
    p_values = []
    for seed in range(runs):
        values = np.random.default_rng(seed).normal(size=(CONTEXTS, REPLICATES + 1))
        values[:, 0] = shift + scale * values[:, 0]
        ranks = ranks_of(values[:, 0].round(decimals), values[:, 1:].round(decimals), seed)
        p_values.append(uniform_p_value(ranks, REPLICATES, seed))
    rejected = np.array(p_values)
    return float((rejected <= 0.05).mean()), float((rejected <= 0.01).mean())


def main(words: Sequence[str] | None = None) -> None:
    """Print a row a case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=400)
    runs = parser.parse_args(words).runs
    for name, case in CASES.items():
        five, one = shares(*case, runs)
        print(f"{name:<30} {100 * five:5.1f} % at 5 %  {100 * one:5.1f} % at 1 %")


if __name__ == "__main__":
    main()
