"""Size and power of every test, measured: what `veribayes calibrate-tests` prints.

A job is one test on one problem at one sample size. Replicate i is a function of (seed, problem,
defect, n, i), so a job has one result whatever runs beside it. It is measured in blocks
(validation/_shards.py), which the next run uses again, also one with more replicates. The test's
own seed changes with the replicates too: the size is that of the test as a user meets it, not that
of one simulated null.
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
from veribayes.validation.checks._planted import NULL
from veribayes.validation.checks._problems import PROBLEMS, Problem
from veribayes.validation.checks._test import Test

NOMINAL = 0.05
LARGEST = 0.06  # a size above is a defect of the test
POWER_REPLICATES = 200  # standard error of a power of .95: .015
LOOKED = 1000  # nulls of a test that is looked at often
MOST = 1000  # data sets after which a sequential test is given up


@dataclass(frozen=True, kw_only=True)
class Job(_shards.Job):
    """How often the test of a problem rejects at .05 in replicates `first`, …; `defect` "none" is
    the null.
    """

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
            outcomes = []
            try:
                for size in problem.moments(self.n):
                    seen = [array[:size] for array in arrays]
                    outcomes.append(test.run(*seen, seed=i // problem.shares, **options))
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
        """Whether a size is at most .06, or within the 99.9 % band of nominal size where that is
        wider.

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
    power = min(nulls, POWER_REPLICATES)
    todo = []
    for name in names or PROBLEMS:
        problem = PROBLEMS[name]
        replicates = nulls if problem.looks == 1 else min(nulls, LOOKED)
        todo += [Job(n, replicates, seed, problem=name, defect=NULL) for n in problem.sizes]
        todo += [Job(problem.n, power, seed, problem=name, defect=d) for d in problem.defects]
    return todo


def run(
    todo: Sequence[Job], out: Path, progress: Callable[[int], None], *, workers: int | None = None
) -> list[Rate]:
    """Measure all jobs; rates in their order."""
    counts = _shards.run(todo, out, progress, workers=workers)
    return [Rate(job, found["rejected"]) for job, found in zip(todo, counts, strict=True)]


def source_digest(test: str | None = None) -> str:
    """Digest of the sources that a test's rejections depend on, by default of all tests: other
    shards are measured again.
    """
    folder = Path(__file__).parent
    frame = [path for path in folder.glob("_*.py") if path != Path(__file__)]
    parts = [path for path in folder.glob("[!_]*.py") if test in (None, path.stem)]
    sources = b"".join(path.read_bytes() for path in sorted(frame + parts))
    return hashlib.sha256(sources).hexdigest()[:16]


@dataclass(frozen=True)
class Waiting:
    """Data sets until an anytime-valid test rejects at .05 under a planted defect; at most `MOST`
    are asked for.

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
    """How long tests that may be looked at after every data set take, for each defect of their
    problems.
    """
    looked = {problem.test for problem in PROBLEMS.values() if _anytime_valid(problem)}
    found = []
    for name, problem in PROBLEMS.items():
        if problem.test in looked:
            found += [_waiting(name, defect, seed, replicates) for defect in problem.defects]
    return found


def _anytime_valid(problem: Problem) -> bool:
    exactness = registry.load("check", problem.test).exactness
    return bool(problem.looks > 1 and exactness == "conservative")


def _waiting(name: str, defect: str, seed: int, replicates: int) -> Waiting:
    problem = PROBLEMS[name]
    test = registry.load("check", problem.test)
    times = []
    for i in range(replicates):
        rng = generator(seed, f"{name}/{defect}", MOST, i)
        arrays, options = problem.draw(rng, MOST, defect)
        times.append(_first(test, arrays, options))
    late = sorted(times)[math.ceil(0.9 * replicates) - 1]
    mean = sum(min(time, MOST) for time in times) / replicates
    never = sum(time > MOST for time in times) / replicates
    return Waiting(name, defect, mean, late, never, replicates)


def _first(test: Test, arrays: tuple[Any, ...], options: dict[str, Any]) -> float:
    """Smallest number of data sets that rejects; by bisection, since the p-value of a running
    maximum never rises.
    """
    if test.run(*arrays, **options).p_value > NOMINAL:
        return math.inf
    below, enough = 0, MOST
    while enough - below > 1:
        middle = (below + enough) // 2
        seen = [array[:middle] for array in arrays]
        rejected = test.run(*seen, **options).p_value <= NOMINAL
        below, enough = (below, middle) if rejected else (middle, enough)
    return enough


def document(rates: Sequence[Rate]) -> dict[str, Any]:
    """The rates as one JSON document."""
    stopping = []
    for rate in rates:
        if _is_stopping(rate):
            looks = PROBLEMS[rate.job.problem].looks
            stopping.append({**_plain(rate), "looks": looks})
    return {
        "schema": "veribayes.calibration/1",
        "nominal": NOMINAL,
        "largest": LARGEST,
        "source": source_digest(),
        "size": [{**_plain(rate), "sound": rate.sound} for rate in rates if _is_size(rate)],
        "stopping": stopping,
        "power": [_plain(rate) for rate in rates if rate.job.defect != NULL],
    }


def _is_size(rate: Rate) -> bool:
    return rate.job.defect == NULL and not _is_stopping(rate)


def _is_stopping(rate: Rate) -> bool:
    return PROBLEMS[rate.job.problem].looks > 1


def _plain(rate: Rate) -> dict[str, Any]:
    problem = PROBLEMS[rate.job.problem]
    low, high = rate.limits
    return {
        **asdict(rate.job),
        "test": problem.test,
        "title": problem.title,
        "table": problem.table,
        "exactness": exactness(rate.job.problem),
        "rate": rate.share,
        "low": low,
        "high": high,
    }


def tables(rates: Sequence[Rate]) -> str:
    """Size of every test, a table of power for each kind of problem, and optional stopping, in
    Markdown.
    """
    parts = [_size_table([rate for rate in rates if _is_size(rate)])]
    powers = [rate for rate in rates if rate.job.defect != NULL]
    for kind in dict.fromkeys(problem.table for problem in PROBLEMS.values()):
        here = [rate for rate in powers if PROBLEMS[rate.job.problem].table == kind]
        if here:
            parts.append(_power_table(kind, here))
    looked = [rate for rate in rates if _is_stopping(rate)]
    if looked:
        parts.append(_stopping_table(looked))
    return "\n\n".join(parts)


def _size_table(rates: Sequence[Rate]) -> str:
    lines = [
        "| test | exactness | n | size at .05 | 95 % limits | nulls | |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for r in rates:
        low, high = r.limits
        wrong = "too large" if r.share > NOMINAL else "too small"
        cells = [
            PROBLEMS[r.job.problem].title,
            exactness(r.job.problem),
            f"{r.job.n}",
            f"{r.share:.4f}",
            f"{low:.4f} to {high:.4f}",
            f"{r.job.replicates}",
            "" if r.sound else wrong,
        ]
        lines.append(_line(cells))
    return "\n".join(lines)


def _power_table(kind: str, rates: Sequence[Rate]) -> str:
    names = list(dict.fromkeys(rate.job.problem for rate in rates))
    power = {(rate.job.defect, rate.job.problem): f"{rate.share:.2f}" for rate in rates}
    heads = [f"{PROBLEMS[name].title}, n = {PROBLEMS[name].n}" for name in names]
    lines = [_line([f"{kind}: power at .05", *heads]), "| --- " * (len(names) + 1) + "|"]
    for defect in dict.fromkeys(rate.job.defect for rate in rates):
        shares = [power.get((defect, name), "") for name in names]
        lines.append(_line([defect, *shares]))
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    """A row of a table in Markdown."""
    return f"| {' | '.join(cells)} |"


def waiting_table(found: Sequence[Waiting]) -> str:
    """The waiting times in Markdown."""
    heads = (
        "data sets until it rejects",
        "mean",
        "nine of ten by",
        f"never within {MOST:,}",
        "runs",
    )
    lines = [_line(heads), "| --- " * len(heads) + "|"]
    for waited in found:
        title = f"{PROBLEMS[waited.problem].title}: {waited.defect}"
        late = "–" if math.isinf(waited.late) else f"{waited.late:.0f}"
        numbers = [f"{waited.mean:.0f}", late, f"{waited.never:.2f}", f"{waited.replicates}"]
        lines.append(_line([title, *numbers]))
    return "\n".join(lines)


def _stopping_table(rates: Sequence[Rate]) -> str:
    lines = [
        "| optional stopping | data sets | true nulls rejected | nulls |",
        "| --- | --- | --- | --- |",
    ]
    for r in rates:
        numbers = [f"{r.job.n}", f"{r.share:.3f}", f"{r.job.replicates}"]
        lines.append(_line([PROBLEMS[r.job.problem].title, *numbers]))
    return "\n".join(lines)
