"""The ledger of claims: lines for a terminal of 80 columns, and a self-contained page."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from veribayes.report import _page
from veribayes.report import _words as words

Row = Mapping[str, Any]
WIDTH = 80
READ_IN = {
    "paper": "read in the paper",
    "abstract": "read in the abstract",
    "code": "read in the authors' code",
    "secondhand": "read about elsewhere",
    "ours": "written by us",
}


def text(ledger: Mapping[str, Any]) -> str:
    """Three to five lines a claim: outcome and name, the sentence, the measurements."""
    lines = []
    for row in ledger["claims"]:
        lines.append(f"{mark(row)} {row['name']}")
        lines.append(f"  {row['reading']} (expected: {row['expected']})")
        lines += textwrap.wrap(row["statement"], WIDTH, initial_indent="  ", subsequent_indent="  ")
        for measurement in row["measurements"]:
            lines += textwrap.wrap(
                f"{measurement['setting']}: {value(measurement)}, threshold {row['threshold']}",
                WIDTH,
                initial_indent="    ",
                subsequent_indent="      ",
            )
        lines.append("")
    lines += textwrap.wrap(summary(ledger), WIDTH)
    return "\n".join(lines)


def listing(rows: Sequence[Row]) -> str:
    """What may be run: a name, its source, and the sentence below."""
    lines = []
    for row in rows:
        lines.append(row["name"])
        lines.append(f"  {row['source']}, {READ_IN[row['read_in']]}")
        lines += textwrap.wrap(row["statement"], WIDTH, initial_indent="  ", subsequent_indent="  ")
    return "\n".join(lines)


def page(ledger: Mapping[str, Any]) -> str:
    """One HTML page without script or network, a section a paper."""
    papers: dict[tuple[str, str], list[Row]] = {}
    for row in ledger["claims"]:
        papers.setdefault((row["source"], row["title"]), []).append(row)
    return _page.fill(
        "claims.html",
        title="Claims of the literature",
        ledger=ledger,
        papers=papers,
        summary=summary(ledger),
        mark=mark,
        value=value,
        read_in=READ_IN,
    )


def mark(row: Row) -> str:
    """✓ for an expected outcome, ? for an undecided one,
    ✗ for the opposite of what was expected.
    """
    if row["outcome"] == "undecided":
        return "?"
    return "✓" if row["as_expected"] else "✗"


def value(measurement: Row) -> str:
    """The estimate with its limits and the number of data sets."""
    limits = [measurement[name] for name in ("estimate", "low", "high")]
    datasets = words.count(measurement["datasets"])
    if None in limits:
        return f"not finite ({datasets} data sets)"
    if limits[1] == limits[2]:
        return f"{limits[0]:.2g} (largest of {datasets} data sets)"
    return f"{words.interval(measurement)} ({datasets} data sets)"


def summary(ledger: Mapping[str, Any]) -> str:
    """How many outcomes were expected, which form, how long."""
    rows = ledger["claims"]
    expected = sum(row["as_expected"] for row in rows)
    seconds = sum(row["seconds"] for row in rows)
    return (
        f"{expected} of {len(rows)} outcomes as expected; {ledger['form']} form, seed "
        f"{ledger['seed']}, {seconds:.0f} s. Limits are 95 %, over all settings of a claim "
        "together."
    )
