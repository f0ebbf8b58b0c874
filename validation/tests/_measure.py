"""Size and power of every test, measured: what `veribayes calibrate-tests` prints.

A job is one test on one problem at one sample size. Replicate i is a function of (seed, problem, defect, n, i), so a job
has one result whatever runs beside it; it is kept as a JSON shard and reused by the next run. The test's own seed changes with
the replicates too: the size is that of the test as a user meets it, not that of one simulated null.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scipy import stats

from veribayes import registry
from veribayes.errors import InputError
from veribayes.validation.tests._null import generator
from veribayes.validation.tests._problems import NULL, PROBLEMS
from veribayes.validation.tests._test import Test

NOMINAL = 0.05
LARGEST = 0.06  # a size above is a defect of the test
POWER_REPLICATES = 200  # standard error of a power of .95: .015


@dataclass(frozen=True)
class Job:
    """How often the test of a problem rejects at .05; `defect` "none" is the null."""

    problem: str
    defect: str
    n: int
    replicates: int
    seed: int

    def path(self, out: Path) -> Path:
        """Its shard."""
        return out / f"{self.problem}-{''.join(c if c.isalnum() else '_' for c in self.defect)}-{self.n}.json"


@dataclass(frozen=True)
class Rate:
    """Rejections of a job."""

    job: Job
    rejected: int

    @property
    def share(self) -> float:
        """Rejection rate."""
        return self.rejected / self.job.replicates

    @property
    def limits(self) -> tuple[float, float]:
        """95 % limits of Clopper and Pearson, doi:10.1093/biomet/26.4.404."""
        found = stats.binomtest(self.rejected, self.job.replicates).proportion_ci(0.95)
        return float(found.low), float(found.high)

    @property
    def sound(self) -> bool:
        """Whether a size is at most the 99.9 % limit of a test with nominal size, and at most .06 where that is wider."""
        n = self.job.replicates
        return bool(self.rejected <= max(stats.binom.ppf(0.999, n, NOMINAL), LARGEST * n))


def jobs(nulls: int, seed: int, names: Sequence[str] | None = None) -> list[Job]:
    """Size at three sample sizes and power at one, for the problems named (default: all)."""
    if nulls < 20:
        raise InputError("at least 20 nulls", f"{nulls}")
    found = []
    for name in names or PROBLEMS:
        problem = PROBLEMS[name]
        found += [Job(name, NULL, n, nulls, seed) for n in problem.sizes]
        found += [Job(name, defect, problem.n, min(nulls, POWER_REPLICATES), seed) for defect in problem.defects]
    return found


def measure(job: Job) -> Rate:
    """Run a job."""
    problem = PROBLEMS[job.problem]
    test: Test = registry.load("test", problem.test)
    rejected = 0
    for i in range(job.replicates):
        rng = generator(job.seed, f"{job.problem}/{job.defect}", job.n, i)
        arrays, options = problem.draw(rng, job.n, job.defect)
        rejected += test.run(*arrays, seed=i // problem.shares, **options).p_value <= NOMINAL
    return Rate(job, rejected)


def run(todo: Sequence[Job], out: Path, progress: Callable[[int], None], *, workers: int | None = None) -> list[Rate]:
    """Measure all jobs, those without a shard of these sources in spawned processes; rates in the order of the jobs."""
    out.mkdir(parents=True, exist_ok=True)
    source = source_digest()
    found = {job: kept for job in todo if (kept := _kept(job, out, source))}
    progress(len(found))
    for rate in _measured([job for job in todo if job not in found], workers or os.cpu_count() or 1):
        _keep(rate, out, source)
        found[rate.job] = rate
        progress(len(found))
    return [found[job] for job in todo]


def source_digest() -> str:
    """Digest of the tests' sources: shards of others are measured again."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()[:16]


def _measured(todo: Sequence[Job], workers: int) -> Iterator[Rate]:
    if workers == 1:
        yield from map(measure, todo)
        return
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        for done in as_completed([pool.submit(measure, job) for job in todo]):
            yield done.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _kept(job: Job, out: Path, source: str) -> Rate | None:
    path = job.path(out)
    if not path.exists():
        return None
    plain = json.loads(path.read_text(encoding="utf-8"))
    return Rate(job, plain["rejected"]) if plain["job"] == asdict(job) and plain["source"] == source else None


def _keep(rate: Rate, out: Path, source: str) -> None:
    path = rate.job.path(out)
    temporary = path.with_suffix(".tmp")
    text = json.dumps({"job": asdict(rate.job), "source": source, "rejected": rate.rejected}, indent=1)
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def document(rates: Sequence[Rate]) -> dict[str, Any]:
    """The rates as one JSON document."""
    return {
        "schema": "veribayes.calibration/1",
        "nominal": NOMINAL,
        "source": source_digest(),
        "size": [_plain(r) | {"sound": r.sound} for r in rates if r.job.defect == NULL],
        "power": [_plain(r) for r in rates if r.job.defect != NULL],
    }


def _plain(rate: Rate) -> dict[str, Any]:
    problem = PROBLEMS[rate.job.problem]
    low, high = rate.limits
    return asdict(rate.job) | {
        "test": problem.test,
        "table": problem.table,
        "rate": rate.share,
        "low": low,
        "high": high,
    }


def tables(rates: Sequence[Rate]) -> str:
    """Size of every test, and a table of power for each kind of problem, in Markdown."""
    sizes = [r for r in rates if r.job.defect == NULL]
    parts = [_size_table(sizes)]
    for kind in dict.fromkeys(p.table for p in PROBLEMS.values()):
        here = [r for r in rates if r.job.defect != NULL and PROBLEMS[r.job.problem].table == kind]
        if here:
            parts.append(_power_table(kind, here))
    return "\n\n".join(parts)


def _size_table(rates: Sequence[Rate]) -> str:
    lines = [
        "| test | exactness | n | size at .05 | 95 % limits | nulls | |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for r in rates:
        problem = PROBLEMS[r.job.problem]
        exactness, (low, high) = problem.exactness or registry.load("test", problem.test).exactness, r.limits
        lines.append(
            f"| {problem.title} | {exactness} | {r.job.n} | {r.share:.4f} | {low:.4f} to {high:.4f} | {r.job.replicates} | "
            f"{'' if r.sound else 'too large'} |"
        )
    return "\n".join(lines)


def _power_table(kind: str, rates: Sequence[Rate]) -> str:
    names = list(dict.fromkeys(r.job.problem for r in rates))
    power = {(r.job.defect, r.job.problem): f"{r.share:.2f}" for r in rates}
    heads = [f"{PROBLEMS[name].title}, n = {PROBLEMS[name].n}" for name in names]
    lines = [f"| {kind}: power at .05 | {' | '.join(heads)} |", "| --- " * (len(names) + 1) + "|"]
    defects = dict.fromkeys(r.job.defect for r in rates)
    lines += [f"| {defect} | {' | '.join(power.get((defect, name), '') for name in names)} |" for defect in defects]
    return "\n".join(lines)
