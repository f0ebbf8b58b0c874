"""What `probe` found: tables that read well on a terminal, and a self-contained page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from veribayes.report import _page, _svg, attention
from veribayes.report import _words as words
from veribayes.report.identification import table

Entry = Mapping[str, Any]
Matrix = Sequence[Sequence[float]]
STATISTICS = {
    "tokens_read": "tokens read",
    "sink": "sink",
    "diagonal": "kept",
    "diversity": "between heads",
}
DISTANCES_LABEL = "Mass by distance, layer by layer"
TABLES_LABEL = "Learned against true tables"
CONTEXT_LABEL = "Divergence by the observations that are kept"


def markdown(found: Entry) -> str:
    """The layers, their distance from the construction, what was learned,
    how much context is used.
    """
    distances = construction(found)
    beside = table(distances) if distances else [f"No construction beside it: {refused(found)}."]
    head = f"{found['task']}: {found['candidate']}, {found['datasets']} data sets"
    lines = [
        f"{head} with {observed(found)}",
        "",
        *table([["layer", "heads", *STATISTICS.values()], *layers(found)]),
        "",
        *beside,
        "",
        *learned(found),
        *used(found),
    ]
    for shown in further(found):
        lines += ["", f"{shown['label']}:", "", *table(shown["rows"])]
    return "\n".join(lines).rstrip() + "\n"


def page(found: Entry) -> str:
    """One HTML page: figures inside, no script, no network."""
    rows = construction(found)
    tables = context = None
    if found["tables"]:
        tables = _svg.inline(attention.tables(found), TABLES_LABEL, "tables")
    if found["context_used"]:
        context = _svg.inline(attention.context(found), CONTEXT_LABEL, "context")
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
        further=further(found),
        distances=_svg.inline(attention.distances(found), DISTANCES_LABEL, "distances"),
        tables=tables,
        context=context,
    )


def further(found: Entry) -> list[dict[str, Any]]:
    """Label, sentence and table of each probe that brings a table of its own."""
    tables = []
    for shown in found["shown"]:
        rows = [list(map(_cell, row)) for row in shown["rows"]]
        tables.append({**shown, "rows": rows})
    return tables


def _cell(cell: Any) -> str:
    return str(words.interval(cell)) if isinstance(cell, Mapping) else str(cell)


def observed(found: Entry) -> str:
    """The size of the contexts."""
    if found["context_used"]:
        return f"{found['context']} observations each"
    return "evidence on some nodes"


def layers(found: Entry) -> list[list[str]]:
    """A row a layer: number, heads, and each statistic with its interval."""
    rows = []
    for layer in found["attention"]["layers"]:
        statistics = [_statistic(layer[name]) for name in STATISTICS]
        rows.append([str(layer["layer"]), str(layer["heads"]), *statistics])
    return rows


def _statistic(limits: Entry | None) -> str:
    return words.MISSING if limits is None else str(words.interval(limits))


def construction(found: Entry) -> list[list[str]]:
    """Heading and a row a layer: distance of the nearest head from each layer of theory.

    It is empty without a construction.
    """
    beside = found["construction"]
    if "refused" in beside:
        return []
    rows = [["layer", *beside["roles"]]]
    for layer, heads in enumerate(beside["head"]):
        row = [str(layer + 1)]
        for role, head in enumerate(heads):
            row.append(f"{_distance(beside['distance'], layer, role)}, head {head}")
        rows.append(row)
    even = ["an even spread"]
    for role in range(len(beside["roles"])):
        limits = {name: values[role] for name, values in beside["even"].items()}
        even.append(str(words.interval(limits)))
    return [*rows, even]


def _distance(distance: Mapping[str, Matrix], layer: int, role: int) -> words.Interval:
    limits = {name: matrix[layer][role] for name, matrix in distance.items()}
    return words.interval(limits)


def refused(found: Entry) -> str:
    """Why there is no construction."""
    return str(found["construction"]["refused"])


def learned(found: Entry) -> list[str]:
    """A sentence a table."""
    sentences = []
    for learned_table in found["tables"]:
        mean = words.number(learned_table["mean_tv"])
        largest = words.number(learned_table["max_tv"])
        distance = f"total variation from the true rows {mean} on average, at most {largest}"
        sentences.append(f"Learned {learned_table['name']}: {distance}.")
    return sentences


def used(found: Entry) -> list[str]:
    """How many observations suffice, of the candidate and of exact Bayes."""
    entry = found["context_used"]
    if entry is None:
        return []
    first, sentences = entry["observations"][0], []
    for share, number in entry["candidate_enough"].items():
        part = words.share(float(share))
        sentences.append(
            f"{number} of {found['context']} observations bring the answer within {part} of what "
            f"{first} left open; for exact Bayes it is {entry['exact_enough'][share]}."
        )
    return sentences
