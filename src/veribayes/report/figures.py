"""The report's figures, each a function from runs to a matplotlib `Figure`, without pyplot.

    overview   every predictor's divergence as a multiple of the tolerance, one or several tasks
    curve      divergence by context size with its simultaneous band, rivals beside it
    queries    divergence by query or node
    examples   single contexts: what the exact answer says and what the candidate says
    audit      the exact posterior against NUTS
    pit        probability integral transform of the candidate
    reliability   how often the candidate is right, by how sure it is

They are drawn in the colours of a light page; `veribayes.report._svg` turns these into variables
that follow the reader's theme. Names from files are drawn literally, never as mathematics.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from veribayes.predictive import Array
from veribayes.report import _panels as panels
from veribayes.report import _words as words
from veribayes.report._cases import Case
from veribayes.report._run import Run, mapping, read
from veribayes.report._style import (
    LIGHT,
    context_ticks,
    interval_rows,
    log_ticks,
    note,
    sheet,
    short,
    styled,
)

Source = Run | Path | str | xr.DataTree
Triple = tuple[float, float, float]


class Predictor(NamedTuple):
    """A row of the overview: colours are names of `LIGHT`, numbers multiples of the tolerance."""

    label: str
    colour: str
    triple: Triple


LIMITS = ("estimate", "low", "high")
RIVAL = "_estimate"  # how a rival's mean ends in the group of the curve
RIVAL_COLOURS = ("first", "second", "third", "fourth")
RIVAL_MARKERS = ("s", "^", "D", "v")
QUERIES_SHOWN = 16
LABEL_WIDTH = 32  # characters that fit beside the curve
LOWEST = 1e-4  # of the tolerance; what is smaller is drawn here
PIT_BINS = 20
PIT_CLUSTERS = 30  # fewer data sets have no normal approximation
MCSE_LIMIT = 4  # standard errors within which an exact and a Monte Carlo mean count as equal


@styled
def overview(runs: Sequence[Source]) -> Figure:
    """Candidate and rivals of each run: estimate and 95 % interval over the tolerance."""
    rows: list[Predictor] = []
    for run in runs:
        rows += _predictors(read(run), named=len(runs) > 1)
    figure = sheet(0.75 + 0.27 * len(rows))
    axes = figure.add_subplot()
    positive = _positive([row.triple for row in rows])
    left, right = max(min([0.05, *positive]) / 1.8, LOWEST), max([20.0, *positive]) * 1.8
    axes.set(xscale="log", xlim=(left, right), xlabel="divergence as a multiple of the tolerance")
    axes.axvspan(left, 1, color=LIGHT["within"], zorder=0, linewidth=0)
    axes.axvline(1, color=LIGHT["ink"], linewidth=1)
    axes.spines["left"].set_visible(False)
    labels, triples = [row.label for row in rows], [row.triple for row in rows]
    interval_rows(axes, labels, triples, [LIGHT[row.colour] for row in rows])
    log_ticks(axes, "x")
    return figure


@styled
def curve(run: Source) -> Figure:
    """Mean divergence by context size with the simultaneous 95 % band.

    The rivals' means and the tolerance of the overall mean stand beside it.
    """
    run = read(run)
    means, rivals, tolerance = _curve(run), _rival_means(run), _tolerance(run)
    figure = sheet(2.9 + 0.1 * len(rivals))
    if means is None:
        return note(figure, "no curve was stored")
    axes = figure.add_subplot()
    label = textwrap.fill(_label(run), LABEL_WIDTH)
    axes.set(yscale="log", xlabel=run.observations(), ylabel=label)
    context = means.pop("context")
    floor = _floor([*means.values(), *rivals.values()], tolerance)
    estimate, low, high = (np.maximum(means[name], floor) for name in LIMITS)
    axes.fill_between(context, low, high, color=LIGHT["candidate"], alpha=0.22, linewidth=0)
    own: dict[str, Any] = {"color": LIGHT["candidate"], "marker": "o", "markersize": 4, "zorder": 5}
    axes.plot(context, estimate, label="candidate, 95 % band", **own)
    for number, (name, values) in enumerate(rivals.items()):
        _rival_line(axes, context, np.maximum(values, floor), name, number)
    if np.isfinite(tolerance):
        label = "tolerance (of the overall mean)"
        axes.axhline(tolerance, color=LIGHT["ink"], linewidth=1, label=label)
    axes.grid(axis="y")
    context_ticks(axes, context)
    log_ticks(axes, "y")
    figure.legend(loc="outside lower left", ncols=2)
    return figure


@styled
def queries(run: Source) -> Figure:
    """Mean divergence by query or node with its interval, largest first.

    All intervals hold at once with 95 %.
    """
    run = read(run)
    entries = [mapping(entry) for entry in run.result.get("by_query") or []]
    entries.sort(key=lambda entry: -_real(entry.get("estimate"), np.inf))
    entries = entries[:QUERIES_SHOWN]
    figure = sheet(0.75 + 0.25 * max(len(entries), 2))
    if not entries:
        return note(figure, "one query only")
    axes, tolerance = figure.add_subplot(), _tolerance(run)
    triples = [_triple(entry) for entry in entries]
    span = _positive([*triples, tolerance]) or [1.0]
    axes.set(xscale="log", xlim=(min(span) / 1.5, max(span) * 1.5), xlabel=_label(run))
    axes.grid(axis="x")
    if np.isfinite(tolerance):
        axes.axvline(tolerance, color=LIGHT["ink"], linewidth=1)
    names = [short(str(entry.get("query", ""))) for entry in entries]
    interval_rows(axes, names, triples, [LIGHT["candidate"]] * len(entries))
    log_ticks(axes, "x")
    return figure


@styled
def examples(cases: Sequence[Case]) -> Figure:
    """The distributions at each case's query; above them functions of one variable."""
    rows = []
    for case in cases:
        rows += [(panel, case) for panel in _panels_of(case)]
    heights = [2.1 if panel is panels.function else 1.9 for panel, _ in rows]
    figure = sheet(sum(heights))
    grid = figure.add_gridspec(len(rows), 1, height_ratios=heights)
    for row, (panel, case) in enumerate(rows):
        panel(figure.add_subplot(grid[row]), case)
    return figure


@styled
def audit(run: Source) -> Figure:
    """Left: z-scores of exact against NUTS means on normal quantiles.
    Right: the means themselves.
    """
    run = read(run)
    figure, z = sheet(2.5), run.array("/audit", "z")
    if z is None or not np.isfinite(z).any():
        return note(figure, "no audit was stored")
    left, right = figure.subplots(1, 2)
    ordered = np.sort(z[np.isfinite(z)])
    levels = (np.arange(ordered.size) + 0.5) / ordered.size
    normal = np.array([NormalDist().inv_cdf(level) for level in levels.tolist()])
    reach = max(MCSE_LIMIT + 0.6, float(np.abs(ordered).max()) + 0.4)
    left.axhspan(-MCSE_LIMIT, MCSE_LIMIT, color=LIGHT["within"], linewidth=0, zorder=0)
    _against_diagonal(left, normal, ordered, (-reach, reach))
    left.set(xlabel="normal quantile", ylabel="z = (NUTS − exact) / MCSE")
    left.set(xlim=(-3.4, 3.4), ylim=(-reach, reach))
    exact, nuts = run.array("/audit", "exact_mean"), run.array("/audit", "nuts_mean")
    if exact is None or nuts is None:
        right.set_axis_off()
        return figure
    span = (np.nanmin([exact, nuts]), np.nanmax([exact, nuts]))
    _against_diagonal(right, exact.ravel(), nuts.ravel(), span)
    right.set(xlabel="exact posterior mean", ylabel="NUTS posterior mean")
    return figure


@styled
def pit(run: Source) -> Figure:
    """Histogram of the candidate's PIT; whiskers: simultaneous 95 % over bins, by data set."""
    run = read(run)
    figure, values = sheet(2.3), run.array("/scores/candidate", "pit")
    if values is None or not np.isfinite(values).any():
        return note(figure, "no PIT was stored")
    height, half = _pit_heights(values)
    axes, centres = figure.add_subplot(), (np.arange(PIT_BINS) + 0.5) / PIT_BINS
    colour = LIGHT["candidate"]
    bars: dict[str, Any] = {"color": colour, "alpha": 0.35, "edgecolor": colour, "linewidth": 0.6}
    axes.bar(centres, height, width=1 / PIT_BINS, **bars)
    if half is not None:
        axes.errorbar(centres, height, yerr=half, fmt="none", ecolor=colour, elinewidth=1.1)
    axes.axhline(1, color=LIGHT["ink"], linewidth=1)
    axes.set(xlabel="PIT: the candidate’s P(Y ≤ outcome)", ylabel="density")
    axes.set(xlim=(0, 1), ylim=(0, None))
    return figure


@styled
def reliability(run: Source) -> Figure:
    """Hits against confidence in the most probable category.

    The band is the simultaneous 95 % band of a calibrated candidate.
    """
    calibration = mapping(read(run).result.get("calibration"))
    stored, figure = mapping(calibration.get("reliability")), sheet(2.3)
    if not stored:
        return note(figure, "no reliability was stored")
    columns = ("confidence", "hit", "low", "high")
    confidence, hit, low, high = (np.array(stored[name], dtype=float) for name in columns)
    axes = figure.add_subplot()
    axes.plot(confidence, confidence, color=LIGHT["ink"], linewidth=1)
    axes.fill_between(confidence, low, high, color=LIGHT["within"], linewidth=0)
    axes.plot(confidence, hit, color=LIGHT["candidate"], marker="o", markersize=4)
    axes.set(xlabel="confidence in the most probable category", ylabel="share that was right")
    axes.grid(axis="y")
    return figure


def _predictors(run: Run, *, named: bool) -> list[Predictor]:
    """The candidate and its rivals; under the task's name where several tasks are drawn."""
    tolerance = _real(run.primary.get("tolerance"), np.nan)
    label = short(str(run.result.get("task", ""))) if named else "candidate"
    rows = [Predictor(label, "candidate", _triple(run.primary, tolerance))]
    for name, rival in run.rivals.items():
        triple = _triple(rival.divergence, tolerance)
        rows.append(Predictor(short(words.predictor(name)), "prior", triple))
    return rows


def _positive(values: Sequence[Triple | float]) -> list[float]:
    """Those that a log axis can show."""
    flat = np.concatenate([np.ravel(value) for value in values])
    return [float(value) for value in flat if np.isfinite(value) and value > 0]


def _curve(run: Run) -> dict[str, Array] | None:
    """Context, estimate, low, high from the stored group, else from the result entry."""
    columns: dict[str, Array] = {}
    for name in ("context", *LIMITS):
        stored = run.array("/verdict", name)
        if stored is not None:
            columns[name] = stored
    if len(columns) <= len(LIMITS):
        columns = _entry_curve(run)
    if len(columns) <= len(LIMITS) or not columns["context"].size:
        return None
    return columns


def _entry_curve(run: Run) -> dict[str, Array]:
    entry, columns = mapping(run.result.get("curve")), {}
    for name in ("context", *LIMITS):
        if name in entry:
            columns[name] = np.array([_real(value, np.nan) for value in entry[name]])
    return columns


def _rival_means(run: Run) -> dict[str, Array]:
    """Mean divergence by context size of every rival, prior only last."""
    group, means = run.group("/verdict"), {}
    for variable in [] if group is None else map(str, group.data_vars):
        values = run.array("/verdict", variable) if variable.endswith(RIVAL) else None
        if values is not None:
            means[variable.removesuffix(RIVAL)] = values
    return dict(sorted(means.items(), key=lambda item: item[0] == "prior_only"))


def _rival_line(axes: Axes, context: Array, values: Array, name: str, number: int) -> None:
    colour, marker = RIVAL_COLOURS[number % 4], RIVAL_MARKERS[number % 4]
    if name == "prior_only":
        colour, marker = "prior", "x"
    label = short(words.predictor(name))
    if np.isinf(values).any():
        label += " (∞ in part)"
    style: dict[str, Any] = {"markersize": 3.5, "linewidth": 1.1, "linestyle": "--"}
    finite = np.where(np.isfinite(values), values, np.nan)
    axes.plot(context, finite, color=LIGHT[colour], marker=marker, label=label, **style)


def _floor(arrays: Sequence[Array], tolerance: float) -> float:
    """Lowest value drawn on a log axis: the smallest, but at least `LOWEST` of the tolerance."""
    flat = np.concatenate([np.ravel(array) for array in arrays])
    finite = flat[np.isfinite(flat)].tolist()
    if np.isfinite(tolerance):
        return max(min(finite, default=0.0), LOWEST * tolerance)
    return min((value for value in finite if value > 0), default=1e-12)


def _tolerance(run: Run) -> float:
    """The tolerance where the curve shows the metric that it belongs to, otherwise NaN."""
    if run.curve_metric != run.metric:
        return np.nan
    return _real(run.primary.get("tolerance"), np.nan)


def _label(run: Run) -> str:
    name = f"mean {words.metric(run.curve_metric)}"
    unit = run.unit if run.curve_metric == run.metric else "nats"
    return f"{name}, {unit}" if unit else name


def _panels_of(case: Case) -> list[Any]:
    law = panels.categories if panels.is_discrete(case) else panels.density
    return [panels.function, law] if panels.is_line(case) else [law]


def _against_diagonal(axes: Axes, x: Array, y: Array, span: tuple[float, float]) -> None:
    axes.plot(span, span, color=LIGHT["muted"], linewidth=0.9)
    axes.plot(x, y, ".", color=LIGHT["exact"], markersize=4)


def _pit_heights(values: Array) -> tuple[Array, Array | None]:
    """Height of each bin, and the half width of its interval where data sets are enough."""
    densities = []
    for row in values.reshape(len(values), -1):
        known = row[np.isfinite(row)]
        if known.size:
            counts = np.histogram(known, PIT_BINS, (0, 1))[0]
            densities.append(counts * PIT_BINS / known.size)
    height, spread = np.mean(densities, axis=0), None
    if len(densities) >= PIT_CLUSTERS:
        level = NormalDist().inv_cdf(1 - 0.025 / PIT_BINS)  # Bonferroni over bins
        spread = level * np.std(densities, axis=0, ddof=1) / np.sqrt(len(densities))
    return height, spread


def _triple(entry: Mapping[str, Any], unit: float = 1.0) -> Triple:
    """Estimate, low, high in this unit; an absent one is infinite."""
    estimate, low, high = (_real(entry.get(name), np.inf) / unit for name in LIMITS)
    return estimate, low, high


def _real(value: object, otherwise: float) -> float:
    if isinstance(value, int | float) and np.isfinite(value):
        return float(value)
    return otherwise
