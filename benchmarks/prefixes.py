"""Programs that are tasks at every prefix: is the truth certified, is it right, what does it cost?

Run: python -m benchmarks.prefixes [NAME...] [--datasets N] [--long N] [--write]

Each task of examples/programs, at its six positions. The reference is computed for `--datasets`
data sets, must be certified, and is timed in CPU seconds of one thread, compilation included; an
exact one for `--long` ones as well. A route that shares with it the program alone answers
about the same data sets: an exact engine beside HMC, prior draws with weights beside HMC where
nothing is exact, prior draws beside an enumeration. Both say what the next outcome is expected to
be. The error that the Monte Carlo side states, (p1 - p2)^2 / 4 of its two runs, is held against the
error that it makes: the ratio of their mean squares is the square of what is called the *sd of z*,
with a 95 % interval by bootstrap over data sets. Last, `verify` with that route as candidate:
its verdict, and that of the wrong prior, which must be *different*.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu", "PJRT_NPROC": "1"}

import numpy as np

import veribayes as vb
from benchmarks import _documents
from veribayes import registry
from veribayes.models._task import Task
from veribayes.predictive import Array
from veribayes.tree import Branch, Data

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "programs"
SEED = 4
RESAMPLES = 2000
IMPORTANCE = "program_importance"
# Prior draws in each half, where the default is too few to be 400 effective ones behind a prefix.
DRAWS = {
    "finite-pool": 100_000,
    "learning-curve": 400_000,
    "linear-regression-laplace": 400_000,
    "logistic-regression": 40_000,
    "gaussian-process": 20_000,
}


def main(arguments: Sequence[str]) -> int:
    """Measure, print, keep; with --write also the table in docs/programs.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="tasks of examples/programs; all when left out")
    parser.add_argument("--datasets", type=int, default=200, help="data sets of the short call")
    parser.add_argument("--long", type=int, default=1000, help="data sets of the long call")
    parser.add_argument("--judged", type=int, default=400, help="data sets of the verdicts")
    parser.add_argument("--write", action="store_true", help="put the table into docs/programs.md")
    given = parser.parse_args(arguments)
    sizes = (given.datasets, given.long, given.judged)
    rows = []
    for path in sorted(EXAMPLES.glob("*.yaml")):
        task = vb.task(path)
        if given.names and task.name not in given.names:
            continue
        rows.append(kept(task, sizes))
        print(_documents.table([shown(rows[-1])]), flush=True)
    print(f"written: {_documents.keep('prefixes', 'veribayes.benchmarks/1', rows)}")
    if given.write:
        table = _documents.table([shown(row) for row in rows])
        print(f"written: {_documents.put('programs.md', 'prefixes', table)}")
    return 0


def kept(task: Task, sizes: tuple[int, int, int]) -> dict[str, Any]:
    """The row of a task, measured once."""
    key = {"task": task.hash, "sizes": list(sizes)}
    path = Path("runs/prefixes") / f"{task.name}.json"
    return _documents.resumed(path, key, lambda: [measured(task, *sizes)])[0]


def measured(task: Task, short: int, long: int, judged: int) -> dict[str, Any]:
    """Everything that is said about one task."""
    data = task.simulate(range(short), seed=SEED).data
    start = time.process_time()
    truth = answer(task, task.reference, data)
    seconds = time.process_time() - start
    long_seconds = None
    if truth.replicates is None:
        more = task.simulate(range(long), seed=SEED).data
        start = time.process_time()
        answer(task, task.reference, more)
        long_seconds = time.process_time() - start
    route, sampler = routes(task)
    start = time.process_time()
    sampled = truth if sampler == task.reference else answer(task, sampler, data)
    sampler_seconds = time.process_time() - start
    exact = truth if route == task.reference else answer(task, route, data)
    ratio, low, high = agreement(exact, sampled)
    candidate, options = asked(task, route if route != task.reference else sampler)
    result = vb.verify(
        task, candidate, datasets=judged, seed=SEED, audit=0, tests="none", options=options
    )
    entry = result.entry
    return {
        "task": task.name,
        "reference": task.reference,
        "certificate": truth.certificate.verdict,
        "second": candidate,
        "sd_z": [ratio, low, high],
        "seconds": seconds,
        "long_seconds": long_seconds,
        "sampler_seconds": sampler_seconds,
        "sizes": [short, long, judged],
        "verdict": entry["verdict"],
        "primary": entry["primary"],
        "wrong_prior": entry["rivals"]["wrong_prior"],
    }


def routes(task: Task) -> tuple[str, str]:
    """An exact or independent route, and a Monte Carlo one beside it."""
    if task.reference == "hmc":
        return IMPORTANCE, "hmc"
    second = task.second_route
    assert second is not None
    return task.reference, second


def asked(task: Task, engine: str) -> tuple[str, dict[str, str]]:
    """An engine as candidate, with its options."""
    options = settings(task, engine)
    return engine, {f"candidate.{name}": value for name, value in options.items()}


def settings(task: Task, engine: str) -> dict[str, str]:
    """Options of an engine for a task."""
    if engine == IMPORTANCE and task.name in DRAWS:
        return {"draws": str(DRAWS[task.name])}
    return {}


def answer(task: Task, engine: str, data: Data) -> Branch:
    """The branch of an engine, which must be certified."""
    branch: Branch = registry.engine(engine, settings(task, engine))(task, data, seed=SEED)
    branch.certificate.require(engine)
    return branch


def agreement(one: Branch, other: Branch) -> tuple[float, float, float]:
    """Square root of the mean squared error over the mean squared stated error, with its limits."""
    error = (one.predictive.expectation() - other.predictive.expectation()) ** 2
    stated = _stated(one) + _stated(other)
    by_dataset = [values.reshape(len(values), -1).sum(-1) for values in (error, stated)]
    errors, errors_stated = by_dataset
    rng = np.random.default_rng(SEED)
    rows = rng.integers(0, len(errors), (RESAMPLES, len(errors)))
    ratios = np.sqrt(errors[rows].sum(1) / errors_stated[rows].sum(1))
    low, high = np.quantile(ratios, (0.025, 0.975))
    return float(np.sqrt(errors.sum() / errors_stated.sum())), float(low), float(high)


def _stated(branch: Branch) -> Array:
    """Squared standard error of what is expected, by two independent runs; 0 if exact."""
    if branch.replicates is None:
        return np.zeros(branch.predictive.shape)
    first, second = (law.expectation() for law in branch.replicates)
    return np.asarray((first - second) ** 2 / 4)


def shown(row: dict[str, Any]) -> dict[str, str]:
    """One row of the table in the documentation."""
    short, long, judged = row["sizes"]
    ratio, low, high = row["sd_z"]
    primary = row["primary"]
    wrong = row["wrong_prior"]["verdict"]
    multiple = primary["estimate"] / primary["tolerance"]
    return {
        "task": f"`{row['task']}`",
        "reference": f"`{row['reference']}`: {row['certificate']}",
        f"CPU s, {short:,}": f"{row['seconds']:.1f}",
        f"CPU s, {long:,}": "" if row["long_seconds"] is None else f"{row['long_seconds']:.1f}",
        "second route": f"`{row['second']}`",
        "its CPU s": f"{row['sampler_seconds']:.1f}" if row["second"] != IMPORTANCE else "",
        "sd of z": f"{ratio:.2f} [{low:.2f}, {high:.2f}]",
        f"it is, {judged:,}": f"{row['verdict']} ({multiple:.3f} tolerances)",
        "the wrong prior is": wrong,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
