"""Where the candidate is worst: by context size, by query, and in which data sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from markupsafe import Markup

from veribayes.report import _svg, figures
from veribayes.report import _words as words
from veribayes.report._run import Run, mapping
from veribayes.report._section import Section, shipped_template

ROWS_SHOWN = 8
COLUMNS = ("index", "mean", "context", "query", "kl")
DIVERGENCES = ("mean", "kl")  # columns in which what has no number is infinite

Share = tuple[Any, float]  # a context size or a query, and its part of the divergence


def prepare(run: Run, salt: str) -> Mapping[str, Any]:
    worst_queries = {str(mapping(entry).get("query")) for entry in run.result.get("worst") or []}
    return {
        "spread": _spread(run),
        "concentration": _concentration(run),
        "curve_metric": words.metric(run.curve_metric),
        "curve_differs": run.curve_metric != run.metric,
        "context_word": run.observations(),
        "unit": run.unit,
        "curve": _curve(run, salt),
        "queries": _queries(run, salt),
        "worst": _worst(run),
        "asked_by_name": bool(worst_queries - {"all"}),
    }


def _curve(run: Run, salt: str) -> Markup | None:
    if run.group("/verdict") is None and not run.result.get("curve"):
        return None
    return _svg.inline(figures.curve(run), "Divergence by context size", f"{salt}-curve")


def _queries(run: Run, salt: str) -> Markup | None:
    if len(run.result.get("by_query") or []) < 2:
        return None
    return _svg.inline(figures.queries(run), "Divergence by query", f"{salt}-queries")


def _spread(run: Run) -> str:
    """Quantiles of the data sets' own mean divergences: the mean hides a heavy tail."""
    scores = run.scores
    if scores is None:
        return ""
    cells = np.isfinite(scores)
    weight = cells.sum((1, 2))
    totals = np.where(cells, scores, 0.0).sum((1, 2))
    means = totals[weight > 0] / weight[weight > 0]
    if not means.size:
        return ""
    marks = (*np.quantile(means, [0.5, 0.95]), means.max())
    low, high, top = (words.number(float(mark), power=run.power) for mark in marks)
    finite = ", leaving infinite cells out" if np.isinf(scores).any() else ""
    half = f"Half of the data sets lie below {low}, 95{words.THIN}% below {high}"
    return f"{half}; the largest has {top} {run.unit}{finite}."


def _concentration(run: Run) -> str:
    """From which context size and which query most of the divergence comes."""
    curve = mapping(run.result.get("curve"))
    sizes = zip(curve.get("context") or [], curve.get("share") or [], strict=False)
    entries = [mapping(entry) for entry in run.result.get("by_query") or []]
    queries = [(entry.get("query"), entry.get("share")) for entry in entries]
    sentences = []
    for shares in (_shares(sizes), _shares(queries)):
        if len(shares) > 1:
            place, part = max(shares, key=lambda share: share[1])
            where = run.observations(place) if isinstance(place, int) else f"query {place}"
            sentences.append(f"{words.share(part)} comes from {where}")
    return f"{', and '.join(sentences)}." if sentences else ""


def _shares(pairs: Iterable[tuple[Any, Any]]) -> list[Share]:
    return [(place, float(part)) for place, part in pairs if isinstance(part, int | float)]


def _worst(run: Run) -> list[dict[str, str]]:
    """The worst data sets, a row each."""
    rows = []
    for entry in (run.result.get("worst") or [])[:ROWS_SHOWN]:
        stored = mapping(entry)
        rows.append({name: _cell(name, stored.get(name), run.power) for name in COLUMNS})
    return rows


def _cell(column: str, value: object, power: int) -> str:
    if column in DIVERGENCES:
        return "∞" if value is None else words.number(value, power=power)
    return words.MISSING if value is None else str(value)


PART = Section(order=40, template=shipped_template("curve.html"), prepare=prepare)
