"""How often `identify` gives the right name, on runs drawn from one pool of data sets.

Run: python -m benchmarks.identification [--datasets N] [--runs N] [--write]

Every candidate is compared with every predictor of `bn-general5` (five and twenty rows, one query)
on a pool; what is fitted is fitted once. Runs of 50, 200 and 400 data sets are drawn from the pool
without replacement. Where an interval over so few data sets supports no verdict of equivalence the
answer is *undecided*; then the table still says how often the nearest is right. The hostile ones:
the same for every context, half way between two predictors, exact Bayes that calls outcomes
impossible in one of ten data sets, and maximum likelihood with a back-off that nobody has
registered.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks import _documents
from veribayes import candidates, registry
from veribayes.models import _spec
from veribayes.models._task import Design, Task
from veribayes.predictive import Array, Categorical, Predictive
from veribayes.run import identification, predictors
from veribayes.tree import Branch, Certificate, Data
from veribayes.validation import nearness
from veribayes.validation.identification import conclude

SEED = 3_000  # of the pool: no run that is shown anywhere uses it
SIZES = (50, 200, 400)
TASK = "bn-general5"


@dataclass(frozen=True)
class Case:
    """A candidate with what is right to say of it.

    Attributes:
        nearest: the predictor that is nearest; None where several are as near.
        conclusion: at enough data sets.
    """

    candidate: Callable[[Task], candidates.Candidate]
    nearest: str | None
    conclusion: str


def main(arguments: Sequence[str]) -> int:
    """Measure, print, write runs/identification.json;
    with --write also the table in docs/identification.md.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", type=int, default=1_000, help="data sets in the pool")
    parser.add_argument(
        "--runs", type=int, default=100, help="runs drawn from the pool for each size"
    )
    parser.add_argument(
        "--write", action="store_true", help="put the table into docs/identification.md"
    )
    given = parser.parse_args(arguments)
    task = replace(_spec.load_task(TASK), design=Design((5, 20), 1))
    rows: list[dict[str, Any]] = []
    for name, case in CASES.items():
        rows += measured(task, name, case, given.datasets, given.runs)
        print(name, flush=True)
    text = _documents.table([shown(row) for row in rows])
    print(text)
    print(f"written: {_documents.keep('identification', 'veribayes.identification/1', rows)}")
    if given.write:
        print(f"written: {_documents.put('identification.md', 'identification', text)}")
    return 0


def measured(task: Task, name: str, case: Case, datasets: int, runs: int) -> list[dict[str, Any]]:
    """One row a size: how often each conclusion is reached,
    and how often the nearest predictor is the right one.
    """
    judged = case.candidate(task)
    task, known = identification._fitted(task, judged, predictors.known(task), SEED)
    pool = identification._distances(task, judged, known, datasets, SEED, None)
    return [row(name, case, known, pool, size, runs) for size in SIZES]


def row(
    name: str,
    case: Case,
    known: list[predictors.Predictor],
    pool: list[nearness.Distances],
    size: int,
    runs: int,
) -> dict[str, Any]:
    """Frequencies over the runs of one size."""
    rng, conclusions, right = np.random.default_rng([SEED, size]), Counter[str](), 0
    for _ in range(runs):
        chosen = rng.choice(pool[0].clusters.shape[1], size, replace=False)
        entry = concluded(known, [part(distances, chosen) for distances in pool])
        conclusions[entry["conclusion"]] += 1
        right += case.nearest in (None, entry["nearest"])
    shares = {word: conclusions[word] / runs for word in ("bayes", "other", "none", "undecided")}
    return {
        "candidate": name,
        "datasets": size,
        "runs": runs,
        "expected": case.conclusion,
        "nearest": right / runs,
        **shares,
    }


def part(distances: nearness.Distances, chosen: Any) -> nearness.Distances:
    """The same distances on some of the data sets."""
    return replace(
        distances, near=distances.near[:, chosen], clusters=distances.clusters[:, chosen]
    )


def concluded(
    known: list[predictors.Predictor], distances: list[nearness.Distances]
) -> Mapping[str, Any]:
    """What `identify` says of one run at its default seed;
    JS is not asked where nothing in it is infinite.
    """
    measured = distances if np.isinf(distances[0].near).any() else distances[:1]
    return conclude(
        [predictor.name for predictor in known], measured, nearness.ordering(measured, 0), 0
    )


def shown(row: Mapping[str, Any]) -> dict[str, str]:
    """A row of the table, in percent."""
    words = ("nearest", "bayes", "other", "none", "undecided")
    heads = ("nearest is right", "exact Bayes", "another algorithm", "none of these", "undecided")
    cells = {head: f"{100 * row[word]:.1f}" for head, word in zip(heads, words, strict=True)}
    return {"candidate": row["candidate"], "data sets": f"{row['datasets']:,}", **cells}


def engine(name: str, **options: str) -> Callable[[Task], candidates.Candidate]:
    """An engine or a construction by name."""
    return lambda task: candidates.resolve(name, task, options)


def altered(change: Callable[[Task, Data, int], Array]) -> Callable[[Task], candidates.Candidate]:
    """A candidate with the probabilities that `change` computes."""

    def infer(task: Task, data: Data, seed: int) -> Branch:
        return Branch(
            Categorical(change(task, data, seed)), Certificate("trusted", "candidate", 0.0)
        )

    return lambda task: candidates.Candidate("altered", None, infer, "callable")


def probs(name: str, task: Task, data: Data, seed: int) -> Array:
    """Probabilities of an engine."""
    said: Predictive = registry.engine(name)(task, data, seed=seed).predictive
    return said.variables()["probs"]


def uniform(task: Task, data: Data, seed: int) -> Array:
    """The same for every context."""
    return np.full_like(probs("conjugate", task, data, seed), 0.5)


def midway(task: Task, data: Data, seed: int) -> Array:
    """Half way between exact Bayes and all predecessors."""
    return 0.5 * (
        probs("conjugate", task, data, seed) + probs("all_predecessors", task, data, seed)
    )


def clipped(task: Task, data: Data, seed: int) -> Array:
    """Exact Bayes that calls the less probable outcome impossible in one of ten data sets."""
    exact = probs("conjugate", task, data, seed)
    sure = (exact == exact.max(-1, keepdims=True)).astype(np.float64)
    chosen = (data.index % 10 == 0)[:, None, None, None]
    return np.where(chosen, sure / sure.sum(-1, keepdims=True), exact)


def other_backoff(task: Task, data: Data, seed: int) -> Array:
    """Maximum likelihood that says the first state where it is not defined."""
    counted, backed = probs("mle", task, data, seed), registry.engine("mle", {"backoff": "nearest"})
    nearest = backed(task, data, seed=seed).predictive.variables()["probs"]
    unseen = np.any(counted != nearest, axis=-1, keepdims=True)
    return np.where(unseen, np.eye(counted.shape[-1])[0], counted)


CASES = {
    "exact Bayes, second route": Case(engine("row_quadrature"), "conjugate", "bayes"),
    "`bn_maximum_likelihood`": Case(
        engine("bn_maximum_likelihood"), "mle(backoff=nearest)", "other"
    ),
    "`mle`": Case(engine("mle"), "mle", "other"),
    "`mle`, backoff nearest": Case(
        engine("mle", backoff="nearest"), "mle(backoff=nearest)", "other"
    ),
    "`naive_mle`": Case(engine("naive_mle"), "naive_mle", "other"),
    "`naive_mle`, backoff nearest": Case(
        engine("naive_mle", backoff="nearest"), "naive_mle(backoff=nearest)", "other"
    ),
    "uniform": Case(altered(uniform), "prior_only", "other"),
    "half way from Bayes to all predecessors": Case(altered(midway), None, "none"),
    "Bayes, one of ten data sets without its less probable outcome": Case(
        altered(clipped), None, "none"
    ),
    "`mle`, a back-off that is not known": Case(altered(other_backoff), None, "none"),
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
