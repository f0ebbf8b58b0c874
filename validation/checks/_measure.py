"""Size and power of every test, measured: what `veribayes calibrate-tests` prints.

A job is one test on one problem at one sample size. Replicate i is a function of (seed, problem, defect, n, i), so a job
has one result whatever runs beside it. It is measured in blocks (validation/_shards.py), which the next run uses again, also
one with more replicates. The test's own seed changes with the replicates too: the size is that of the test as a
user meets it, not that of one simulated null.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scipy import stats

from veribayes import registry
from veribayes.errors import InputError
from veribayes.validation import _shards
from veribayes.validation.checks._null import generator
from veribayes.validation.checks._problems import NULL, PROBLEMS
from veribayes.validation.checks._test import Test

NOMINAL = 0.05
LARGEST = 0.06  # a size above is a defect of the test
POWER_REPLICATES = 200  # standard error of a power of .95: .015
LOOKED = 1000  # nulls of a test that is looked at often
MOST = 1000  # data sets after which a sequential test is given up


@dataclass(frozen=True, kw_only=True)
class Job(_shards.Job):
    """How often the test of a problem rejects at .05 in replicates `first`, …; `defect` "none" is the null."""

    problem: str
    defect: str

    @property
    def name(self) -> str:
        return f"{self.problem}-{_shards.slug(self.defect)}"

    def source(self) -> str:
        return source_digest(PROBLEMS[self.problem].test)

    def measure(self) -> _shards.Counts:
        problem = PROBLEMS[self.problem]
        test: Test = registry.load("check", problem.test)
        rejected = 0
        for i in range(self.first, self.first + self.replicates):
            rng = generator(self.seed, f"{self.problem}/{self.defect}", self.n, i)
            arrays, options = problem.draw(rng, self.n, self.defect)
            looks = [tuple(a[:m] for a in arrays) for m in problem.moments(self.n)]
            try:
                outcomes = [test.run(*seen, seed=i // problem.shares, **options) for seen in looks]
            except InputError as error:  # cannot be sent between processes as it is
                raise RuntimeError(f"{self}, replicate {i}: {error}") from None
            rejected += any(outcome.p_value <= NOMINAL for outcome in outcomes)
        return {"rejected": rejected}


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
    stated: str = registry.load("check", PROBLEMS[problem].test).exactness
    return PROBLEMS[problem].exactness or stated


def jobs(nulls: int, seed: int, names: Sequence[str] | None = None) -> list[Job]:
    """Size at three sample sizes and power at one, for the problems named (default: all)."""
    if nulls < 20:
        raise InputError("at least 20 nulls", f"{nulls}")
    found = []
    for name in names or PROBLEMS:
        problem = PROBLEMS[name]
        replicates = nulls if problem.looks == 1 else min(nulls, LOOKED)
        found += [Job(n, replicates, seed, problem=name, defect=NULL) for n in problem.sizes]
        power = min(nulls, POWER_REPLICATES)
        found += [
            Job(problem.n, power, seed, problem=name, defect=defect) for defect in problem.defects
        ]
    return found


def run(
    todo: Sequence[Job], out: Path, progress: Callable[[int], None], *, workers: int | None = None
) -> list[Rate]:
    """Measure all jobs; rates in their order."""
    counts = _shards.run(todo, out, progress, workers=workers)
    return [Rate(job, found["rejected"]) for job, found in zip(todo, counts, strict=True)]


def source_digest(test: str | None = None) -> str:
    """Digest of the sources that a test's rejections depend on, by default of all tests: other shards are measured again."""
    folder = Path(__file__).parent
    files = sorted(
        f for f in folder.glob("*.py") if test is None or f.stem == test or f.stem.startswith("_")
    )
    return hashlib.sha256(
        b"".join(f.read_bytes() for f in files if f != Path(__file__))
    ).hexdigest()[:16]


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
    looked = {
        p.test
        for p in PROBLEMS.values()
        if p.looks > 1 and registry.load("check", p.test).exactness == "conservative"
    }
    pairs = [
        (name, defect) for name, p in PROBLEMS.items() if p.test in looked for defect in p.defects
    ]
    return [_waiting(name, defect, seed, replicates) for name, defect in pairs]


def _waiting(name: str, defect: str, seed: int, replicates: int) -> Waiting:
    times = []
    for i in range(replicates):
        arrays, options = PROBLEMS[name].draw(
            generator(seed, f"{name}/{defect}", MOST, i), MOST, defect
        )
        times.append(_first(registry.load("check", PROBLEMS[name].test), arrays, options))
    order = sorted(times)
    capped = [min(t, MOST) for t in times]
    late = order[math.ceil(0.9 * replicates) - 1]
    return Waiting(
        name,
        defect,
        sum(capped) / replicates,
        late,
        sum(t > MOST for t in times) / replicates,
        replicates,
    )


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
        "stopping": [
            _plain(r) | {"looks": PROBLEMS[r.job.problem].looks} for r in rates if _is_stopping(r)
        ],
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
    lines += [
        f"| {defect} | {' | '.join(power.get((defect, name), '') for name in names)} |"
        for defect in defects
    ]
    return "\n".join(lines)


def waiting_table(found: Sequence[Waiting]) -> str:
    """The waiting times in Markdown."""
    heads = (
        "data sets until it rejects",
        "mean",
        "nine of ten by",
        f"never within {MOST:,}",
        "runs",
    )
    lines = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    lines += [
        f"| {PROBLEMS[w.problem].title}: {w.defect} | {w.mean:.0f} | {'–' if math.isinf(w.late) else f'{w.late:.0f}'} | "
        f"{w.never:.2f} | {w.replicates} |"
        for w in found
    ]
    return "\n".join(lines)


def _stopping_table(rates: Sequence[Rate]) -> str:
    lines = [
        "| optional stopping | data sets | true nulls rejected | nulls |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| {PROBLEMS[r.job.problem].title} | {r.job.n} | {r.share:.3f} | {r.job.replicates} |"
        for r in rates
    ]
    return "\n".join(lines)
