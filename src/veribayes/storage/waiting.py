"""Where a long wait stands: a line on standard error once a minute while work goes on. It ends
nothing.

What computes says what it is at by `at`; who waits opens `watched`. A sampler that is compiled once
and draws for an hour looks like one that hangs; the line tells them apart by the processor time of
the last minute.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

EVERY = 60.0  # seconds between lines: rare enough for a log, often enough for a person who wonders
STILL = 0.02  # processor seconds a second, below which nothing is being computed
REMEDY = "PJRT_NPROC=1 keeps JAX's threads from waiting for each other"

_place = ""  # what is being computed; one process computes one thing


def at(place: str) -> None:
    """Say what is being computed now, such as `hmc on data sets 1 to 64 of 100`."""
    global _place
    _place = place


@dataclass
class Watch:
    """What is waited for.

    Attributes:
        name, total: of the task and its data sets.
        done: data sets finished.
    """

    name: str
    total: int
    done: int = 0

    def line(self, elapsed: float, waited: float, processor: float) -> str:
        """One sentence, from seconds since the start, since the last line, and of the processor
        since the last line.
        """
        place = f", at {_place}" if _place else ""
        counted = f"{self.done} of {self.total} done, {elapsed:.0f} s elapsed"
        text = f"still at work: {self.name}{place}; {counted}"
        if processor > STILL * waited:
            return text
        threads = os.environ.get("PJRT_NPROC", "")
        return f"{text}; processor time stands still" + ("" if threads == "1" else f" ({REMEDY})")


@contextmanager
def watched(
    name: str, total: int, *, every: float = EVERY, say: Callable[[str], None] | None = None
) -> Iterator[Callable[[int], None]]:
    """Yield a function that is told how many are done; meanwhile a line is said every so many
    seconds.
    """
    watch, over = Watch(name, total), threading.Event()
    speaker = threading.Thread(target=_speak, args=(watch, over, every, say or _say), daemon=True)

    def advance(done: int) -> None:
        watch.done = done

    at("")
    speaker.start()
    try:
        yield advance
    finally:
        over.set()
        speaker.join()
        at("")


def _speak(watch: Watch, over: threading.Event, every: float, say: Callable[[str], None]) -> None:
    """A line after each pause until the work is over."""
    began = before = time.perf_counter()
    used = time.process_time()
    while not over.wait(every):
        now, processor = time.perf_counter(), time.process_time()
        say(watch.line(now - began, now - before, processor - used))
        before, used = now, processor


def _say(text: str) -> None:
    print(f"veribayes: {text}", file=sys.stderr, flush=True)
