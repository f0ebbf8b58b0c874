"""How often the 95 % interval covers and the verdict errs,
on divergences that shipped networks and rivals really have.

Run: python -m benchmarks.coverage [TASK...] [--datasets N] [--runs N] [--write]

Each shipped network and each predictor that its report shows beside it is scored on one large pool
of data sets. Runs of 200 and 1,000 data sets are then drawn from the pool, whose mean is the truth;
the tolerance is put at this mean, so that every `equivalent` and every `different` is false. Two
laws that no network here has show where the procedure ends. A task's rows are kept in runs/coverage
and read back while the sources and the networks are the same.
Where the truth is dear (a mixture, or sampled) the pool is a tenth as large
(`acceptance.affordable`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import _documents, acceptance
from veribayes import candidates, registry
from veribayes.models import _spec
from veribayes.models._task import Task, hash_of
from veribayes.predictive import Array
from veribayes.run import results
from veribayes.validation import calibration, decision

SEED = 2_000  # of the pools: no run that is shown anywhere uses it
SIZES = (200, 1000)
HEAVY = (calibration.lognormal(2.0), calibration.disasters())


def main(arguments: Sequence[str]) -> int:
    """Measure, print, write runs/coverage.json; with --write also the table in docs/verdict.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", help="shipped tasks; all when left out")
    parser.add_argument("--datasets", type=int, default=20_000, help="data sets in each pool")
    parser.add_argument("--runs", type=int, default=4_000, help="runs drawn from each pool")
    parser.add_argument("--write", action="store_true", help="put the table into docs/verdict.md")
    given = parser.parse_args(arguments)
    rows: list[dict[str, Any]] = []
    for name in given.tasks or registry.names("task"):
        rows += kept(_spec.load_task(name), given.datasets, given.runs)
    rows += [measured(law, n, given.runs) for law in HEAVY for n in SIZES]
    text = _documents.table([shown(row) for row in rows])
    print(text)
    print(f"written: {_documents.keep('coverage', 'veribayes.coverage/1', rows)}")
    if given.write:
        print(f"written: {_documents.put('verdict.md', 'coverage', text)}")
    return 0


def kept(task: Task, datasets: int, runs: int) -> list[dict[str, Any]]:
    """The rows of a task, measured once."""
    datasets = acceptance.affordable(task, datasets)
    who = predictors(task)
    cards = {name: judged.card for name, judged in who.items() if judged.card}
    key = {"task": task.hash, "cards": hash_of(cards), "datasets": datasets, "runs": runs}
    path = Path("runs/coverage") / f"{task.name}.json"
    return _documents.resumed(
        path,
        key,
        lambda: [measured(law, n, runs) for law in pools(task, who, datasets) for n in SIZES],
    )


def predictors(task: Task) -> dict[str, candidates.Candidate]:
    """The shipped networks of a task, and what its report shows beside them."""
    networks = [name for name in registry.names("checkpoint") if name.split("+")[0] == task.name]
    engines = ["prior_only", *(["wrong_prior"] if task.wrong_prior else []), *task.rivals]
    return {f"network {name}": candidates.resolve(name, task) for name in networks} | {
        name: candidates.of_engine(name, registry.engine(name)) for name in engines
    }


def pools(
    task: Task, who: Mapping[str, candidates.Candidate], datasets: int
) -> Iterator[calibration.Law]:
    """The finite divergences of every predictor, as laws."""
    for name, values in divergences(task, who, datasets).items():
        if np.isfinite(values).all():
            yield calibration.pool(
                values, f"{task.name}: {name}" if not name.startswith("network") else name
            )


def divergences(
    task: Task, who: Mapping[str, candidates.Candidate], datasets: int
) -> dict[str, Array]:
    """The primary endpoint of each data set, mean KL(exact || predictor) over its queries,
    by predictor.
    """
    exact = registry.engine(task.reference)
    found: dict[str, list[Array]] = {name: [] for name in who}
    for start in range(0, datasets, task.design.shard):
        simulation = task.simulate(
            range(start, min(start + task.design.shard, datasets)), seed=SEED
        )
        truth = exact(task, simulation.data, seed=SEED).predictive
        for name, judged in who.items():
            said = judged.infer(task, simulation.data, SEED).predictive
            metric = registry.load("metric", results.endpoint(task, said.form).metric)
            found[name].append(
                decision.cluster_means(metric.score(said, truth, simulation.outcome))
            )
    return {name: np.concatenate(parts) for name, parts in found.items()}


def measured(law: calibration.Law, clusters: int, runs: int) -> dict[str, Any]:
    """Coverage and false verdicts of the procedure at one number of data sets."""
    found = calibration.experiments(law, clusters, nulls=runs)
    at, half = found.rates(1.0), found.rates(0.5)
    return {
        "law": law.name,
        "mean": law.mean,
        "clusters": clusters,
        "runs": runs,
        **asdict(found.coverage),
        "false_equivalent": at.equivalent,
        "false_different": at.different,
        "power_at_half": half.equivalent,
    }


def shown(row: dict[str, Any]) -> dict[str, str]:
    """A row as it stands in the document."""
    percent = {
        key: f"{100 * float(str(row[key])):.1f}"
        for key in row
        if key not in ("law", "mean", "clusters", "runs")
    }
    return {
        "divergences of": str(row["law"]),
        "data sets": f"{row['clusters']:,}",
        "coverage, %": percent["covered"],
        "interval too low": percent["below"],
        "too high": percent["above"],
        "false equivalent, %": percent["false_equivalent"],
        "false different, %": percent["false_different"],
        "equivalent at half the tolerance, %": percent["power_at_half"],
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
