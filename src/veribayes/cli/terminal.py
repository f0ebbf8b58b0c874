"""What a person reads on the terminal: the table of verdicts, numbers, a progress bar."""

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
Entry = Mapping[str, Any]  # a task's entry of the JSON document

PLAIN_WIDTH = 160  # where nobody watches there is no width to fit into
NAMES = {
    "kl": "KL",
    "kl_density": "KL of densities",
    "half_chi_square": "½χ²",
    "quantile_score": "quantile divergence",
    "crps": "CRPS",
    "squared_error": "squared error",
}
# findings that the table cannot show
TOLD = (
    "contexts_given",
    "few_contexts",
    "plausibility",
    "no_stable_limit",
    "below_zero",
    "more_draws",
    "not_asked_for",
)


def table(entries: Sequence[Entry]) -> str:
    """The text of one row a task: verdict, primary endpoint, recovery, and who else would pass."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = Table(box=None, pad_edge=False)
    for heading in HEADINGS:
        rows.add_column(heading, overflow="fold")
    for entry in entries:
        cells = [Text(cell) for cell in row(entry)]  # names from files are never read as markup
        cells[2].stylize(COLOUR[entry["verdict"]])
        rows.add_row(*cells)
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    with console.capture() as text:
        console.print(rows)
        for entry in entries:
            for line in (remark(entry), *told(entry)):
                if line:
                    console.print(Text(line), soft_wrap=True)
    return text.get().rstrip("\n")


def remark(entry: Entry) -> str:
    """What turns a verdict, or belongs beside it: `TASK: equivalent, but: …`; empty without any."""
    if entry["verdict"] != "different":
        rejected = _texts(entry, "rejected")
        return _but(entry, entry["verdict"], rejected) if rejected else ""
    single = entry["primary"]["verdict"]
    if single == "different":
        return ""
    return _but(entry, f"single predictions are {single}", _texts(entry, "beyond_tolerance"))


def _texts(entry: Entry, name: str) -> list[str]:
    return [finding["text"] for finding in entry["findings"] if finding["name"] == name]


def _but(entry: Entry, sentence: str, texts: Sequence[str]) -> str:
    return f"{entry['task']}: {sentence}, but: {'; '.join(texts)}"


def told(entry: Entry) -> list[str]:
    """That contexts are given, why a limit of the divergence is not shown or there is no verdict,
    and what was not asked for.
    """
    findings = [finding for finding in entry["findings"] if finding["name"] in TOLD]
    return [f"{entry['task']}: {finding['text']}" for finding in findings]


def row(entry: Entry) -> tuple[str, ...]:
    """The cells of one result entry, under `HEADINGS`."""
    primary, recovery = entry["primary"], entry["recovery"]
    passing = [name for name, rival in entry["rivals"].items() if rival["passes"]]
    size = "infinite" if primary["estimate"] is None else interval(primary, number)
    share = "undefined" if recovery["estimate"] is None else interval(recovery, percent)
    name = NAMES.get(primary["metric"], primary["metric"])
    return (
        entry["task"],
        entry["candidate"],
        entry["verdict"],
        f"{name} {size}",
        number(primary["tolerance"]),
        share,
        ", ".join(passing) or "none",
        str(primary["datasets_needed"] or "–"),
    )


def interval(plain: Mapping[str, Any], form: Callable[[float], str]) -> str:
    """Estimate and limits, e.g. `0.0031 [0.0028, 0.0034]`."""
    return limits.words(plain, form)


def number(value: float) -> str:
    """Three significant digits."""
    return f"{value:.3g}"


def percent(share: float) -> str:
    """A share with two significant digits of what is missing to 100 %: 85 %, 99.31 %, 99.9955 %."""
    missing = abs(1 - share) * 100
    several = 1e-10 <= missing < 10
    digits = 1 - math.floor(math.log10(missing)) if several else 0
    return f"{share * 100 + 0.0:.{digits}f} %".replace("-0 %", "0 %")


@contextmanager
def progress(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error while data sets are done, where somebody watches; a line a minute."""
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
