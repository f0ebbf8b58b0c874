"""What `probe` found: tables that read well on a terminal, and a self-contained page with the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from veribayes.report import _page, _svg, attention
from veribayes.report import _words as words
from veribayes.report.identification import table

Entry = Mapping[str, Any]
STATISTICS = {
    "tokens_read": "tokens read",
    "sink": "sink",
    "diagonal": "kept",
    "diversity": "between heads",
}


def markdown(found: Entry) -> str:
    """The layers, their distance from the construction, what was learned and how much context is used."""
    lines = [
        f"{found['task']}: {found['candidate']}, {found['datasets']} data sets with {observed(found)}",
        "",
        *table([["layer", "heads", *STATISTICS.values()], *layers(found)]),
        "",
        *(
            table(rows)
            if (rows := construction(found))
            else [f"No construction beside it: {refused(found)}."]
        ),
        "",
        *learned(found),
        *used(found),
    ]
    return "\n".join(lines).rstrip() + "\n"


def page(found: Entry) -> str:
    """One HTML page: figures inside, no script, no network."""
    rows = construction(found)
    return _page.fill(
        "probe.html",
        title=f"{found['task']}: what {found['candidate']} reads",
        found=found,
        observed=observed(found),
        heads=list(STATISTICS.values()),
        layers=layers(found),
        construction=rows,
        refused="" if rows else refused(found),
        learned=learned(found),
        used=used(found),
        distances=_svg.inline(
            attention.distances(found), "Mass by distance, layer by layer", salt="distances"
        ),
        tables=_svg.inline(attention.tables(found), "Learned against true tables", salt="tables")
        if found["tables"]
        else None,
        context=_svg.inline(
            attention.context(found), "Divergence by the observations that are kept", salt="context"
        )
        if found["context_used"]
        else None,
    )


def observed(found: Entry) -> str:
    """The size of the contexts."""
    return (
        f"{found['context']} observations each"
        if found["context_used"]
        else "evidence on some nodes"
    )


def layers(found: Entry) -> list[list[str]]:
    """A row a layer: number, heads, and each statistic with its interval."""
    return [
        [
            str(row["layer"]),
            str(row["heads"]),
            *("–" if row[k] is None else str(words.interval(row[k])) for k in STATISTICS),
        ]
        for row in found["attention"]["layers"]
    ]


def construction(found: Entry) -> list[list[str]]:
    """Heading and a row a layer: distance of the nearest head from each layer that theory writes down; empty without any."""
    beside = found["construction"]
    if "refused" in beside:
        return []
    rows = [["layer", *beside["roles"]]]
    for number, heads in enumerate(beside["head"]):
        cells = [
            f"{_cell(beside['distance'], number, i)}, head {head}" for i, head in enumerate(heads)
        ]
        rows.append([str(number + 1), *cells])
    even = [
        str(words.interval({k: v[i] for k, v in beside["even"].items()}))
        for i in range(len(beside["roles"]))
    ]
    return [*rows, ["an even spread", *even]]


def _cell(entry: Mapping[str, Sequence[Sequence[float]]], row: int, column: int) -> words.Interval:
    return words.interval({k: v[row][column] for k, v in entry.items()})


def refused(found: Entry) -> str:
    return str(found["construction"]["refused"])


def learned(found: Entry) -> list[str]:
    """A sentence a table."""
    return [f"Learned {t['name']}: total variation from the true rows {words.number(t['mean_tv'])} on average, at most "
            f"{words.number(t['max_tv'])}." for t in found["tables"]]  # fmt: skip


def used(found: Entry) -> list[str]:
    """How many observations suffice, of the candidate and of exact Bayes."""
    entry = found["context_used"]
    if entry is None:
        return []
    first, out = entry["observations"][0], []
    for share, number in entry["candidate_enough"].items():
        out.append(f"{number} of {found['context']} observations bring the answer within {words.share(float(share))} of what "
                   f"{first} left open; for exact Bayes it is {entry['exact_enough'][share]}.")  # fmt: skip
    return out
