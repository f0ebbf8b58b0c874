"""Figure of a training: distances from named predictors by step, and by context size at its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from veribayes.report._style import LIGHT, context_ticks, log_ticks, styled

if TYPE_CHECKING:
    import pandas as pd

COLOURS = ("exact", "candidate", "first", "second", "third", "fourth", "prior")
LIMITS = ["estimate", "low", "high"]
ALL = "all"


@styled
def curves(table: pd.DataFrame, labels: Mapping[str, str] | None = None) -> Figure:
    """Left: the mean over all context sizes by step. Right: by context size at the last step.

    Args:
        table: columns step, predictor, context, estimate, low, high.
        labels: what a predictor is called in the legend, where not by its name.
    """
    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    steps, names = list(dict.fromkeys(table["step"])), list(dict.fromkeys(table["predictor"]))
    numbered = all(isinstance(step, int | np.integer) for step in steps)
    places = np.array(steps if numbered else range(len(steps)), dtype=float)
    for number, name in enumerate(names):
        own = table[table["predictor"] == name]
        colour = LIGHT[COLOURS[number % len(COLOURS)]]
        overall = own[own["context"] == ALL]
        _line(left, places, overall, colour, (labels or {}).get(name, name))
        last = own[(own["step"] == steps[-1]) & (own["context"] != ALL)]
        _line(right, last["context"].to_numpy(dtype=float), last, colour, None)
    left.set(ylabel="KL(predictor ‖ network), nats", yscale="log")
    left.set_xlabel("step of the training" if numbered else "candidate")
    if numbered and places.max() > 100:
        _step_ticks(left, places.max())
    elif not numbered:
        left.set_xticks(places, [str(step) for step in steps])
    right.set_xlabel(f"context size, at the last ({steps[-1]})")
    context_ticks(right, last["context"].to_numpy(dtype=float))
    log_ticks(left, "y")
    figure.legend(loc="outside lower left", ncols=4)
    return figure


def _step_ticks(axes: Axes, last: float) -> None:
    """Steps from 0 on, by decades beyond ten."""
    axes.set_xscale("symlog", linthresh=10)
    axes.set_xlim(0, 1.1 * last)
    decades = 10.0 ** np.arange(1, np.floor(np.log10(last)) + 1)
    axes.xaxis.set_major_locator(FixedLocator([0.0, *decades]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _line(axes: Axes, x: Any, rows: pd.DataFrame, colour: str, label: str | None) -> None:
    """A curve with its band; what is not above zero has no place on a logarithmic axis."""
    values = rows[LIMITS].to_numpy(dtype=float)
    values = np.where(values > 0, values, np.nan)
    axes.fill_between(x, values[:, 1], values[:, 2], color=colour, alpha=0.15, linewidth=0)
    axes.plot(x, values[:, 0], color=colour, marker="o", markersize=3, label=label)
