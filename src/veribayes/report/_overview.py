"""The table of all tasks of a page: each task's verdict, divergence, recovery and nearest rival."""

from __future__ import annotations

from dataclasses import dataclass

from veribayes.report import _words as words
from veribayes.report._rivals import Bar, Row, bar, best
from veribayes.report._run import Run


@dataclass(frozen=True)
class Line:
    """One task; `number` is that of its part of the page."""

    number: int
    task: str
    candidate: str
    verdict: words.Verdict
    divergence: words.Interval
    unit: str
    tolerance: str
    bar: Bar | None
    recovery: words.Interval
    best_rival: Row | None


def line(run: Run, number: int) -> Line:
    """What the table says of one run."""
    return Line(
        number=number,
        task=run.task,
        candidate=run.candidate,
        verdict=words.verdict(run.result),
        divergence=words.interval(run.primary, run.power),
        unit=run.unit,
        tolerance=words.number(run.primary.get("tolerance"), power=run.power),
        bar=bar(run),
        recovery=words.percent(run.recovery),
        best_rival=best(run),
    )
