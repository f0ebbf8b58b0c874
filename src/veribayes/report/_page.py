"""The HTML page: what the template shows, prepared so that the template only lays it out.

Autoescape is on; the only markup that passes is `_svg.inline`, which escapes what it is given, and our own style sheet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from veribayes.report import _svg, figures
from veribayes.report import _words as words
from veribayes.report._cases import Case, cases
from veribayes.report._details import as_json, details, findings
from veribayes.report._run import Run, mapping
from veribayes.report._secondary import secondary
from veribayes.report._style import DARK, LIGHT
from veribayes.tree.shown import Shown

TEMPLATES = files("veribayes.report") / "templates"
WORST_SHOWN, MEDIAN_SHOWN = 3, 1  # examples: an even number fills the grid


@dataclass(frozen=True)
class Row:
    """One line of the table of rivals."""

    role: str
    name: str
    about: str
    divergence: words.Interval
    recovery: words.Interval
    verdict: words.Verdict


@dataclass(frozen=True)
class Bar:
    """A small drawing, 120 wide: divergence over tolerance on a log scale from 0.01 to 100, cut off at both ends."""

    label: str
    estimate: str
    low: str
    high: str
    rivals: tuple[str, ...]


@dataclass(frozen=True)
class Example:
    """A context shown concretely."""

    title: str
    facts: str
    context: Shown
    figure: Markup


def render(runs: Sequence[Run]) -> str:
    """The page as text."""
    return fill(
        "page.html",
        sections=[_section(run, number) for number, run in enumerate(runs, 1)],
        title=_title(runs),
    )


def fill(template: str, **shown: Any) -> str:
    """A page from its template: autoescaped, with our style sheet and nothing from elsewhere."""
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        loader=FunctionLoader(_template),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    css = Markup(_template("style.css"))
    environment.globals.update(words=words, light=LIGHT, dark=DARK, css=css)
    return environment.get_template(template).render(**shown)


def _template(name: str) -> str:
    return (TEMPLATES / name).read_text("utf-8")


def _title(runs: Sequence[Run]) -> str:
    first = str(runs[0].result.get("task") or "run")
    return (
        f"{first}: verification report"
        if len(runs) == 1
        else f"Verification report: {len(runs)} tasks"
    )


def _section(run: Run, number: int) -> dict[str, Any]:
    """Everything that the template says about one task."""
    power = words.power_for(run.primary.get("tolerance"))
    return {
        "number": number,
        "figures": _figures(run, number),
        "examples": _examples(run, number, power),
        **_compared(run),
        **_decided(run, power),
        **details(run, power),
        "beside": secondary(run, power),
    }


def _compared(run: Run) -> dict[str, Any]:
    """Who was compared with whom, on what."""
    result, reference = run.result, mapping(run.result.get("reference"))
    return {
        "task": str(result.get("task") or "unnamed task"),
        "description": str(result.get("description") or ""),
        "candidate": str(result.get("candidate") or "candidate"),
        "about_candidate": str(result.get("candidate_kind") or ""),
        "engine": str(reference.get("engine") or "unknown engine"),
        "certificate": words.certificate(reference),
        "reasons": [str(r) for r in mapping(reference.get("certificate")).get("reasons") or []],
        "model": words.model(run.model_sentence, run.model),
        "model_json": as_json(run.model),
        "datasets": words.count(result.get("datasets")),
        "design": _design(run),
        "seed": words.MISSING if result.get("seed") is None else str(result["seed"]),
        "context_word": run.observations(),
    }


def _decided(run: Run, power: int) -> dict[str, Any]:
    """The verdict with its numbers, and who else would pass."""
    primary, rivals = run.primary, _rows(run, power)
    return {
        "verdict": words.verdict(run.result),
        "meaning": words.explain(run.result),
        "metric": words.metric(run.metric),
        "unit": str(primary.get("unit", "")),
        "divergence": words.interval(primary, power),
        "tolerance": words.number(primary.get("tolerance"), power=power),
        "upper": words.number(primary.get("upper"), power=power) if _quotable(primary) else "",
        "detectable": words.number(primary.get("minimum_detectable"), power=power),
        "multiple": _multiple(primary),
        "moments": run.moments,
        "infinite": words.share(primary.get("infinite_share"))
        if primary.get("infinite_share")
        else "",
        "recovery": words.percent(mapping(run.result.get("recovery"))),
        "settle": words.settle(primary, power),
        "unseen": words.unseen(run.result.get("datasets")),
        "bar": _bar(run),
        "rivals": rivals,
        "passing": [r.name for r in rivals if r.verdict.word == "equivalent"],
        "best_rival": next((r for r in rivals if r.role == run.best_rival), None),
        "findings": findings(run),
    }


def _quotable(primary: Mapping[str, Any]) -> bool:
    """Whether the limit that equivalence is judged by says something to a reader: not where the sample supports no limit."""
    decisive = primary.get("verdict") == "equivalent"
    return primary.get("upper") is not None and (decisive or not primary.get("reason"))


def _figures(run: Run, number: int) -> dict[str, Markup | None]:
    """Every figure by name, None where the run has no data for it."""
    curve = run.group("/verdict") is not None or bool(run.result.get("curve"))
    placed = run.array("/scores/candidate", "pit") is not None and not run.moments
    wanted = (
        (
            "overview",
            bool(run.rivals and run.primary.get("tolerance")),
            "Every predictor’s divergence over the tolerance",
        ),
        ("curve", curve, "Divergence by context size"),
        ("queries", len(run.result.get("by_query") or []) > 1, "Divergence by query"),
        ("audit", run.array("/audit", "z") is not None, "Exact posterior against NUTS"),
        ("pit", placed, "Histogram of the probability integral transform"),
        (
            "reliability",
            bool(mapping(run.result.get("calibration")).get("reliability")),
            "Confidence against hits",
        ),
    )
    draw = {
        "overview": lambda: figures.overview([run]),
        "curve": lambda: figures.curve(run),
        "queries": lambda: figures.queries(run),
        "audit": lambda: figures.audit(run),
        "pit": lambda: figures.pit(run),
        "reliability": lambda: figures.reliability(run),
    }
    return {
        n: _svg.inline(draw[n](), label, salt=f"{number}-{n}") if there else None
        for n, there, label in wanted
    }


def _examples(run: Run, number: int, power: int) -> list[Example]:
    shown = [*cases(run, "worst", WORST_SHOWN), *cases(run, "median", MEDIAN_SHOWN)]
    return [_example(run, case, power, salt=f"{number}-{i}") for i, case in enumerate(shown)]


def _example(run: Run, case: Case, power: int, salt: str) -> Example:
    title = "Among the worst data sets" if case.why == "worst" else "A median data set"
    context = run.observations(case.context)
    facts = f"{context} · {words.number(case.score, power=power)} {run.primary.get('unit') or ''}"
    figure = _svg.inline(
        figures.examples([case]), f"Predictive distributions for data set {case.index}", salt=salt
    )
    return Example(f"{title} · no. {case.index}", facts, case.shown, figure)


def _rows(run: Run, power: int) -> list[Row]:
    return [
        Row(
            name,
            words.predictor(name),
            words.about_predictor(name),
            words.interval(rival.divergence, power),
            words.percent(rival.recovery),
            words.VERDICTS.get(rival.verdict, words.VERDICTS["undecided"]),
        )
        for name, rival in run.rivals.items()
    ]


def _bar(run: Run) -> Bar | None:
    tolerance = run.primary.get("tolerance")
    if not isinstance(tolerance, int | float) or tolerance <= 0:
        return None
    finite = run.primary.get("estimate") is not None
    least = (
        0.0 if finite and run.primary.get("low") is None else run.primary.get("low")
    )  # no limit: to the left end
    low, middle, high = (
        _place(v, tolerance) for v in (least, run.primary.get("estimate"), run.primary.get("high"))
    )
    rivals = tuple(_place(r.divergence.get("estimate"), tolerance) for r in run.rivals.values())
    return Bar(f"{_multiple(run.primary)} times the tolerance", middle, low, high, rivals)


def _place(value: object, tolerance: float) -> str:
    """Where a divergence lies on a `Bar`; an infinite or absent one at its right end."""
    ratio = value / tolerance if isinstance(value, int | float) else np.inf
    return f"{np.clip(60 + 30 * np.log10(max(ratio, 1e-9)), 4, 116):.1f}"


def _multiple(primary: Mapping[str, Any]) -> str:
    """The estimate as a multiple of the tolerance."""
    estimate, tolerance = primary.get("estimate"), primary.get("tolerance")
    return (
        words.number(estimate / tolerance)
        if isinstance(estimate, int | float) and tolerance
        else words.MISSING
    )


def _design(run: Run) -> str:
    """Context sizes and queries, from the stored arrays."""
    context, outcome = (
        run.array("/observed_data", "context"),
        run.array("/observed_data", "outcome"),
    )
    if context is None or not context.size:
        return ""
    sizes = np.unique(context[0] if context.shape[1] > 1 else context).astype(int)
    several = 1 if outcome is None else outcome.shape[-1]
    each = f"{several} queries each" if several > 1 else "one query each"
    return f"{', '.join(map(str, sizes))} {run.observations()}; {each}"
