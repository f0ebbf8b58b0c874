"""Panels that show one case: what the exact predictive says at a query and what the candidate
says.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from veribayes.predictive import Array, Categorical, Draws, Point, Predictive, Quantiles
from veribayes.report._cases import Case
from veribayes.report._style import LIGHT, legend_above, short

CATEGORIES_NAMED = 24


class Line(NamedTuple):
    """How the law of a branch is drawn."""

    label: str
    colour: str
    width: float
    style: str


LINES = {  # in the order of drawing
    "prior_only": Line("prior only", LIGHT["prior"], 1.1, "--"),
    "reference": Line("exact", LIGHT["exact"], 1.6, "-"),
    "candidate": Line("candidate", LIGHT["candidate"], 1.6, "-"),
}
COMPARED = ("reference", "candidate")
OUTCOME: dict[str, Any] = {
    "color": LIGHT["ink"],
    "markersize": 5,
    "linestyle": "none",
    "clip_on": False,
    "label": "what happened",
    "zorder": 6,
}


def is_discrete(case: Case) -> bool:
    """Whether outcomes are categories (a candidate's draws do not tell)."""
    return any(isinstance(law, Categorical) for law in case.branches.values())


def is_line(case: Case) -> bool:
    """Whether the context can be drawn as points of a function of one variable."""
    return case.shown.line is not None


def categories(axes: Axes, case: Case) -> None:
    """Bars side by side: exact, candidate; a dashed line where the prior alone would be."""
    laws = {name: _probabilities(law[case.query], case) for name, law in case.branches.items()}
    width = len(case.labels) or max(law.size for law in laws.values())
    laws = {name: law[:width] for name, law in laws.items()}  # narrower ones are padded by zeros
    at, top = np.arange(width), max(float(law.max()) for law in laws.values())
    for name, offset in zip(COMPARED, (-0.2, 0.2), strict=True):
        if name in laws:
            line, places = LINES[name], at[: laws[name].size] + offset
            style: dict[str, Any] = {"width": 0.38, "color": line.colour, "linewidth": 0}
            axes.bar(places, laws[name], label=line.label, **style)
    if "prior_only" in laws:
        line = LINES["prior_only"]
        dashes: dict[str, Any] = {"linewidth": line.width, "linestyle": (0, (3, 2))}
        axes.hlines(
            laws["prior_only"], at - 0.42, at + 0.42, line.colour, label=line.label, **dashes
        )
    _outcome(axes, case, 1.1 * top, "v")
    axes.set(xlabel="value", ylabel="probability", xlim=(-0.6, width - 0.4), ylim=(0, 1.18 * top))
    named = at if width <= CATEGORIES_NAMED else at[:: width // 12]
    labels = [short(case.labels[i]) if case.labels else str(i) for i in named]
    axes.set_xticks(named, labels)
    axes.tick_params(axis="x", length=0)
    legend_above(axes)


def density(axes: Axes, case: Case) -> None:
    """Predictive densities at the chosen query."""
    laws = {name: law[case.query] for name, law in case.branches.items()}
    tails = np.array([0.002, 0.998])
    ends = np.array([_ends(laws[name], tails) for name in COMPARED if name in laws])
    low, high = ends[:, 0].min(), ends[:, 1].max()
    margin = 0.1 * (high - low)
    grid = np.linspace(low - margin, high + margin, 400)
    for name, line in LINES.items():
        if isinstance(laws.get(name), Point):
            _mean_line(axes, float(laws[name].expectation()), line)
        elif name in laws:
            x, height = _density(laws[name], grid)
            style: dict[str, Any] = {"linewidth": line.width, "linestyle": line.style}
            axes.plot(x, height, color=line.colour, label=line.label, **style)
            if name == "reference":
                axes.fill_between(x, height, color=line.colour, alpha=0.15, linewidth=0)
    _outcome(axes, case, 0.0, "^")
    alone = isinstance(laws.get("candidate"), Point)
    asked = "y at the query; a line at the candidate’s mean" if alone else "y at the query"
    axes.set(xlabel=asked, ylabel="density", xlim=(grid[0], grid[-1]), ylim=(0, None))
    legend_above(axes)


def function(axes: Axes, case: Case) -> None:
    """Context points and 95 % predictive intervals at all queries; the chosen query is marked."""
    assert case.shown.line is not None
    x, y, at = case.shown.line.x, case.shown.line.y, case.shown.line.at
    shift = 0.007 * float(np.ptp(np.concatenate([x, at])) or 1.0)
    for name, offset, width in (("reference", -shift, 3.2), ("candidate", shift, 1.6)):
        if name in case.branches:
            _intervals(axes, case.branches[name], at + offset, LINES[name].colour, width)
    seen: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 4}
    axes.plot(x, y, color=LIGHT["ink"], label="context points", **seen)
    asked: dict[str, Any] = {"linewidth": 0.9, "linestyle": ":", "zorder": 0}
    axes.axvline(at[case.query], color=LIGHT["muted"], label="the query below", **asked)
    alone = isinstance(case.branches.get("candidate"), Point)
    label = "y, 95 % interval and mean" if alone else "y, 95 % intervals"
    axes.set(xlabel="x", ylabel=label)
    legend_above(axes)


def _intervals(axes: Axes, law: Predictive, places: Array, colour: str, width: float) -> None:
    """Median and 95 % interval of every query; of points their means."""
    if isinstance(law, Point):
        axes.plot(places, law.mean, linestyle="none", marker="_", markersize=8, color=colour)
        return
    levels = np.array([0.025, 0.5, 0.975])
    ends = np.stack([law[query].quantile(levels) for query in range(law.shape[0])])
    axes.vlines(places, ends[:, 0], ends[:, 2], colour, linewidth=width, alpha=0.75)
    axes.plot(places, ends[:, 1], linestyle="none", marker="_", markersize=5, color=colour)


def _ends(law: Predictive, levels: Array) -> Array:
    """Two quantiles, or twice the mean of a point."""
    return np.repeat(law.mean, 2) if isinstance(law, Point) else law.quantile(levels)


def _mean_line(axes: Axes, mean: float, line: Line) -> None:
    """A mean alone: a line across, for there is no density."""
    axes.axvline(mean, color=line.colour, linewidth=line.width, label=line.label)


def _outcome(axes: Axes, case: Case, height: float, marker: str) -> None:
    if np.isfinite(case.outcome):
        axes.plot([case.outcome], [height], marker=marker, **OUTCOME)


def _probabilities(law: Predictive, case: Case) -> Array:
    """Probabilities of a categorical law, or frequencies of its draws."""
    if isinstance(law, Categorical):
        return law.probs
    others = [other for other in case.branches.values() if isinstance(other, Categorical)]
    width = others[0].probs.shape[-1]
    if not isinstance(law, Draws):
        return np.zeros(width)
    counts, draws = law.frequencies(width)
    return np.asarray(counts / draws)


def _density(law: Predictive, grid: Array) -> tuple[Array, Array]:
    """Density on a grid; without one, steps between the law's own quantiles."""
    if not isinstance(law, Quantiles | Draws):
        return grid, np.exp(law.log_prob(grid))
    levels = law.levels if isinstance(law, Quantiles) else np.linspace(0.025, 0.975, 20)
    knots = law.quantile(levels)
    least = 1e-9 * (1 + np.ptp(knots))  # equal draws would be a division by zero
    heights = np.diff(levels) / np.maximum(np.diff(knots), least)
    return np.repeat(knots, 2), np.concatenate([[0.0], np.repeat(heights, 2), [0.0]])
