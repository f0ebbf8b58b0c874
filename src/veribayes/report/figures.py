"""The report's figures, each a function from runs to a matplotlib `Figure` (object-oriented API, no pyplot).

    overview   every predictor's divergence as a multiple of the tolerance, one or several tasks
    curve      divergence by context size with its simultaneous band, rivals beside it
    queries    divergence by query or node
    examples   single contexts: what the exact answer says and what the candidate says
    audit      the exact posterior against NUTS
    pit        probability integral transform of the candidate
    reliability   how often the candidate is right, by how sure it is

They are drawn in the colours of a light page; `veribayes.report._svg` turns these into variables that follow the reader's
theme. Names from files are drawn literally, never as mathematics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

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

RIVAL_COLOURS = ("first", "second", "third", "fourth")
RIVAL_MARKERS = ("s", "^", "D", "v")
QUERIES_SHOWN = 16
LOWEST = 1e-4  # of the tolerance; what is smaller is drawn here
PIT_BINS = 20
PIT_CLUSTERS = 30  # fewer data sets have no normal approximation
MCSE_LIMIT = 4  # standard errors within which an exact and a Monte Carlo mean count as equal


@styled
def overview(runs: Sequence[Source]) -> Figure:
    """Candidate and rivals of each run: estimate and 95 % interval over the tolerance, on one log scale."""
    rows = [row for run in map(read, runs) for row in _predictors(run, named=len(runs) > 1)]
    figure = sheet(0.75 + 0.27 * len(rows))
    axes = figure.add_subplot()
    positive = [v for _, _, triple in rows for v in triple if np.isfinite(v) and v > 0]
    left, right = max(min([0.05, *positive]) / 1.8, LOWEST), max([20.0, *positive]) * 1.8
    axes.set(xscale="log", xlim=(left, right), xlabel="divergence as a multiple of the tolerance")
    axes.axvspan(left, 1, color=LIGHT["within"], zorder=0, linewidth=0)
    axes.axvline(1, color=LIGHT["ink"], linewidth=1)
    axes.spines["left"].set_visible(False)
    interval_rows(axes, [r[0] for r in rows], [r[2] for r in rows], [LIGHT[r[1]] for r in rows])
    log_ticks(axes, "x")
    return figure


@styled
def curve(run: Source) -> Figure:
    """Mean divergence by context size with the simultaneous 95 % band; the rivals' means; the tolerance of the overall mean."""
    run = read(run)
    means, rivals, tolerance = _curve(run), _rival_means(run), _tolerance(run)
    figure = sheet(2.9 + 0.1 * len(rivals))
    if means is None:
        return note(figure, "no curve was stored")
    axes = figure.add_subplot()
    axes.set(yscale="log", xlabel=run.observations(), ylabel=_label(run))
    context = means.pop("context")
    floor = _floor([*means.values(), *rivals.values()], tolerance)
    estimate, low, high = (np.maximum(means[n], floor) for n in ("estimate", "low", "high"))
    axes.fill_between(context, low, high, color=LIGHT["candidate"], alpha=0.22, linewidth=0)
    own: dict[str, Any] = {"color": LIGHT["candidate"], "marker": "o", "markersize": 4, "zorder": 5}
    axes.plot(context, estimate, label="candidate, 95 % band", **own)
    _rival_lines(
        axes, context, {name: np.maximum(values, floor) for name, values in rivals.items()}
    )
    if np.isfinite(tolerance):
        axes.axhline(
            tolerance, color=LIGHT["ink"], linewidth=1, label="tolerance (of the overall mean)"
        )
    axes.grid(axis="y")
    context_ticks(axes, context)
    log_ticks(axes, "y")
    figure.legend(loc="outside lower left", ncols=2)
    return figure


@styled
def queries(run: Source) -> Figure:
    """Mean divergence by query or node with its interval, largest first; all of them hold at once with 95 %."""
    run = read(run)
    entries = [mapping(e) for e in run.result.get("by_query") or []]
    entries = sorted(entries, key=lambda e: -_real(e.get("estimate"), np.inf))[:QUERIES_SHOWN]
    figure = sheet(0.75 + 0.25 * max(len(entries), 2))
    if not entries:
        return note(figure, "one query only")
    axes, triples, tolerance = figure.add_subplot(), [_triple(e) for e in entries], _tolerance(run)
    span = [v for v in (*np.ravel(triples), tolerance) if np.isfinite(v) and v > 0] or [1.0]
    axes.set(xscale="log", xlim=(min(span) / 1.5, max(span) * 1.5), xlabel=_label(run))
    axes.grid(axis="x")
    if np.isfinite(tolerance):
        axes.axvline(tolerance, color=LIGHT["ink"], linewidth=1)
    names = [short(str(e.get("query", ""))) for e in entries]
    interval_rows(axes, names, triples, [LIGHT["candidate"]] * len(entries))
    log_ticks(axes, "x")
    return figure


@styled
def examples(cases: Sequence[Case]) -> Figure:
    """The distributions at each case's query; for points in one dimension also the function above them."""
    rows = [(panel, case) for case in cases for panel in _panels_of(case)]
    heights = [2.1 if panel is panels.function else 1.9 for panel, _ in rows]
    figure = sheet(sum(heights))
    grid = figure.add_gridspec(len(rows), 1, height_ratios=heights)
    for row, (panel, case) in enumerate(rows):
        panel(figure.add_subplot(grid[row]), case)
    return figure


@styled
def audit(run: Source) -> Figure:
    """Left: z-scores of exact against NUTS means on normal quantiles. Right: the means themselves."""
    run = read(run)
    figure, z = sheet(2.5), run.array("/audit", "z")
    if z is None or not np.isfinite(z).any():
        return note(figure, "no audit was stored")
    left, right = figure.subplots(1, 2)
    ordered = np.sort(z[np.isfinite(z)])
    normal = [NormalDist().inv_cdf((i + 0.5) / ordered.size) for i in range(ordered.size)]
    reach = max(MCSE_LIMIT + 0.6, float(np.abs(ordered).max()) + 0.4)
    left.axhspan(-MCSE_LIMIT, MCSE_LIMIT, color=LIGHT["within"], linewidth=0, zorder=0)
    _against_diagonal(left, np.asarray(normal), ordered, (-reach, reach))
    left.set(
        xlabel="normal quantile",
        ylabel="z = (NUTS − exact) / MCSE",
        xlim=(-3.4, 3.4),
        ylim=(-reach, reach),
    )
    exact, nuts = run.array("/audit", "exact_mean"), run.array("/audit", "nuts_mean")
    if exact is None or nuts is None:
        right.set_axis_off()
        return figure
    _against_diagonal(
        right, exact.ravel(), nuts.ravel(), (np.nanmin([exact, nuts]), np.nanmax([exact, nuts]))
    )
    right.set(xlabel="exact posterior mean", ylabel="NUTS posterior mean")
    return figure


@styled
def pit(run: Source) -> Figure:
    """Histogram of the candidate's PIT over outcomes; whiskers: simultaneous 95 % over bins, clusters = data sets."""
    run = read(run)
    figure, values = sheet(2.3), run.array("/scores/candidate", "pit")
    if values is None or not np.isfinite(values).any():
        return note(figure, "no PIT was stored")
    axes, (height, half) = figure.add_subplot(), _pit_heights(values)
    centres, colour = (np.arange(PIT_BINS) + 0.5) / PIT_BINS, LIGHT["candidate"]
    axes.bar(
        centres,
        height,
        width=1 / PIT_BINS,
        color=colour,
        alpha=0.35,
        edgecolor=colour,
        linewidth=0.6,
    )
    if half is not None:
        axes.errorbar(centres, height, yerr=half, fmt="none", ecolor=colour, elinewidth=1.1)
    axes.axhline(1, color=LIGHT["ink"], linewidth=1)
    axes.set(
        xlim=(0, 1), ylim=(0, None), xlabel="PIT: the candidate’s P(Y ≤ outcome)", ylabel="density"
    )
    return figure


@styled
def reliability(run: Source) -> Figure:
    """Hits against confidence in the most probable category, with the simultaneous 95 % band of a calibrated candidate."""
    found = mapping(mapping(read(run).result.get("calibration")).get("reliability"))
    figure = sheet(2.3)
    if not found:
        return note(figure, "no reliability was stored")
    said, hit, low, high = (
        np.array(found[k], dtype=float) for k in ("confidence", "hit", "low", "high")
    )
    axes = figure.add_subplot()
    axes.plot(said, said, color=LIGHT["ink"], linewidth=1)
    axes.fill_between(said, low, high, color=LIGHT["within"], linewidth=0)
    axes.plot(said, hit, color=LIGHT["candidate"], marker="o", markersize=4)
    axes.set(xlabel="confidence in the most probable category", ylabel="share that was right")
    axes.grid(axis="y")
    return figure


def _predictors(run: Run, *, named: bool) -> list[tuple[str, str, Triple]]:
    """(label, colour, estimate and interval over the tolerance) of the candidate and its rivals."""
    tolerance = _real(run.primary.get("tolerance"), np.nan)
    own = short(str(run.result.get("task", ""))) if named else "candidate"
    rivals = [
        (short(words.predictor(name)), "prior", rival.divergence)
        for name, rival in run.rivals.items()
    ]
    entries = [(own, "candidate", run.primary), *rivals]
    return [(label, colour, _triple(entry, tolerance)) for label, colour, entry in entries]


def _curve(run: Run) -> dict[str, Array] | None:
    """Context, estimate, low, high from the stored group, else from the result entry."""
    names = ("context", "estimate", "low", "high")
    stored = {n: run.array("/verdict", n) for n in names}
    found = {n: v for n, v in stored.items() if v is not None}
    if len(found) < len(names):
        entry = mapping(run.result.get("curve"))
        found = {n: np.array([_real(v, np.nan) for v in entry[n]]) for n in names if n in entry}
    return found if len(found) == len(names) and found["context"].size else None


def _rival_means(run: Run) -> dict[str, Array]:
    """Mean divergence by context size of every rival, prior only last."""
    group = run.group("/verdict")
    names = (
        [] if group is None else [str(v) for v in group.data_vars if str(v).endswith("_estimate")]
    )
    found = {n.removesuffix("_estimate"): run.array("/verdict", n) for n in names}
    return {
        n: v
        for n, v in sorted(found.items(), key=lambda item: item[0] == "prior_only")
        if v is not None
    }


def _rival_lines(axes: Axes, context: Array, rivals: Mapping[str, Array]) -> None:
    for i, (name, values) in enumerate(rivals.items()):
        colour, marker = (
            ("prior", "x") if name == "prior_only" else (RIVAL_COLOURS[i % 4], RIVAL_MARKERS[i % 4])
        )
        line: dict[str, Any] = {
            "color": LIGHT[colour],
            "marker": marker,
            "markersize": 3.5,
            "linewidth": 1.1,
            "linestyle": "--",
        }
        label = short(words.predictor(name)) + (" (∞ in part)" if np.isinf(values).any() else "")
        axes.plot(context, np.where(np.isfinite(values), values, np.nan), label=label, **line)


def _floor(arrays: Sequence[Array], tolerance: float) -> float:
    """Lowest value drawn on a log axis: the smallest one, but no less than `LOWEST` of the tolerance, and positive."""
    finite = [float(v) for a in arrays for v in np.ravel(a) if np.isfinite(v)]
    if np.isfinite(tolerance):
        return max(min(finite, default=0.0), LOWEST * tolerance)
    return min((v for v in finite if v > 0), default=1e-12)


def _tolerance(run: Run) -> float:
    """The tolerance where the curve shows the metric that it belongs to, otherwise NaN."""
    return _real(run.primary.get("tolerance"), np.nan) if run.curve_metric == run.metric else np.nan


def _label(run: Run) -> str:
    name = f"mean {words.metric(run.curve_metric)}"
    unit = str(run.primary.get("unit", "")) if run.curve_metric == run.metric else "nats"
    return f"{name}, {unit}" if unit else name


def _panels_of(case: Case) -> list[Any]:
    law = panels.categories if panels.is_discrete(case) else panels.density
    return [panels.function, law] if panels.is_line(case) else [law]


def _against_diagonal(axes: Axes, x: Array, y: Array, span: tuple[float, float]) -> None:
    axes.plot(span, span, color=LIGHT["muted"], linewidth=0.9)
    axes.plot(x, y, ".", color=LIGHT["exact"], markersize=4)


def _pit_heights(values: Array) -> tuple[Array, Array | None]:
    """Height of each bin, and the half width of its simultaneous interval where there are enough data sets."""
    rows = [row[np.isfinite(row)] for row in values.reshape(len(values), -1)]
    share = np.stack(
        [np.histogram(row, PIT_BINS, (0, 1))[0] * PIT_BINS / row.size for row in rows if row.size]
    )
    level = NormalDist().inv_cdf(1 - 0.025 / PIT_BINS)  # Bonferroni over bins
    half = (
        level * share.std(0, ddof=1) / np.sqrt(len(share)) if len(share) >= PIT_CLUSTERS else None
    )
    return share.mean(0), half


def _triple(entry: Mapping[str, Any], unit: float = 1.0) -> Triple:
    """Estimate, low, high in this unit; an absent one is infinite."""
    estimate, low, high = (_real(entry.get(k), np.inf) / unit for k in ("estimate", "low", "high"))
    return estimate, low, high


def _real(value: object, otherwise: float) -> float:
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else otherwise
