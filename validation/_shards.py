"""Measurements of error rates, cut into blocks:
run on all cores, kept as files, continued after an interruption.

A block counts events over some replicates and is a function of its own fields alone: cores and
interruptions change nothing. Its file is used again as long as the block and the sources behind it
are the same.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self, TypeVar

BLOCK = 1000  # replicates in a file
Counts = dict[str, int]


@dataclass(frozen=True)
class Job(ABC):
    """Replicates `first`, … of one experiment; a subclass says which, in plain fields."""

    n: int
    replicates: int
    seed: int
    first: int = 0

    @property
    @abstractmethod
    def name(self) -> str:
        """Of the experiment, in a file name."""

    @abstractmethod
    def source(self) -> str:
        """Digest of the code that the counts depend on."""

    @abstractmethod
    def measure(self) -> Counts:
        """How often each event happened."""

    def blocks(self) -> list[Self]:
        """The job in parts that are kept."""
        end = self.first + self.replicates
        starts = range(self.first, end, BLOCK)
        sizes = [min(BLOCK, end - first) for first in starts]
        pairs = zip(starts, sizes, strict=True)
        return [replace(self, first=first, replicates=size) for first, size in pairs]

    def path(self, out: Path) -> Path:
        """The file of a block."""
        return out / f"{self.name}-{self.n}-{self.first}.json"


J = TypeVar("J", bound=Job)


def run(
    todo: Sequence[J], out: Path, progress: Callable[[int], None], *, workers: int | None = None
) -> list[Counts]:
    """Counts of all jobs, in their order; blocks without a file of these sources are measured in
    spawned processes.

    First blocks of all jobs come first: an interrupted run has everything with fewer replicates.
    `progress` is told how many blocks are done, of `blocks(todo)`.
    """
    out.mkdir(parents=True, exist_ok=True)
    unordered = [block for job in todo for block in job.blocks()]
    parts = sorted(unordered, key=lambda block: block.first)
    kept = {block: _kept(block, out) for block in parts}
    found = {block: counts for block, counts in kept.items() if counts is not None}
    progress(len(found))
    for block, counts in _measured(
        [block for block in parts if block not in found], workers or os.cpu_count() or 1
    ):
        _keep(block, counts, out)
        found[block] = counts
        progress(len(found))
    sums = []
    for job in todo:
        counts_of_job = [found[block] for block in job.blocks()]
        sums.append(_sum(counts_of_job))
    return sums


def slug(text: str) -> str:
    """A part of a file name."""
    return "".join(c if c.isalnum() else "_" for c in text)


def blocks(todo: Sequence[Job]) -> int:
    """Number of files of some jobs."""
    return sum(len(job.blocks()) for job in todo)


def counted(job: J) -> tuple[J, Counts]:
    """What a process of the pool is asked for."""
    return job, job.measure()


def _measured(todo: Sequence[J], workers: int) -> Iterator[tuple[J, Counts]]:
    if workers == 1:
        yield from map(counted, todo)
        return
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        with _deaf():
            waiting = [pool.submit(counted, job) for job in todo]
        for done in as_completed(waiting):
            yield done.result()
    except BaseException:  # what was begun is measured again
        for worker in set(multiprocessing.active_children()) - others:
            worker.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes that are started here never hear Ctrl-C, which a terminal sends to all: the one
    that started them ends them.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _sum(parts: Sequence[Counts]) -> Counts:
    total = Counter[str]()
    for part in parts:
        total.update(part)
    return {event: total[event] for event in parts[0]}


def _kept(job: Job, out: Path) -> Counts | None:
    path = job.path(out)
    if not path.exists():
        return None
    try:
        plain = dict(json.loads(path.read_text(encoding="utf-8")))
        same = plain.pop("job") == asdict(job) and plain.pop("source") == job.source()
    except (ValueError, KeyError, TypeError):  # damaged: measured again
        return None
    return plain if same and all(isinstance(count, int) for count in plain.values()) else None


def _keep(job: Job, counts: Counts, out: Path) -> None:
    path = job.path(out)
    temporary = path.with_suffix(".tmp")
    plain = {"job": asdict(job), "source": job.source(), **counts}
    temporary.write_text(json.dumps(plain, indent=1), encoding="utf-8")
    temporary.replace(path)
