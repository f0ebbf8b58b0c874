"""What a run says beside its verdict: calibration, where the divergence concentrates, and how many things were looked at.

None of this decides. Each entry is plain data for the result's JSON; sentences for the reader come out as findings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from veribayes.predictive import Array
from veribayes.store import number
from veribayes.validation import search, summaries

LEVEL = 0.05
WORTH_SAYING = 1.5  # times as large as elsewhere; a smaller concentration is significant at large n and helps nobody
NAMED = 3  # groups in findings
KEPT = 20  # groups in the JSON


def calibration(scores: Mapping[str, Array], *, seed: int) -> dict[str, Any]:
    """Coverage, and reliability of categories, with Holm-adjusted p-values of all of them together."""
    covered = summaries.coverage(scores, seed=seed)
    reliable = None
    if "confidence" in scores:
        reliable = summaries.reliability(scores["confidence"], scores["hit"], seed=seed)
    adjusted = summaries.secondary(covered, reliable)
    return {
        "coverage": [{k: v if k == "kind" else number(v) for k, v in asdict(c).items()} for c in covered],
        "reliability": None if reliable is None else _plain(asdict(reliable)),
        "adjusted": {name: number(p) for name, p in adjusted.items()},
    }


def concentration(shown: Array, groups: Mapping[str, search.Mask], *, seed: int) -> dict[str, Any]:
    """The groups in which the divergence is largest against the rest; `searched` is how many share the correction."""
    some = next(iter(groups.values())).shape[0] if groups else 0
    found = search.concentration(shown[:some], groups, seed=seed) if some else ()
    rows = [{"group" if k == "name" else k: v for k, v in asdict(f).items()} for f in found[:KEPT]]
    return {"searched": len(found), "datasets": some, "groups": [_plain(row) for row in rows]}


def findings(calibrated: Mapping[str, Any], concentrated: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, sentence) of what is significant after correction."""
    wrong = [name for name, p in calibrated["adjusted"].items() if p is not None and p <= LEVEL]
    sentences = [("miscalibrated", f"{', '.join(wrong)} (Holm-adjusted p at most {LEVEL:g})")] if wrong else []
    worth = [g for g in concentrated["groups"] if g["p_value"] <= LEVEL and (g["ratio"] or 0.0) >= WORTH_SAYING]
    return sentences + [("concentration", _where(g, concentrated["searched"])) for g in worth[:NAMED]]


def _where(group: Mapping[str, Any], searched: int) -> str:
    return (
        f"{group['group']}: the divergence is {group['ratio']:.2g} times as large as elsewhere (at least {group['low']:.2g}), "
        f"{group['share']:.0%} of it on {group['weight']:.0%} of the predictions; p = {group['p_value']:.2g}, adjusted for the "
        f"{searched} groups searched"
    )


def multiplicity(contexts: int, queries: int, calibrated: Mapping[str, Any], concentrated: Mapping[str, Any]) -> dict[str, str]:
    """What each number of the result is corrected for."""
    return {
        "primary": "one endpoint, fixed in the task; two-sided 95 %",
        "curve": f"simultaneous 95 % over {contexts} context sizes (maxT)",
        "by_query": f"simultaneous 95 % over {queries} queries (maxT)" if queries else "not divided",
        "calibration": f"Holm over {len(calibrated['adjusted'])} p-values",
        "concentration": f"maxT over {concentrated['searched']} groups",
        "scores": "95 % each, not corrected",
        "rivals": "95 % each, not corrected",
    }


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON of numbers, names and arrays."""
    return {k: [number(x) for x in v] if isinstance(v, np.ndarray) else number(v) if isinstance(v, float) else v
            for k, v in values.items()}  # fmt: skip
