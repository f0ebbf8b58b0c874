"""How often the 95 % interval covers and the verdict errs, on divergences that shipped networks and rivals really have.

Run: python -m benchmarks.coverage [--datasets N] [--runs N] [--write]

Each shipped network and each predictor that its report shows beside it is scored on one large pool of data sets. Runs of
200 and 1,000 data sets are then drawn from the pool, whose mean is the truth; the tolerance is put at this mean, so that every
`equivalent` and every `different` is false. Two laws that no network here has show where the procedure ends.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np

from benchmarks import _documents
from veribayes import candidates, registry
from veribayes.models import _spec
from veribayes.models._task import Task
from veribayes.predictive import Array
from veribayes.validation import calibration, decision

SEED = 2_000  # of the pools: no run that is shown anywhere uses it
SIZES = (200, 1000)
HEAVY = (calibration.lognormal(2.0), calibration.disasters())


def main(arguments: Sequence[str]) -> int:
    """Measure, print, write runs/coverage.json; with --write also the table in docs/verdict.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", type=int, default=20_000, help="data sets in each pool")
    parser.add_argument("--runs", type=int, default=4_000, help="runs drawn from each pool")
    parser.add_argument("--write", action="store_true", help="put the table into docs/verdict.md")
    given = parser.parse_args(arguments)
    laws = [*pools(given.datasets), *HEAVY]
    rows = [measured(law, n, given.runs) for law in laws for n in SIZES]
    text = _documents.table([shown(row) for row in rows])
    print(text)
    print(f"written: {_documents.keep('coverage', 'veribayes.coverage/1', rows)}")
    if given.write:
        print(f"written: {_documents.put('verdict.md', 'coverage', text)}")
    return 0


def pools(datasets: int) -> Iterator[calibration.Law]:
    """The finite divergences of every predictor of every task that has a shipped network."""
    for name in registry.names("task"):
        if registry.checkpoint_path(name) is not None:
            task = _spec.load_task(name)
            for who, values in divergences(task, datasets).items():
                if np.isfinite(values).all():
                    yield calibration.pool(values, f"{name}: {who}")


def divergences(task: Task, datasets: int) -> dict[str, Array]:
    """Mean KL(exact || predictor) of each data set, by predictor."""
    kl, exact = registry.load("metric", "kl"), registry.engine(task.reference)
    who = {"network": candidates.resolve(None, task)}
    for name in ("prior_only", *(("wrong_prior",) if task.wrong_prior else ()), *task.rivals):
        who[name] = candidates.of_engine(name, registry.engine(name))
    found: dict[str, list[Array]] = {name: [] for name in who}
    for start in range(0, datasets, task.design.shard):
        simulation = task.simulate(range(start, min(start + task.design.shard, datasets)), seed=SEED)
        truth = exact(task, simulation.data, seed=SEED).predictive
        for name, judged in who.items():
            said = judged.infer(task, simulation.data, SEED).predictive
            found[name].append(decision.cluster_means(kl.score(said, truth, simulation.outcome)))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def measured(law: calibration.Law, clusters: int, runs: int) -> dict[str, object]:
    """Coverage and false verdicts of the procedure at one number of data sets."""
    found = calibration.experiments(law, clusters, nulls=runs)
    at, half = found.rates(1.0), found.rates(0.5)
    return {"law": law.name, "mean": law.mean, "clusters": clusters, "runs": runs, **asdict(found.coverage),
            "false_equivalent": at.equivalent, "false_different": at.different, "power_at_half": half.equivalent}  # fmt: skip


def shown(row: dict[str, object]) -> dict[str, str]:
    """A row as it stands in the document."""
    percent = {key: f"{100 * float(str(row[key])):.1f}" for key in row if key not in ("law", "mean", "clusters", "runs")}
    return {
        "divergences of": str(row["law"]), "data sets": f"{row['clusters']:,}", "coverage, %": percent["covered"],
        "interval too low": percent["below"], "too high": percent["above"], "false equivalent, %": percent["false_equivalent"],
        "false different, %": percent["false_different"], "equivalent at half the tolerance, %": percent["power_at_half"],
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
