"""What `identify` found: a sentence, then one line a predictor, nearest first. Markdown that reads well on a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from veribayes.statistics import limits

Entry = Mapping[str, Any]


def markdown(entry: Entry) -> str:
    """The sentence, the table of predictors, and the name at every context length."""
    rows = sorted(entry["predictors"], key=_distance)
    contexts = entry["predictors"][0]["curve"]["context"]
    second = any(row["js"] for row in rows)
    measures = [f"divergence, {entry['unit']} [95 %]", *(["JS, nats"] if second else [])]
    head = ["predictor", *measures, *(f"n = {n}" for n in contexts), "fitted"]
    lines = [
        f"{entry['task']}: {entry['candidate']} is {entry['sentence']}.",
        "",
        *table(
            [
                head,
                *(
                    [row["name"], _interval(row), *_js(row), *_curve(row), _fitted(row)]
                    for row in rows
                ),
            ]
        ),
        "",
        *table(
            [["n", "nearest", "divergence", "first"], *(_at(row) for row in entry["by_context"])]
        ),
        "",
        *_gap(entry),
        f"Mean over {entry['datasets']} data sets; tolerance {entry['tolerance']:.3g} {entry['unit']}. First: nearer than the "
        "tolerance, and every predictor beyond it explains the candidate worse (95 %, simultaneous over lengths).",
    ]
    return "\n".join(lines) + "\n"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table with aligned columns."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    rule = ["-" * width for width in widths]
    return [f"| {' | '.join(row)} |" for row in (padded[0], rule, *padded[1:])]


def _distance(row: Entry) -> tuple[float, float]:
    """Order of the rows: by the endpoint's divergence, and where that is infinite by JS."""
    return _size(row["kl"]), _size(row["js"])


def _size(limits: Entry | None) -> float:
    return math.inf if limits is None or limits["estimate"] is None else float(limits["estimate"])


def _gap(entry: Entry) -> list[str]:
    """How far the next predictor is that the tolerance tells from the nearest."""
    following = entry["runner_up"]
    if following is None:
        return []
    if following["infinite"]:
        return ["Every other predictor is infinitely far.", ""]
    return [f"The next, {following['name']}, is farther away by {_limits(following)}.", ""]


def _js(row: Entry) -> list[str]:
    return [] if row["js"] is None else [_limits(row["js"])]


def _limits(limits: Entry) -> str:
    """Estimate and limits; a limit without a number is one that few data sets do not give."""
    low, high = ("–" if limits[k] is None else number(limits[k]) for k in ("low", "high"))
    return f"{number(limits['estimate'])} [{low}, {high}]"


def _interval(row: Entry) -> str:
    if row["kl"]["estimate"] is None:
        return f"infinite in {row['infinite_share']:.0%}"
    return limits.words(row["kl"], number)


def _curve(row: Entry) -> list[str]:
    return [number(value) for value in row["curve"]["estimate"]]


def _fitted(row: Entry) -> str:
    """The range of a fitted option over context lengths."""
    values = {
        name: [more[name] for more in row["fitted"] if name in more]
        for more in row["fitted"]
        for name in more
    }
    return "; ".join(f"{name} {number(min(v))} to {number(max(v))}" for name, v in values.items())


def _at(row: Entry) -> list[str]:
    if row["nearest"] is None:
        return [str(row["context"]), "–", "–", "nothing was asked"]
    size = number(row["estimate"]) + (" (JS)" if row["metric"] == "js" else "")
    return [
        str(row["context"]),
        row["nearest"],
        size,
        "yes" if row["first"] else f"no ({row['fit']})",
    ]


def number(value: float | None) -> str:
    """Two significant digits; what is nothing but rounding is zero."""
    if value is None:
        return "∞"
    return "0" if abs(value) < 1e-15 else f"{value:.2g}"
