"""What a person reads on the terminal: the table of verdicts, numbers with fitting digits, a progress bar."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from veribayes.statistics import limits
from veribayes.storage import waiting

COLOUR = {"equivalent": "green", "different": "red", "undecided": "yellow"}
HEADINGS = (
    "task",
    "candidate",
    "verdict",
    "divergence, 95 %",
    "tolerance",
    "recovery, 95 %",
    "also passes",
    "data sets needed",
)
PLAIN_WIDTH = 160  # where nobody watches there is no width to fit into
NAMES = {"kl": "KL", "kl_density": "KL of densities", "half_chi_square": "½χ²",
         "quantile_score": "quantile divergence", "crps": "CRPS"}  # fmt: skip


def table(entries: Sequence[Mapping[str, Any]]) -> str:
    """The text of one row a task: verdict, primary endpoint against its tolerance, recovery, and who else would pass."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = Table(box=None, pad_edge=False)
    for heading in HEADINGS:
        rows.add_column(heading, overflow="fold")
    for e in entries:
        cells = [Text(c) for c in row(e)]  # Text: names from files are never read as markup
        cells[2].stylize(COLOUR[e["verdict"]])
        rows.add_row(*cells)
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    lines = [line for e in entries for line in (remark(e), *unstable(e)) if line]
    with console.capture() as text:
        console.print(rows)
        for line in lines:
            console.print(Text(line), soft_wrap=True)
    return text.get().rstrip("\n")


def remark(e: Mapping[str, Any]) -> str:
    """What turns a verdict, or belongs beside it: `TASK: equivalent, but: …`; empty where there is nothing."""
    beyond, beside = (
        [f["text"] for f in e["findings"] if f["name"] == name]
        for name in ("beyond_tolerance", "rejected")
    )
    if e["verdict"] != "different":
        return f"{e['task']}: {e['verdict']}, but: {'; '.join(beside)}" if beside else ""
    single = e["primary"]["verdict"]
    return (
        f"{e['task']}: single predictions are {single}, but: {'; '.join(beyond)}"
        if single != "different"
        else ""
    )


def unstable(e: Mapping[str, Any]) -> list[str]:
    """Why a limit of the divergence is not shown, or why there is no verdict: what the table has no room for."""
    return [
        f"{e['task']}: {f['text']}"
        for f in e["findings"]
        if f["name"] in ("no_stable_limit", "below_zero", "more_draws")
    ]


def row(e: Mapping[str, Any]) -> tuple[str, ...]:
    """The cells of one result entry."""
    p, r = e["primary"], e["recovery"]
    passing = ", ".join(name for name, other in e["rivals"].items() if other["passes"]) or "none"
    size = "infinite" if p["estimate"] is None else interval(p, number)
    share = "undefined" if r["estimate"] is None else interval(r, percent)
    name = NAMES.get(p["metric"], p["metric"])
    return (e["task"], e["candidate"], e["verdict"], f"{name} {size}", number(p["tolerance"]), share, passing,
            str(p["datasets_needed"] or "–"))  # fmt: skip


def interval(plain: Mapping[str, Any], form: Callable[[float], str]) -> str:
    """Estimate and limits, e.g. `0.0031 [0.0028, 0.0034]`."""
    return limits.words(plain, form)


def number(value: float) -> str:
    """Three significant digits."""
    return f"{value:.3g}"


def percent(share: float) -> str:
    """A share with two significant digits of what is missing to 100 %: 85 %, 99.31 %, 99.9955 %."""
    missing = abs(1 - share) * 100
    digits = 0 if missing >= 10 or missing < 1e-10 else 1 - math.floor(math.log10(missing))
    return f"{share * 100 + 0.0:.{digits}f} %".replace("-0 %", "0 %")


@contextmanager
def progress(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error while data sets are done, where somebody watches; a line a minute in any case."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    hidden = not console.is_terminal
    say = None if hidden else partial(console.print, markup=False, highlight=False)  # above the bar
    with (
        Progress(*columns, console=console, transient=True, disable=hidden) as bar,
        waiting.watched(name, total, say=say) as watch,
    ):
        job = bar.add_task(escape(name), total=total)

        def advance(done: int) -> None:
            bar.update(job, completed=done)
            watch(done)

        yield advance
