"""The HTML page: what the template shows, prepared so that the template only lays it out.

Autoescape is on; the only markup that passes is `_svg.inline`, which escapes what it is given, and our own style sheet.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from veribayes.report import _context, _svg, figures
from veribayes.report import _words as words
from veribayes.report._cases import Case, cases
from veribayes.report._run import Run, mapping
from veribayes.report._style import DARK, LIGHT

TEMPLATES = files("veribayes.report") / "templates"
WORST_SHOWN, MEDIAN_SHOWN = 3, 1  # examples: an even number fills the grid
ROWS_SHOWN = 8
BRIEF = 200  # characters; longer values wait in the JSON
TOLD = frozenset({"rule_of_three", "tolerance_passes_rival", "zero_probability"})  # findings that the page says itself


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
    context: _context.Shown
    figure: Markup


def render(runs: Sequence[Run]) -> str:
    """The page as text."""
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        loader=FunctionLoader(_template),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    css = Markup(_template("style.css"))
    environment.globals.update(words=words, light=LIGHT, dark=DARK, css=css)
    sections = [_section(run, number) for number, run in enumerate(runs, 1)]
    return environment.get_template("page.html").render(sections=sections, title=_title(runs))


def _template(name: str) -> str:
    return (TEMPLATES / name).read_text("utf-8")


def _title(runs: Sequence[Run]) -> str:
    first = str(runs[0].result.get("task", "run"))
    return f"{first}: verification report" if len(runs) == 1 else f"Verification report: {len(runs)} tasks"


def _section(run: Run, number: int) -> dict[str, Any]:
    """Everything that the template says about one task."""
    power = words.power_for(run.primary.get("tolerance"))
    return {
        "number": number,
        "figures": _figures(run, number),
        "examples": _examples(run, number, power),
        **_compared(run),
        **_decided(run, power),
        **_details(run, power),
    }


def _compared(run: Run) -> dict[str, Any]:
    """Who was compared with whom, on what."""
    result, reference = run.result, mapping(run.result.get("reference"))
    return {
        "task": str(result.get("task", "unnamed task")),
        "description": str(result.get("description") or ""),
        "candidate": str(result.get("candidate", "candidate")),
        "about_candidate": str(result.get("candidate_kind") or ""),
        "engine": str(reference.get("engine", "unknown engine")),
        "certificate": words.certificate(reference),
        "reasons": [str(r) for r in mapping(reference.get("certificate")).get("reasons") or []],
        "model": words.model(run.model),
        "model_json": _json(run.model),
        "datasets": words.count(result.get("datasets")),
        "design": _design(run),
        "seed": result.get("seed", words.MISSING),
        "context_word": words.observations(run.family),
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
        "upper": words.number(primary.get("upper"), power=power) if primary.get("upper") is not None else "",
        "detectable": words.number(primary.get("minimum_detectable"), power=power),
        "multiple": _multiple(primary),
        "infinite": words.share(primary.get("infinite_share")) if primary.get("infinite_share") else "",
        "recovery": words.percent(mapping(run.result.get("recovery"))),
        "settle": words.settle(primary, power),
        "unseen": words.unseen(run.result.get("datasets")),
        "bar": _bar(run),
        "rivals": rivals,
        "passing": [r.name for r in rivals if r.verdict.word == "equivalent"],
        "best_rival": next((r for r in rivals if r.role != "prior_only"), None),
        "findings": _findings(run),
    }


def _details(run: Run, power: int) -> dict[str, Any]:
    """What a doubtful reader asks for next."""
    return {
        "spread": _spread(run, power),
        "curve_metric": words.metric(run.curve_metric),
        "curve_differs": run.curve_metric != run.metric,
        "worst": _worst(run, power),
        "scores": _scores(run, power),
        "audit": mapping(run.result.get("audit")),
        "audit_numbers": _audit_numbers(run),
        "provenance": _brief(run.provenance),
        "provenance_json": _json(run.provenance),
        "task_hash": str(run.result.get("task_hash", words.MISSING)),
        "result_json": _json(run.result),
    }


def _figures(run: Run, number: int) -> dict[str, Markup | None]:
    """Every figure by name, None where the run has no data for it."""
    curve = run.group("/verdict") is not None or bool(run.result.get("curve"))
    wanted = (
        (
            "overview",
            bool(run.rivals and run.primary.get("tolerance")),
            "Every predictor’s divergence over the tolerance",
        ),
        ("curve", curve, "Divergence by context size"),
        ("queries", run.family != "points" and len(run.result.get("by_query") or []) > 1, "Divergence by query"),
        ("audit", run.array("/audit", "z") is not None, "Exact posterior against NUTS"),
        ("pit", run.array("/scores/candidate", "pit") is not None, "Histogram of the probability integral transform"),
    )
    draw = {
        "overview": lambda: figures.overview([run]),
        "curve": lambda: figures.curve(run),
        "queries": lambda: figures.queries(run),
        "audit": lambda: figures.audit(run),
        "pit": lambda: figures.pit(run),
    }
    return {n: _svg.inline(draw[n](), label, salt=f"{number}-{n}") if there else None for n, there, label in wanted}


def _examples(run: Run, number: int, power: int) -> list[Example]:
    shown = [*cases(run, "worst", WORST_SHOWN), *cases(run, "median", MEDIAN_SHOWN)]
    return [_example(run, case, power, salt=f"{number}-{i}") for i, case in enumerate(shown)]


def _example(run: Run, case: Case, power: int, salt: str) -> Example:
    title = "Among the worst data sets" if case.why == "worst" else "A median data set"
    context = words.observations(case.family, case.context)
    facts = f"{context} · {words.number(case.score, power=power)} {run.primary.get('unit', '')}"
    figure = _svg.inline(figures.examples([case]), f"Predictive distributions for data set {case.index}", salt=salt)
    return Example(f"{title} · no. {case.index}", facts, _context.show(run, case), figure)


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
    low, middle, high = (_place(run.primary.get(k), tolerance) for k in ("low", "estimate", "high"))
    rivals = tuple(_place(r.divergence.get("estimate"), tolerance) for r in run.rivals.values())
    return Bar(f"{_multiple(run.primary)} times the tolerance", middle, low, high, rivals)


def _place(value: object, tolerance: float) -> str:
    """Where a divergence lies on a `Bar`; an infinite or absent one at its right end."""
    ratio = value / tolerance if isinstance(value, int | float) else np.inf
    return f"{np.clip(60 + 30 * np.log10(max(ratio, 1e-9)), 4, 116):.1f}"


def _multiple(primary: Mapping[str, Any]) -> str:
    """The estimate as a multiple of the tolerance."""
    estimate, tolerance = primary.get("estimate"), primary.get("tolerance")
    return words.number(estimate / tolerance) if isinstance(estimate, int | float) and tolerance else words.MISSING


def _design(run: Run) -> str:
    """Context sizes and queries, from the stored arrays."""
    context, outcome = run.array("/observed_data", "context"), run.array("/observed_data", "outcome")
    if context is None or not context.size:
        return ""
    sizes = np.unique(context[0] if context.shape[1] > 1 else context).astype(int)
    several = 1 if outcome is None else outcome.shape[-1]
    each = f"{several} queries each" if several > 1 else "one query each"
    return f"{', '.join(map(str, sizes))} {words.observations(run.family)}; {each}"


def _findings(run: Run) -> list[str]:
    """What the run found beyond what the page says anyway, one sentence each."""
    found = [f if isinstance(f, Mapping) else {"text": str(f)} for f in run.result.get("findings") or []]
    return [_finding(f) for f in found if f.get("name") not in TOLD]


def _finding(finding: Mapping[str, Any]) -> str:
    name = str(finding.get("name", "")).replace("_", " ")
    text = str(finding.get("text", finding.get("message", "")))
    return ": ".join(filter(None, [name, text]))


def _spread(run: Run, power: int) -> str:
    """Quantiles of the data sets' own mean divergences: the mean hides a heavy tail."""
    scores = run.scores
    if scores is None:
        return ""
    cells = np.isfinite(scores)
    weight = cells.sum((1, 2))
    each = np.where(cells, scores, 0.0).sum((1, 2))[weight > 0] / weight[weight > 0]
    if not each.size:
        return ""
    low, high, top = (words.number(float(v), power=power) for v in (*np.quantile(each, [0.5, 0.95]), each.max()))
    unit = run.primary.get("unit", "")
    finite = ", leaving infinite cells out" if np.isinf(scores).any() else ""
    return f"Half of the data sets lie below {low}, 95{words.THIN}% below {high}; the largest has {top} {unit}{finite}."


def _worst(run: Run, power: int) -> list[dict[str, str]]:
    entries = (run.result.get("worst") or [])[:ROWS_SHOWN]
    return [
        {
            **{k: str(entry.get(k, words.MISSING)) for k in ("index", "context", "query")},
            "divergence": "∞" if entry.get("kl", 0) is None else words.number(entry.get("kl"), power=power),
        }
        for entry in entries
    ]


def _scores(run: Run, power: int) -> list[tuple[str, str, str]]:
    """Name, estimate with interval and unit of every score beside the primary one."""
    found = {n: mapping(e) for n, e in mapping(run.result.get("scores")).items() if n != run.metric}
    return [(words.metric(name), _score(entry, power), _unit(entry)) for name, entry in found.items()]


def _score(entry: Mapping[str, Any], power: int) -> str:
    if entry.get("infinite_share"):
        return f"infinite in {words.share(entry['infinite_share'])} of data sets"
    return str(words.interval(entry, power if _unit(entry) == "nats" else None))


def _unit(entry: Mapping[str, Any]) -> str:
    return "" if str(entry.get("unit", "")) == "1" else str(entry.get("unit", ""))


def _audit_numbers(run: Run) -> str:
    """The summary of the audit; the worst diagnostics where they were stored."""
    found = mapping(run.result.get("audit"))
    parts = [f"{found['datasets']} data sets"] if "datasets" in found else []
    parts += [f"{words.observations(run.family, found['context'])}"] if isinstance(found.get("context"), int) else []
    parts += [f"{found['latents']} means"] if "latents" in found else []
    parts += [f"largest |z| {words.number(found['max_abs_z'])}"] if "max_abs_z" in found else []
    if "sd_z" in found:
        parts.append(f"standard deviation of z {words.number(found['sd_z'])} (1 when the Monte Carlo errors are right)")
    r_hat, ess = run.array("/audit", "rank_r_hat"), run.array("/audit", "ess_bulk")
    parts += [f"largest rank R-hat {np.nanmax(r_hat):.4f}"] if r_hat is not None and np.isfinite(r_hat).any() else []
    parts += [f"smallest bulk ESS {np.nanmin(ess):,.0f}"] if ess is not None and np.isfinite(ess).any() else []
    return ", ".join(parts)


def _brief(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Plain data as (name, text) pairs, without what is too long to read in a line."""
    pairs = [(str(k).replace("_", " "), words.plain(v)) for k, v in values.items() if v is not None]
    return [(name, text) for name, text in pairs if 0 < len(text) <= BRIEF]


def _json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)
