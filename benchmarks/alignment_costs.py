"""What a diagonal costs beside a sink, for many sets of tokens: how far single sets scatter.

Run: python -m benchmarks.alignment_costs [--sets N] [--write]

A cost is |M|_F of the cheapest matrix of scores that separates with margin 1 (24 coordinates, 12
tokens x = sqrt(a) u + sqrt(1 - a) z, sink u). The direction z is uniform on the sphere, or on its
part orthogonal to u. The claims of `context_switch` are about means of the first kind. The pilot's
figures are of one set each; they are shown with their distance from the mean in standard
deviations of single sets.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np

from benchmarks import _documents
from veribayes.predictive import Array
from veribayes.validation.claims import _least_norm

SEED = 11
WIDTH, TOKENS = 24, 12
PILOT = {0.0: 0.86, 0.2: 1.44, 0.5: 2.18, 0.8: 2.71}  # ratio by alignment a


def main(arguments: Sequence[str]) -> int:
    """Measure, print; with --write also the table in docs/context-switch.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=200, help="sets of tokens for each row")
    parser.add_argument("--write", action="store_true", help="put it into docs/context-switch.md")
    given = parser.parse_args(arguments)
    rows = []
    for orthogonal in (False, True):
        for alignment in PILOT:
            rng = np.random.default_rng([SEED, int(orthogonal), int(10 * alignment)])
            ratios = [ratio(rng, alignment, orthogonal) for _ in range(given.sets)]
            rows.append(shown(np.array(ratios), alignment, orthogonal))
    text = _documents.table(rows)
    print(text)
    if given.write:
        print(f"written: {_documents.put('context-switch.md', 'alignment-costs', text)}")
    return 0


def ratio(rng: np.random.Generator, alignment: float, orthogonal: bool) -> float:
    """Cost of the diagonal over that of the sink, for one set of tokens."""
    sink = np.zeros(WIDTH)
    sink[0] = 1.0
    if orthogonal:
        rest = np.pad(_least_norm.on_the_sphere(rng, TOKENS, WIDTH - 1), ((0, 0), (1, 0)))
    else:
        rest = _least_norm.on_the_sphere(rng, TOKENS, WIDTH)
    tokens = np.sqrt(alignment) * sink + np.sqrt(1 - alignment) * rest
    return _least_norm.diagonal_cost(tokens) / _least_norm.sink_cost(sink, tokens)


def shown(ratios: Array, alignment: float, orthogonal: bool) -> dict[str, str]:
    """One row of the table."""
    spread = ratios.std(ddof=1)
    error = 1.96 * spread / np.sqrt(ratios.size)
    pilot = PILOT[alignment]
    distance = (pilot - ratios.mean()) / spread
    return {
        "z": "orthogonal to u" if orthogonal else "uniform",
        "a": f"{alignment:g}",
        f"mean of {ratios.size} sets": f"{ratios.mean():.2f} ± {error:.2f}",
        "sd of single sets": f"{spread:.2f}",
        "pilot": f"{pilot:.2f}",
        "its distance, sd": f"{distance:+.1f}",
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
