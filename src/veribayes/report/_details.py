"""What a doubtful reader asks for next: where the divergence comes from, other scores, the audit, provenance."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from veribayes.report import _words as words
from veribayes.report._run import Run, mapping

ROWS_SHOWN = 8
BRIEF = 200  # characters; longer values wait in the JSON
TOLD = frozenset({"rule_of_three", "tolerance_passes_rival"})  # findings that the page says itself


def details(run: Run, power: int) -> dict[str, Any]:
    """What a doubtful reader asks for next."""
    return {
        "spread": _spread(run, power),
        "curve_metric": words.metric(run.curve_metric),
        "curve_differs": run.curve_metric != run.metric,
        "concentration": _concentration(run),
        "worst": _worst(run, power),
        "asked_by_name": len(
            {str(mapping(e).get("query")) for e in run.result.get("worst") or []} - {"all"}
        )
        > 0,
        "scores": _scores(run, power),
        "audit": mapping(run.result.get("audit")),
        "audit_numbers": _audit_numbers(run),
        "provenance": _brief(run.provenance),
        "provenance_json": as_json(run.provenance),
        "task_hash": str(run.result.get("task_hash") or words.MISSING),
        "result_json": as_json(run.result),
    }


def findings(run: Run) -> list[str]:
    """What the run found beyond what the page says anyway, one sentence each."""
    found = [
        f if isinstance(f, Mapping) else {"text": str(f)} for f in run.result.get("findings") or []
    ]
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
    low, high, top = (
        words.number(float(v), power=power) for v in (*np.quantile(each, [0.5, 0.95]), each.max())
    )
    unit = run.primary.get("unit", "")
    finite = ", leaving infinite cells out" if np.isinf(scores).any() else ""
    return f"Half of the data sets lie below {low}, 95{words.THIN}% below {high}; the largest has {top} {unit}{finite}."


def _concentration(run: Run) -> str:
    """From which context size and which query most of the divergence comes."""
    curve = mapping(run.result.get("curve"))
    sizes = zip(curve.get("context") or [], curve.get("share") or [], strict=False)
    named = [
        (e.get("query"), e.get("share")) for e in map(mapping, run.result.get("by_query") or [])
    ]
    largest = [
        max(p, key=lambda pair: pair[1]) for p in (_shares(sizes), _shares(named)) if len(p) > 1
    ]
    places = [run.observations(n) if isinstance(n, int) else f"query {n}" for n, _ in largest]
    texts = [
        f"{words.share(part)} comes from {place}"
        for place, (_, part) in zip(places, largest, strict=True)
    ]
    return f"{', and '.join(texts)}." if texts else ""


def _shares(pairs: Iterable[tuple[Any, Any]]) -> list[tuple[Any, float]]:
    return [(name, float(part)) for name, part in pairs if isinstance(part, int | float)]


def _worst(run: Run, power: int) -> list[dict[str, str]]:
    """The worst data sets; a divergence without a number is infinite."""
    entries = [mapping(e) for e in run.result.get("worst") or []][:ROWS_SHOWN]
    return [
        {
            k: _worst_cell(k, entry.get(k), power)
            for k in ("index", "mean", "context", "query", "kl")
        }
        for entry in entries
    ]


def _worst_cell(name: str, value: object, power: int) -> str:
    if name in ("mean", "kl"):
        return "∞" if value is None else words.number(value, power=power)
    return words.MISSING if value is None else str(value)


def _scores(run: Run, power: int) -> list[tuple[str, str, str]]:
    """Name, estimate with interval and unit of every score beside the primary one."""
    found = {
        n: mapping(e)
        for n, e in mapping(run.result.get("scores")).items()
        if n not in (run.metric, "pit")
    }
    return [
        (_score_name(name, run.metric), _score(entry, power), _unit(entry))
        for name, entry in found.items()
    ]


def _score_name(name: str, primary: str) -> str:
    """Beside the divergence between densities, `kl` is the part of it that lies between the masses of the candidate's bins."""
    if (name, primary) == ("kl", "kl_density"):
        return "KL(exact ‖ candidate) between the masses of its bins"
    return words.metric(name)


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
    parts += (
        [f"{run.observations(found['context'])}"] if isinstance(found.get("context"), int) else []
    )
    parts += [f"{found['latents']} means"] if "latents" in found else []
    parts += [f"largest |z| {words.number(found['max_abs_z'])}"] if "max_abs_z" in found else []
    if "sd_z" in found:
        parts.append(
            f"standard deviation of z {words.number(found['sd_z'])} (1 when the Monte Carlo errors are right)"
        )
    r_hat, ess = run.array("/audit", "rank_r_hat"), run.array("/audit", "ess_bulk")
    parts += (
        [f"largest rank R-hat {np.nanmax(r_hat):.4f}"]
        if r_hat is not None and np.isfinite(r_hat).any()
        else []
    )
    parts += (
        [f"smallest bulk ESS {np.nanmin(ess):,.0f}"]
        if ess is not None and np.isfinite(ess).any()
        else []
    )
    return ", ".join(parts)


def _brief(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Plain data as (name, text) pairs, without what is too long to read in a line."""
    pairs = [
        (str(k).replace("_", " "), words.plain(v))
        for k, v in values.items()
        if v not in words.EMPTY
    ]
    return [(name, text) for name, text in pairs if 0 < len(text) <= BRIEF]


def as_json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)
