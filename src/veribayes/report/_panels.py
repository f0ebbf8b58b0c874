"""Panels that show one case: what the exact predictive says at a query and what the candidate says."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from veribayes.predictive import Array, Categorical, Draws, Predictive, Quantiles
from veribayes.report._cases import Case
from veribayes.report._style import LIGHT, legend_above, short

CATEGORIES_NAMED = 24
LINES = {  # branch -> label, colour, width, style
    "prior_only": ("prior only", LIGHT["prior"], 1.1, "--"),
    "reference": ("exact", LIGHT["exact"], 1.6, "-"),
    "candidate": ("candidate", LIGHT["candidate"], 1.6, "-"),
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
    laws = {
        name: law[:width] for name, law in laws.items()
    }  # narrower variables are padded by zeros
    at, top = np.arange(width), max(float(law.max()) for law in laws.values())
    for name, offset in (("reference", -0.2), ("candidate", 0.2)):
        if name in laws:
            label, colour, *_ = LINES[name]
            axes.bar(
                at[: laws[name].size] + offset,
                laws[name],
                width=0.38,
                color=colour,
                label=label,
                linewidth=0,
            )
    if "prior_only" in laws:
        label, colour, line, _ = LINES["prior_only"]
        axes.hlines(
            laws["prior_only"],
            at - 0.42,
            at + 0.42,
            colour,
            linewidth=line,
            linestyle=(0, (3, 2)),
            label=label,
        )
    _outcome(axes, case, 1.1 * top, "v")
    axes.set(xlabel="value", ylabel="probability", xlim=(-0.6, width - 0.4), ylim=(0, 1.18 * top))
    named = at if width <= CATEGORIES_NAMED else at[:: width // 12]
    axes.set_xticks(named, [short(case.labels[i]) if case.labels else str(i) for i in named])
    axes.tick_params(axis="x", length=0)
    legend_above(axes)


def density(axes: Axes, case: Case) -> None:
    """Predictive densities at the chosen query."""
    laws = {name: law[case.query] for name, law in case.branches.items()}
    ends = np.array(
        [
            laws[n].quantile(np.array([0.002, 0.998]))
            for n in ("reference", "candidate")
            if n in laws
        ]
    )
    low, high = ends[:, 0].min(), ends[:, 1].max()
    grid = np.linspace(low - 0.1 * (high - low), high + 0.1 * (high - low), 400)
    for name, (label, colour, width, style) in LINES.items():
        if name in laws:
            x, height = _density(laws[name], grid)
            axes.plot(x, height, color=colour, label=label, linewidth=width, linestyle=style)
            if name == "reference":
                axes.fill_between(x, height, color=colour, alpha=0.15, linewidth=0)
    _outcome(axes, case, 0.0, "^")
    axes.set(xlabel="y at the query", ylabel="density", xlim=(grid[0], grid[-1]), ylim=(0, None))
    legend_above(axes)


def function(axes: Axes, case: Case) -> None:
    """Context points and 95 % predictive intervals at all queries; the chosen query is marked."""
    assert case.shown.line is not None
    x, y, at = case.shown.line.x, case.shown.line.y, case.shown.line.at
    shift = 0.007 * float(np.ptp(np.concatenate([x, at])) or 1.0)
    for name, offset, width in (("reference", -shift, 3.2), ("candidate", shift, 1.6)):
        if name in case.branches:
            law, colour = case.branches[name], LINES[name][1]
            ends = np.stack(
                [law[q].quantile(np.array([0.025, 0.5, 0.975])) for q in range(law.shape[0])]
            )
            axes.vlines(at + offset, ends[:, 0], ends[:, 2], colour, linewidth=width, alpha=0.75)
            axes.plot(
                at + offset, ends[:, 1], linestyle="none", marker="_", markersize=5, color=colour
            )
    axes.plot(
        x, y, linestyle="none", marker="o", markersize=4, color=LIGHT["ink"], label="context points"
    )
    axes.axvline(
        at[case.query],
        color=LIGHT["muted"],
        linewidth=0.9,
        linestyle=":",
        label="the query below",
        zorder=0,
    )
    axes.set(xlabel="x", ylabel="y, 95 % intervals")
    legend_above(axes)


def _outcome(axes: Axes, case: Case, height: float, marker: str) -> None:
    if np.isfinite(case.outcome):
        mark: dict[str, Any] = {
            "marker": marker,
            "color": LIGHT["ink"],
            "markersize": 5,
            "linestyle": "none",
            "clip_on": False,
        }
        axes.plot([case.outcome], [height], label="what happened", zorder=6, **mark)


def _probabilities(law: Predictive, case: Case) -> Array:
    """Probabilities of a categorical law, or frequencies of its draws."""
    if isinstance(law, Categorical):
        return law.probs
    width = next(p.probs.shape[-1] for p in case.branches.values() if isinstance(p, Categorical))
    counts, draws = law.frequencies(width) if isinstance(law, Draws) else (np.zeros(width), 1)
    return np.asarray(counts / draws)


def _density(law: Predictive, grid: Array) -> tuple[Array, Array]:
    """Density on a grid; without one, steps between the law's own quantiles."""
    if not isinstance(law, Quantiles | Draws):
        return grid, np.exp(law.log_prob(grid))
    levels = law.levels if isinstance(law, Quantiles) else np.linspace(0.025, 0.975, 20)
    knots = law.quantile(levels)
    steps = np.maximum(
        np.diff(knots), 1e-9 * (1 + np.ptp(knots))
    )  # equal draws would be a division by zero
    return np.repeat(knots, 2), np.concatenate(
        [[0.0], np.repeat(np.diff(levels) / steps, 2), [0.0]]
    )
