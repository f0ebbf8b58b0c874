"""The verdict with its numbers, what it rests on, what it cannot see, and findings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from veribayes.report import _words as words
from veribayes.report._rivals import multiple, rows
from veribayes.report._run import Run, mapping
from veribayes.report._section import Section, shipped_template

TOLD = frozenset({"rule_of_three", "tolerance_passes_rival"})  # findings that the page says itself


def prepare(run: Run, salt: str) -> Mapping[str, Any]:
    del salt  # no figure
    primary, power = run.primary, run.power
    upper = words.number(primary.get("upper"), power=power) if _quotable(primary) else ""
    infinite_share = primary.get("infinite_share")
    rivals = rows(run)
    return {
        "candidate": run.candidate,
        "given": _given(run),
        "verdict": words.verdict(run.result),
        "meaning": words.explain(run.result),
        "metric": words.metric(run.metric),
        "unit": run.unit,
        "divergence": words.interval(primary, power),
        "tolerance": words.number(primary.get("tolerance"), power=power),
        "multiple": multiple(primary),
        "recovery": words.percent(run.recovery),
        "datasets": words.count(run.result.get("datasets")),
        "detectable": words.number(primary.get("minimum_detectable"), power=power),
        "infinite": words.share(infinite_share) if infinite_share else "",
        "upper": upper,
        "settle": words.settle(primary, power),
        "unseen": words.unseen(run.result.get("datasets")),
        "passing": [row.name for row in rivals if row.verdict.word == "equivalent"],
        "has_rivals": bool(rivals),
        "findings": _findings(run),
    }


def _quotable(primary: Mapping[str, Any]) -> bool:
    """Whether the limit that equivalence is judged by says something to a reader.

    It does not where the sample supports no limit.
    """
    decisive = primary.get("verdict") == "equivalent"
    return primary.get("upper") is not None and (decisive or not primary.get("reason"))


def _given(run: Run) -> str:
    """On which contexts, where these were given."""
    given = mapping(run.result.get("contexts"))
    if not given:
        return ""
    return f"on the {words.count(given.get('datasets'))} contexts of {given.get('file')}"


def _findings(run: Run) -> list[str]:
    """What the run found beyond what the page says anyway, one sentence each."""
    sentences = []
    for finding in run.result.get("findings") or []:
        if not isinstance(finding, Mapping):
            sentences.append(str(finding))
        elif finding.get("name") not in TOLD:
            sentences.append(_finding(mapping(finding)))
    return sentences


def _finding(finding: Mapping[str, Any]) -> str:
    name = str(finding.get("name", "")).replace("_", " ")
    text = str(finding.get("text", finding.get("message", "")))
    return ": ".join(filter(None, [name, text]))


PART = Section(order=20, template=shipped_template("verdict.html"), prepare=prepare)
