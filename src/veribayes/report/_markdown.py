"""The overview table as Markdown; names are escaped, since they come from files."""

from __future__ import annotations

import re
from collections.abc import Sequence

from veribayes.report import _words as words
from veribayes.report._run import Run, mapping

HEAD = (
    "task",
    "candidate",
    "verdict",
    "divergence [95 %]",
    "tolerance",
    "recovery [95 %]",
    "best rival (recovery)",
)


def table(runs: Sequence[Run]) -> str:
    """One line a run, in the order given."""
    lines = [HEAD, tuple("---" for _ in HEAD), *(_line(run) for run in runs)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _line(run: Run) -> tuple[str, ...]:
    result, primary, verdict = run.result, run.primary, words.verdict(run.result)
    power = words.power_for(primary.get("tolerance"))
    unit = _escape(str(primary.get("unit", "")))
    rival = run.best_rival
    return (
        _escape(str(result.get("task", ""))),
        _escape(str(result.get("candidate", ""))),
        f"{verdict.symbol} {_escape(verdict.word)}",
        f"{words.interval(primary, power)} {unit}".rstrip(),
        f"{words.number(primary.get('tolerance'), power=power)} {unit}".rstrip(),
        str(words.percent(mapping(result.get("recovery")))),
        f"{_escape(words.predictor(rival))} ({words.percent(run.rivals[rival].recovery)})"
        if rival
        else words.MISSING,
    )


def _escape(text: str) -> str:
    """Text that stays one table cell and is never markup."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|&~])", r"\\\1", " ".join(text.split()))
