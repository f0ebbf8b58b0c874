"""Colours and small drawing helpers that every figure shares."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from veribayes.predictive import Array
from veribayes.report import _words as words

P = ParamSpec("P")

# Okabe-Ito hues, darkened until they reach a contrast of 4.5 on white. Every value occurs once: it
# stands for its name.
LIGHT = {
    "ink": "#1f2429",
    "muted": "#646c75",
    "rule": "#d5d9de",
    "exact": "#1b5f9e",
    "candidate": "#b8480a",
    "within": "#dcefe6",
    "first": "#7a4d9f",
    "second": "#0f766e",
    "third": "#8a6d0b",
    "fourth": "#a8336b",
    "prior": "#75797e",
}
DARK = {
    "ink": "#e4e6e8",
    "muted": "#a0a7af",
    "rule": "#3b4148",
    "exact": "#7fb8ee",
    "candidate": "#f5a05f",
    "within": "#1b3028",
    "first": "#c3a1e3",
    "second": "#5ec9bd",
    "third": "#d8b94e",
    "fourth": "#ee8fb9",
    "prior": "#9a9fa5",
}
WIDTH = 4.6  # inches; a phone shows it almost at its natural size
LABEL_LENGTH = 26
STYLE = {
    "font.size": 9.0,
    "axes.labelsize": 9.0,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "text.parse_math": False,  # names from files are never mathematics
    "text.color": LIGHT["ink"],
    "axes.labelcolor": LIGHT["ink"],
    "xtick.labelcolor": LIGHT["ink"],
    "ytick.labelcolor": LIGHT["ink"],
    "axes.edgecolor": LIGHT["muted"],
    "xtick.color": LIGHT["muted"],
    "ytick.color": LIGHT["muted"],
    "grid.color": LIGHT["rule"],
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.linewidth": 0.8,
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "legend.columnspacing": 1.1,
    "legend.handlelength": 1.6,
    "legend.handletextpad": 0.5,
    "svg.fonttype": "none",
}
LEGEND_ORDER = (
    "exact",
    "candidate",
    "prior only",
    "what happened",
    "context points",
    "the query below",
)


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in the report's style and leave matplotlib's settings as they were."""

    @functools.wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with mpl.rc_context(STYLE):
            return draw(*args, **kwargs)

    return wrapper


def sheet(height: float) -> Figure:
    """An empty figure of the common width."""
    return Figure(figsize=(WIDTH, height), layout="constrained")


def note(figure: Figure, text: str) -> Figure:
    """A figure that says why there is nothing to draw."""
    figure.text(0.5, 0.5, text, ha="center", va="center", color=LIGHT["muted"])
    return figure


def short(name: str) -> str:
    """One line of at most `LABEL_LENGTH` characters."""
    line = " ".join(name.split())
    return line if len(line) <= LABEL_LENGTH else line[: LABEL_LENGTH - 1] + "…"


def interval_rows(
    axes: Axes, labels: list[str], triples: list[tuple[float, float, float]], colours: list[str]
) -> None:
    """One row each: a dot with its interval on a log axis whose limits are set.

    An arrow stands where the estimate is infinite.
    """
    left, right = axes.get_xlim()
    for y, ((estimate, low, high), colour) in enumerate(zip(triples, colours, strict=True)):
        if not np.isfinite(estimate):
            axes.plot([right / 1.12], [y], marker=">", color=colour, markersize=6, clip_on=False)
            axes.annotate("∞", (right / 1.3, y), ha="right", va="center", color=colour)
            continue
        if np.isfinite([low, high]).all():
            ends = np.maximum([low, high], left)
            axes.plot(ends, [y, y], color=colour, linewidth=2.6, alpha=0.55)
        marker = "o" if estimate > left else "<"
        axes.plot([max(estimate, left)], [y], marker=marker, color=colour, markersize=5)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def context_ticks(axes: Axes, context: Array) -> None:
    """A log axis for log-spaced context sizes, and ticks at the sizes themselves."""
    low, high = context.min(), context.max()
    if low > 0 and high >= 8 * low:
        axes.set_xscale("log")
    elif low == 0 and high >= 12:
        axes.set_xscale("symlog", linthresh=1)
    axes.xaxis.set_major_locator(FixedLocator([float(c) for c in context]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))


def log_ticks(axes: Axes, which: str) -> None:
    """At most six decades, with 2 and 5 between them on a short axis, as 0.01 or 10⁻⁵."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    steps = (1, 2, 5) if high < 100 * low else (1,)
    axis.set_major_locator(LogLocator(subs=steps, numticks=6))
    axis.set_major_formatter(FuncFormatter(lambda v, _: _decade(v)))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def legend_above(axes: Axes) -> None:
    """The legend in one line above the axes, always in the same order."""
    handles, labels = axes.get_legend_handles_labels()
    handle_of = dict(zip(labels, handles, strict=True))
    ordered = sorted(labels, key=LEGEND_ORDER.index)
    place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": 4, "borderaxespad": 0.2}
    axes.legend([handle_of[label] for label in ordered], ordered, **place)


def _decade(value: float) -> str:
    if 1e-4 <= value < 1e5:
        return f"{value:.10f}".rstrip("0").rstrip(".")
    power = int(np.floor(np.log10(value) + 1e-9))
    lead = round(value / 10.0**power)
    decade = f"10{str(power).translate(words.SUPERSCRIPT)}"
    return decade if lead == 1 else f"{lead}·{decade}"
