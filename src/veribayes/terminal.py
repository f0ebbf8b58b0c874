"""What a person reads on the terminal: the table of verdicts, numbers with fitting digits, a progress bar."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from veribayes import limits

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


def print_table(entries: Sequence[Mapping[str, Any]]) -> None:
    """One row a task: verdict, primary endpoint against its tolerance, recovery, and who else would pass."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for heading in HEADINGS:
        table.add_column(heading, overflow="fold")
    for e in entries:
        cells = [Text(c) for c in row(e)]  # Text: names from files are never read as markup
        cells[2].stylize(COLOUR[e["verdict"]])
        table.add_row(*cells)
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    console.print(table)
    for line in filter(None, [line for e in entries for line in (remark(e), *unstable(e))]):
        console.print(Text(line), soft_wrap=True)


def remark(e: Mapping[str, Any]) -> str:
    """What turns a verdict, or belongs beside it: `TASK: equivalent, but: …`; empty where there is nothing."""
    beyond, beside = ([f["text"] for f in e["findings"] if f["name"] == name] for name in ("beyond_tolerance", "rejected"))
    if e["verdict"] != "different":
        return f"{e['task']}: {e['verdict']}, but: {'; '.join(beside)}" if beside else ""
    single = e["primary"]["verdict"]
    return f"{e['task']}: single predictions are {single}, but: {'; '.join(beyond)}" if single != "different" else ""


def unstable(e: Mapping[str, Any]) -> list[str]:
    """Why a limit of the divergence is not shown, or why there is no verdict: what the table has no room for."""
    return [f"{e['task']}: {f['text']}" for f in e["findings"] if f["name"] in ("no_stable_limit", "below_zero")]


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
    """A bar on standard error while data sets are done; silent where nobody watches."""
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
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        job = bar.add_task(escape(name), total=total)
        yield lambda done: bar.update(job, completed=done)
