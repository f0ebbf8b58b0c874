"""What `identify` found: a sentence, then one line a predictor, nearest first, in Markdown.

It also reads well on a terminal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from veribayes.statistics import limits

Entry = Mapping[str, Any]
ROUNDING = 1e-15  # what is nothing but rounding


def markdown(entry: Entry) -> str:
    """The sentence, the table of predictors, and the name at every context length."""
    places = [["n", "nearest", "divergence", "first"]]
    places += [_at(row) for row in entry["by_context"]]
    size = f"{entry['datasets']} data sets; tolerance {entry['tolerance']:.3g} {entry['unit']}"
    lines = [
        f"{entry['task']}: {entry['candidate']} is {entry['sentence']}.",
        "",
        *table(_predictors(entry)),
        "",
        *table(places),
        "",
        *_between(entry),
        *_gap(entry),
        f"Mean over {size}. First: nearer than the tolerance, and every predictor beyond it "
        "explains the candidate worse (95 %, simultaneous over lengths).",
    ]
    return "\n".join(lines) + "\n"


def _between(entry: Entry) -> list[str]:
    """The relative distance from one predictor (-1) to another (+1), at each context length."""
    lines = []
    for row in entry.get("between", ()):
        curve = zip(row["curve"]["context"], row["curve"]["estimate"], strict=True)
        by_length = ", ".join(f"{_signed(value)} at n = {n}" for n, value in curve)
        size = limits.words(row, _signed)
        ends = f"-1 {row['from']}, +1 {row['to']}"
        lines += [f"Relative distance ({ends}): {size} [95 %]; {by_length}.", ""]
    return lines


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f}"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = ["-" * width for width in widths]
    lines = []
    for row in (rows[0], rule, *rows[1:]):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _predictors(entry: Entry) -> list[list[str]]:
    """Heading, and a row a predictor; with JS where the endpoint is infinite for one of them."""
    predictors = sorted(entry["predictors"], key=_distance)
    measures = [f"divergence, {entry['unit']} [95 %]"]
    if any(predictor["js"] for predictor in predictors):
        measures.append("JS, nats")
    lengths = [f"n = {n}" for n in entry["predictors"][0]["curve"]["context"]]
    rows = [["predictor", *measures, *lengths, "fitted"]]
    for predictor in predictors:
        sizes = [_interval(predictor), *_js(predictor), *_curve(predictor)]
        rows.append([predictor["name"], *sizes, _fitted(predictor)])
    return rows


def _distance(predictor: Entry) -> tuple[float, float]:
    """Order of the rows: by the endpoint's divergence, and where that is infinite by JS."""
    return _size(predictor["kl"]), _size(predictor["js"])


def _size(interval: Entry | None) -> float:
    if interval is None or interval["estimate"] is None:
        return math.inf
    return float(interval["estimate"])


def _gap(entry: Entry) -> list[str]:
    """How far the next predictor is that the tolerance tells from the nearest."""
    following = entry["runner_up"]
    if following is None:
        return []
    if following["infinite"]:
        return ["Every other predictor is infinitely far.", ""]
    return [f"The next, {following['name']}, is farther away by {_limits(following)}.", ""]


def _js(predictor: Entry) -> list[str]:
    return [] if predictor["js"] is None else [_limits(predictor["js"])]


def _limits(interval: Entry) -> str:
    """Estimate and limits; a limit without a number is one that few data sets do not give."""
    low = "–" if interval["low"] is None else number(interval["low"])
    high = "–" if interval["high"] is None else number(interval["high"])
    return f"{number(interval['estimate'])} [{low}, {high}]"


def _interval(predictor: Entry) -> str:
    if predictor["kl"]["estimate"] is None:
        return f"infinite in {predictor['infinite_share']:.0%}"
    return limits.words(predictor["kl"], number)


def _curve(predictor: Entry) -> list[str]:
    return [number(value) for value in predictor["curve"]["estimate"]]


def _fitted(predictor: Entry) -> str:
    """The range of a fitted option over context lengths."""
    values: dict[str, list[float]] = {}
    for options in predictor["fitted"]:
        for name, value in options.items():
            values.setdefault(name, []).append(value)
    ranges = []
    for name, fitted in values.items():
        ranges.append(f"{name} {number(min(fitted))} to {number(max(fitted))}")
    return "; ".join(ranges)


def _at(place: Entry) -> list[str]:
    """What is nearest at one context length."""
    context = str(place["context"])
    if place["nearest"] is None:
        return [context, "–", "–", "nothing was asked"]
    size = number(place["estimate"])
    if place["metric"] == "js":
        size += " (JS)"
    first = "yes" if place["first"] else f"no ({place['fit']})"
    return [context, place["nearest"], size, first]


def number(value: float | None) -> str:
    """Two significant digits; what is nothing but rounding is zero."""
    if value is None:
        return "∞"
    return "0" if abs(value) < ROUNDING else f"{value:.2g}"
