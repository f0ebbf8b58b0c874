"""What a reader must not miss: sentences, each with a stable name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from veribayes import registry
from veribayes.predictive import Array
from veribayes.run.comparison import Comparison
from veribayes.run.endpoint import unheld, unheld_mass, zero_limit
from veribayes.run.roles import TRUTH
from veribayes.run.scored import Scored
from veribayes.run.sections.beside import Beside
from veribayes.run.sections.primary import Primary
from veribayes.run.sections.rivals import Rival
from veribayes.statistics import limits
from veribayes.validation import bootstrap, decision, questions, secondary

SHOWN_LEVELS = 12  # of quantiles, in a sentence


@dataclass(frozen=True)
class Finding:
    """One thing to know, with the numbers that its sentence holds."""

    name: str
    text: str
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def entry(self) -> dict[str, Any]:
        """For the result's JSON."""
        return {"name": self.name, "text": self.text, **self.numbers}


def findings_of(
    comparison: Comparison, primary: Primary, rivals: Mapping[str, Rival], beside: Beside
) -> list[dict[str, Any]]:
    """Every finding of a comparison, as plain data for the result's JSON."""
    findings = [
        *_of_setting(comparison),
        *_of_decision(primary),
        *_of_rivals(rivals),
        *_of_floors(comparison, primary),
        *_of_audit(comparison),
        *(Finding("rule_of_three", sentence) for sentence in primary.decided.statements),
        *_of_draws(primary),
        *_of_levels(comparison.scored.levels),
        *_of_point(comparison, beside),
    ]
    judged, concentrated = beside.secondary.family, beside.concentration.found
    return [
        *(finding.entry() for finding in findings),
        *(dict(note) for note in beside.asked.notes),
        *secondary.findings(judged, concentrated),
    ]


def _of_setting(comparison: Comparison) -> list[Finding]:
    findings = [Finding("model_repaired", note) for note in comparison.task.model.notes]
    unasked = comparison.task.model.unasked
    if unasked:
        sites = ", ".join(f"{name} ({reason})" for name, reason in unasked.items())
        text = f"declared by the model and not asked for: {sites}"
        findings.append(Finding("not_asked_for", text, {"not_asked": dict(unasked)}))
    if comparison.judged.identity == comparison.roles.truth.identity:
        text = "the candidate is the reference itself: that they agree proves nothing"
        findings.append(Finding("same_engine", text))
    return findings


def _of_decision(primary: Primary) -> list[Finding]:
    """The decision's own, each `name: sentence`."""
    findings = []
    for finding in primary.decided.findings:
        name, text = finding.split(": ", 1)
        findings.append(Finding(name, text))
    return findings


def _of_rivals(rivals: Mapping[str, Rival]) -> list[Finding]:
    findings = []
    for name, rival in rivals.items():
        if rival.passes:
            text = (
                f"'{name}' is equivalent too at this tolerance: "
                "it cannot tell the candidate from that"
            )
            findings.append(Finding("tolerance_passes_rival", text, {"rival": name}))
    return findings


def _of_floors(comparison: Comparison, primary: Primary) -> list[Finding]:
    """What bins, number types and Monte Carlo errors cost whoever has them."""
    scored, scores = comparison.scored, comparison.scores
    findings = []
    in_bins = "kl_density" in scores and scored.form == "bins"
    if in_bins and not primary.decided.infinite_share:
        text = (
            "{} nats of KL between densities are the price of the bins; "
            "the rest is KL between their masses"
        )
        findings.append(_floor("discretisation_floor", text, scores["kl_density"], scores["kl"]))
    hidden = unheld(scored)
    if hidden > 0:
        findings.append(_number_type(scored, hidden))
    if "kl_raw" in scores:
        text = "Monte Carlo error alone would show as {} nats between two runs; it is taken off"
        findings.append(_floor("noise_floor", text, scores["kl_raw"], scores["kl_density"]))
    return findings


def _of_audit(comparison: Comparison) -> list[Finding]:
    audit = comparison.audit
    if audit is None or audit.attrs["verdict"] != "refused":
        return []
    reasons = json.loads(str(audit.attrs["certificate"]))["reasons"]
    text = "NUTS failed its own gate in the audit: " + "; ".join(reasons)
    return [Finding("audit_inconclusive", text)]


def _of_draws(primary: Primary) -> list[Finding]:
    if primary.drawn is None:
        return []
    return [Finding(name, text) for name, text in primary.drawn.findings(primary.decided)]


def _of_levels(levels: tuple[float, ...] | None) -> list[Finding]:
    if not levels:
        return []
    some = ", ".join(f"{level:g}" for level in levels[:SHOWN_LEVELS])
    more = ", …" if len(levels) > SHOWN_LEVELS else ""
    text = (
        f"judged by its quantiles at {some}{more}: "
        "what lies between and beyond these levels is not its statement"
    )
    return [Finding("levels", text)]


def _of_point(comparison: Comparison, beside: Beside) -> list[Finding]:
    """What is not asked of a mean alone, by name."""
    scored = comparison.scored
    if scored.form != "point":
        return []
    metrics = [name for name in registry.usable("metric") if _needs_spread(name, scored)]
    checks = questions.unanswered(beside.asked, comparison.options.tests)
    names = ["coverage", *checks, *metrics]
    text = f"judged by its mean alone; not asked, since a point has no spread: {', '.join(names)}"
    return [Finding("point", text, {"not_asked": names})]


def _needs_spread(name: str, scored: Scored) -> bool:
    """Whether a metric compares a normal with the truth of a run and a point not."""
    metric = registry.load("metric", name)
    truth = scored.forms[TRUTH]
    return bool(metric.applies("normal", truth) and not metric.applies("point", truth))


def _number_type(scored: Scored, hidden: float) -> Finding:
    """Zeros that the type of the candidate's numbers may have made."""
    mass, limit = unheld_mass(scored), zero_limit(scored)
    text = (
        f"zeros of the candidate at outcomes of exact mass up to {limit:.2g} may be rounding of "
        f"its number type and are not held against it; the exact mass concerned is {mass:.2g} on "
        f"average, and may hide {hidden:.2g} nats: return log_probs, which have no such limit"
    )
    return Finding("number_type", text, {"limit": limit, "mass": mass, "hidden": hidden})


def _floor(name: str, text: str, larger: Array, smaller: Array) -> Finding:
    """A finding whose number is a mean difference over data sets, with its 95 % limits."""
    apart = np.full(larger.shape, np.nan)
    both = np.isfinite(larger) & np.isfinite(smaller)
    np.subtract(larger, smaller, out=apart, where=both)
    clusters = decision.cluster_means(apart)
    plain = bootstrap.interval(clusters[~np.isnan(clusters)]).plain()
    shown = limits.words(plain, "{:.3g}".format)
    numbers = {"value": plain.pop("estimate"), **plain}
    return Finding(name, text.format(shown), numbers)
