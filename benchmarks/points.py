"""How often a mean alone is called what, by the squared error of the mean.

Run: python -m benchmarks.points [--runs N] [--write]

Simulated candidates whose mean squared error is a known number of tolerances; the exact predictive
is a standard normal around its mean, and the prior predictive costs a hundred tolerances. *Noise*:
independent normal noise on 8 predictions of a data set, or on one. *Shrunk*: the exact mean times a
constant, at one prediction. *Prior in few*: the prior's mean in so many contexts that the mean is
what it is, else exact. At one tolerance every `equivalent` and every `different` is false (nominal
2.5 % each). With --write the table in docs/candidates.md is replaced.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.stats import beta

from benchmarks import _documents
from veribayes import registry
from veribayes.predictive import Array, Normal, Point
from veribayes.validation import decision

TOLERANCE = 0.01
PRIOR = 100 * TOLERANCE  # the squared error of the prior's mean: exact means are standard normal
BLOCK = 50  # runs held at once
SIZES = (400, 1000)  # data sets
LEVELS = (0.5, 1.0, 2.0)  # tolerances
CONFIDENCE = 0.95

Error = Callable[[np.random.Generator, tuple[int, int], float], Array]


@dataclass(frozen=True)
class Row:
    """Shares of verdicts over runs.

    Attributes:
        candidate, predictions: the kind of error and the number of predictions of a data set.
        level: mean squared error in tolerances.
    """

    candidate: str
    predictions: int
    level: float
    datasets: int
    runs: int
    equivalent: float
    different: float


def noise(rng: np.random.Generator, shape: tuple[int, int], size: float) -> Array:
    return np.sqrt(size) * rng.standard_normal(shape)


def shrunk(rng: np.random.Generator, shape: tuple[int, int], size: float) -> Array:
    """A share of the exact mean, which is standard normal in each data set."""
    means = rng.standard_normal((shape[0], 1))
    return np.sqrt(size) * np.broadcast_to(means, shape)


def prior_in_few(rng: np.random.Generator, shape: tuple[int, int], size: float) -> Array:
    means = rng.standard_normal(shape)
    wrong = rng.random((shape[0], 1)) < size / PRIOR
    return np.where(wrong, means, 0.0)


KINDS: dict[str, tuple[Error, int]] = {
    "noise on 8": (noise, 8),
    "noise on 1": (noise, 1),
    "shrunk": (shrunk, 1),
    "prior in few": (prior_in_few, 1),
}


def main(arguments: Sequence[str]) -> int:
    """Measure and print; with --write put the table into docs/candidates.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000, help="runs of each row")
    parser.add_argument(
        "--write", action="store_true", help="put the table into docs/candidates.md"
    )
    given = parser.parse_args(arguments)
    rows = []
    for row in measured(given.runs):
        rows.append(row)
        print(shown(row), flush=True)
    entries = [asdict(row) for row in rows]
    print(f"written: {_documents.keep('points', 'veribayes.points/1', entries)}")
    if given.write:
        table = _documents.table([shown(row) for row in rows])
        print(f"written: {_documents.put('candidates.md', 'points', table)}")
    return 0


def measured(runs: int) -> Iterator[Row]:
    """All rows; blocks of runs are seeded by their place and number."""
    for name in KINDS:
        for datasets in SIZES:
            for level in LEVELS:
                yield row_of(name, datasets, level, runs)


def row_of(name: str, datasets: int, level: float, runs: int) -> Row:
    """Shares over seeded runs, in blocks."""
    error, predictions = KINDS[name]
    place = [list(KINDS).index(name), datasets, round(10 * level)]
    found = []
    for start in range(0, runs, BLOCK):
        rng = np.random.default_rng([*place, start])
        count = min(BLOCK, runs - start)
        errors = error(rng, (datasets * count, predictions), level * TOLERANCE)
        clusters = scored(errors).reshape(datasets, count)
        limits = decision.bounds(clusters, PRIOR, seed=start)
        found.append(decision.verdicts(limits, datasets, TOLERANCE))
    verdicts = np.concatenate(found)
    equivalent, different = (
        float((verdicts == word).mean()) for word in ("equivalent", "different")
    )
    return Row(name, predictions, level, datasets, runs, equivalent, different)


def scored(errors: Array) -> Array:
    """Mean squared errors of the means of points, one a data set."""
    law = Normal(np.zeros(errors.shape), np.ones(errors.shape))
    metric = registry.load("metric", "squared_error")
    point = Point(errors)
    scores = metric.score(point[:, None], law[:, None], np.zeros((len(errors), 1, errors.shape[1])))
    return decision.cluster_means(scores)


def shown(row: Row) -> dict[str, str]:
    """The row as a table shows it, shares in per cent with exact limits."""
    return {
        "error of the mean": row.candidate,
        "tolerances": f"{row.level:g}",
        "data sets": f"{row.datasets:,}",
        "equivalent, %": _share(row.equivalent, row.runs),
        "different, %": _share(row.different, row.runs),
    }


def _share(share: float, runs: int) -> str:
    """Clopper-Pearson limits."""
    hits = round(share * runs)
    low = beta.ppf((1 - CONFIDENCE) / 2, hits, runs - hits + 1) if hits else 0.0
    high = beta.ppf((1 + CONFIDENCE) / 2, hits + 1, runs - hits) if hits < runs else 1.0
    return f"{100 * share:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
