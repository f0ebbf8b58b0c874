"""Size and power of every test, measured: what `veribayes calibrate-tests` prints.

A job is one test on one problem at one sample size. Replicate i is a function of (seed, problem, defect, n, i), so a job
has one result whatever runs beside it. It is measured in blocks of replicates, each kept as a JSON shard and reused by the next
run, also by one with more replicates. The test's own seed changes with the replicates too: the size is that of the test as a
user meets it, not that of one simulated null.
"""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
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
BLOCK = 1000  # replicates in a shard
MOST = 1000  # data sets after which a sequential test is given up


@dataclass(frozen=True)
class Job:
    """How often the test of a problem rejects at .05 in replicates `first`, …; `defect` "none" is the null."""

    problem: str
    defect: str
    n: int
    replicates: int
    seed: int
    first: int = 0

    def blocks(self) -> list[Job]:
        """The job in shards."""
        starts = range(self.first, self.first + self.replicates, BLOCK)
        return [replace(self, first=i, replicates=min(BLOCK, self.first + self.replicates - i)) for i in starts]

    def path(self, out: Path) -> Path:
        """Its shard."""
        defect = "".join(c if c.isalnum() else "_" for c in self.defect)
        return out / f"{self.problem}-{defect}-{self.n}-{self.first}.json"


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
        """Whether a size is at most .06, or within the 99.9 % band of nominal size where that is wider.

        A test that states exactness must lie within the band, above and below.
        """
        n = self.job.replicates
        low, high = stats.binom.ppf([0.0005, 0.9995], n, NOMINAL)
        if exactness(self.job.problem) == "exact":
            return bool(low <= self.rejected <= high)
        return bool(self.rejected <= max(high, LARGEST * n))


def exactness(problem: str) -> str:
    """What the test states, unless the problem is not what it states it for."""
    stated: str = registry.load("test", PROBLEMS[problem].test).exactness
    return PROBLEMS[problem].exactness or stated


def jobs(nulls: int, seed: int, names: Sequence[str] | None = None) -> list[Job]:
    """Size at three sample sizes and power at one, for the problems named (default: all)."""
    if nulls < 20:
        raise InputError("at least 20 nulls", f"{nulls}")
    found = []
    for name in names or PROBLEMS:
        problem = PROBLEMS[name]
        replicates = nulls if problem.looks == 1 else min(nulls, BLOCK)
        found += [Job(name, NULL, n, replicates, seed) for n in problem.sizes]
        found += [Job(name, defect, problem.n, min(nulls, POWER_REPLICATES), seed) for defect in problem.defects]
    return found


def measure(job: Job) -> Rate:
    """Run a job."""
    problem = PROBLEMS[job.problem]
    test: Test = registry.load("test", problem.test)
    rejected = 0
    for i in range(job.first, job.first + job.replicates):
        rng = generator(job.seed, f"{job.problem}/{job.defect}", job.n, i)
        arrays, options = problem.draw(rng, job.n, job.defect)
        try:
            outcomes = [
                test.run(*(a[:m] for a in arrays), seed=i // problem.shares, **options) for m in problem.moments(job.n)
            ]
        except InputError as error:  # cannot be sent between processes as it is
            raise RuntimeError(f"{job}, replicate {i}: {error}") from None
        rejected += any(outcome.p_value <= NOMINAL for outcome in outcomes)
    return Rate(job, rejected)


def run(todo: Sequence[Job], out: Path, progress: Callable[[int], None], *, workers: int | None = None) -> list[Rate]:
    """Measure all jobs, blocks without a shard of these sources in spawned processes; rates in the order of the jobs.

    First blocks of all jobs come first: an interrupted run has every test with fewer replicates. `progress` is told how many
    blocks are done, of `blocks(todo)`.
    """
    out.mkdir(parents=True, exist_ok=True)
    parts = sorted((block for job in todo for block in job.blocks()), key=lambda block: block.first)
    found = {block: kept for block in parts if (kept := _kept(block, out))}
    progress(len(found))
    for rate in _measured([block for block in parts if block not in found], workers or os.cpu_count() or 1):
        _keep(rate, out)
        found[rate.job] = rate
        progress(len(found))
    return [Rate(job, sum(found[block].rejected for block in job.blocks())) for job in todo]


def blocks(todo: Sequence[Job]) -> int:
    """Number of shards of some jobs."""
    return sum(len(job.blocks()) for job in todo)


def source_digest(test: str | None = None) -> str:
    """Digest of the sources that a test's rejections depend on, by default of all tests: other shards are measured again."""
    folder = Path(__file__).parent
    files = sorted(f for f in folder.glob("*.py") if test is None or f.stem == test or f.stem.startswith("_"))
    return hashlib.sha256(b"".join(f.read_bytes() for f in files if f != Path(__file__))).hexdigest()[:16]


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


def _kept(job: Job, out: Path) -> Rate | None:
    path = job.path(out)
    if not path.exists():
        return None
    plain = json.loads(path.read_text(encoding="utf-8"))
    fits = plain["job"] == asdict(job) and plain["source"] == source_digest(PROBLEMS[job.problem].test)
    return Rate(job, plain["rejected"]) if fits else None


def _keep(rate: Rate, out: Path) -> None:
    path, source = rate.job.path(out), source_digest(PROBLEMS[rate.job.problem].test)
    temporary = path.with_suffix(".tmp")
    text = json.dumps({"job": asdict(rate.job), "source": source, "rejected": rate.rejected}, indent=1)
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


@dataclass(frozen=True)
class Waiting:
    """Data sets until an anytime-valid test rejects at .05 under a planted defect; at most `MOST` are asked for.

    Attributes:
        mean: of data sets used, those of a run that never stops counted as `MOST`.
        late: nine of ten runs have stopped by then; infinite where they have not.
        never: share of runs that did not stop.
    """

    problem: str
    defect: str
    mean: float
    late: float
    never: float
    replicates: int


def waiting(seed: int, replicates: int = POWER_REPLICATES) -> list[Waiting]:
    """How long tests that may be looked at after every data set take, for each defect of their problems."""
    looked = {p.test for p in PROBLEMS.values() if p.looks > 1 and registry.load("test", p.test).exactness == "conservative"}
    pairs = [(name, defect) for name, p in PROBLEMS.items() if p.test in looked for defect in p.defects]
    return [_waiting(name, defect, seed, replicates) for name, defect in pairs]


def _waiting(name: str, defect: str, seed: int, replicates: int) -> Waiting:
    times = []
    for i in range(replicates):
        arrays, options = PROBLEMS[name].draw(generator(seed, f"{name}/{defect}", MOST, i), MOST, defect)
        times.append(_first(registry.load("test", PROBLEMS[name].test), arrays, options))
    order = sorted(times)
    capped = [min(t, MOST) for t in times]
    late = order[math.ceil(0.9 * replicates) - 1]
    return Waiting(name, defect, sum(capped) / replicates, late, sum(t > MOST for t in times) / replicates, replicates)


def _first(test: Test, arrays: tuple[Any, ...], options: dict[str, Any]) -> float:
    """Smallest number of data sets that rejects; by bisection, since the p-value of a running maximum never rises."""
    if test.run(*arrays, **options).p_value > NOMINAL:
        return math.inf
    below, enough = 0, MOST
    while enough - below > 1:
        middle = (below + enough) // 2
        rejected = test.run(*(a[:middle] for a in arrays), **options).p_value <= NOMINAL
        below, enough = (below, middle) if rejected else (middle, enough)
    return enough


def document(rates: Sequence[Rate]) -> dict[str, Any]:
    """The rates as one JSON document."""
    return {
        "schema": "veribayes.calibration/1",
        "nominal": NOMINAL,
        "largest": LARGEST,
        "source": source_digest(),
        "size": [_plain(r) | {"sound": r.sound} for r in rates if _is_size(r)],
        "stopping": [_plain(r) | {"looks": PROBLEMS[r.job.problem].looks} for r in rates if _is_stopping(r)],
        "power": [_plain(r) for r in rates if r.job.defect != NULL],
    }


def _is_size(rate: Rate) -> bool:
    return rate.job.defect == NULL and not _is_stopping(rate)


def _is_stopping(rate: Rate) -> bool:
    return PROBLEMS[rate.job.problem].looks > 1


def _plain(rate: Rate) -> dict[str, Any]:
    problem, (low, high) = PROBLEMS[rate.job.problem], rate.limits
    named = {"test": problem.test, "title": problem.title, "table": problem.table}
    stated = {"exactness": exactness(rate.job.problem)}
    return asdict(rate.job) | named | stated | {"rate": rate.share, "low": low, "high": high}


def tables(rates: Sequence[Rate]) -> str:
    """Size of every test, a table of power for each kind of problem, and optional stopping, in Markdown."""
    parts = [_size_table([r for r in rates if _is_size(r)])]
    for kind in dict.fromkeys(p.table for p in PROBLEMS.values()):
        here = [r for r in rates if r.job.defect != NULL and PROBLEMS[r.job.problem].table == kind]
        if here:
            parts.append(_power_table(kind, here))
    looked = [r for r in rates if _is_stopping(r)]
    return "\n\n".join([*parts, _stopping_table(looked)] if looked else parts)


def _size_table(rates: Sequence[Rate]) -> str:
    lines = [
        "| test | exactness | n | size at .05 | 95 % limits | nulls | |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for r in rates:
        low, high = r.limits
        remark = "" if r.sound else "too large" if r.share > NOMINAL else "too small"
        lines.append(
            f"| {PROBLEMS[r.job.problem].title} | {exactness(r.job.problem)} | {r.job.n} | {r.share:.4f} | "
            f"{low:.4f} to {high:.4f} | {r.job.replicates} | {remark} |"
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


def waiting_table(found: Sequence[Waiting]) -> str:
    """The waiting times in Markdown."""
    heads = ("data sets until it rejects", "mean", "nine of ten by", f"never within {MOST:,}", "runs")
    lines = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    lines += [
        f"| {PROBLEMS[w.problem].title}: {w.defect} | {w.mean:.0f} | {'–' if math.isinf(w.late) else f'{w.late:.0f}'} | "
        f"{w.never:.2f} | {w.replicates} |"
        for w in found
    ]
    return "\n".join(lines)


def _stopping_table(rates: Sequence[Rate]) -> str:
    lines = ["| optional stopping | data sets | true nulls rejected | nulls |", "| --- | --- | --- | --- |"]
    lines += [f"| {PROBLEMS[r.job.problem].title} | {r.job.n} | {r.share:.3f} | {r.job.replicates} |" for r in rates]
    return "\n".join(lines)
