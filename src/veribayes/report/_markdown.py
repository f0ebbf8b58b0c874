"""The overview table as Markdown; names are escaped, since they come from files."""

from __future__ import annotations

import re
from collections.abc import Sequence

from veribayes.report import _words as words
from veribayes.report._run import Run

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
    rows = [HEAD, tuple("---" for _ in HEAD), *map(_row, runs)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(run: Run) -> tuple[str, ...]:
    verdict, unit = words.verdict(run.result), _escape(run.unit)
    divergence = words.interval(run.primary, run.power)
    tolerance = words.number(run.primary.get("tolerance"), power=run.power)
    return (
        _escape(str(run.result.get("task", ""))),
        _escape(str(run.result.get("candidate", ""))),
        f"{verdict.symbol} {_escape(verdict.word)}",
        f"{divergence} {unit}".rstrip(),
        f"{tolerance} {unit}".rstrip(),
        str(words.percent(run.recovery)),
        _best_rival(run),
    )


def _best_rival(run: Run) -> str:
    if run.best_rival is None:
        return words.MISSING
    recovery = words.percent(run.rivals[run.best_rival].recovery)
    return f"{_escape(words.predictor(run.best_rival))} ({recovery})"


def _escape(text: str) -> str:
    """Text that stays one table cell and is never markup."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|&~])", r"\\\1", " ".join(text.split()))
