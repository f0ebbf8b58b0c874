"""What a run says beside its primary endpoint:
one family of endpoints and tests, and where the divergence concentrates.

An *endpoint* has a tolerance, as the primary one has: significantly beyond it, the candidate is
different. A *test* rejects a point null, which at large n every trained network fails: it makes a
finding and no verdict. All their p-values are one family, corrected by Holm. Each entry is plain
data for the result's JSON; sentences for the reader come out as findings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from veribayes import registry
from veribayes.predictive import Array
from veribayes.tree.plain import number
from veribayes.validation import decision, resampling, search, summaries
from veribayes.validation.checks._null import attainable, holm
from veribayes.validation.checks._test import Outcome, Test
from veribayes.validation.endpoints import Size

LEVEL = summaries.ALPHA
# times as large as elsewhere; a smaller concentration is significant at large n and helps nobody
WORTH_SAYING = 1.5
NAMED = 3  # groups in findings
KEPT = 20  # groups in the JSON
LEAST = 1e-6  # p-values below are not told apart
UNRELIABLE = "its confidence is not how often it is right"
UNCOVERED = "outcomes lie inside its regions too often or too rarely"
LIMITS = "95 % each, not corrected"


@dataclass(frozen=True, eq=False)
class Checked:
    """What was asked beside the primary endpoint, before correction.

    Attributes:
        endpoints, outcomes: by name.
        joint: scores of joint draws, by name; empty where the candidate has no joint.
        datasets: data sets that were asked again for it.
        again: how the candidate was asked again; `reason` where it was not.
        notes: findings of the asking itself.
    """

    endpoints: Mapping[str, Size] = field(default_factory=dict)
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    joint: Mapping[str, Any] = field(default_factory=dict)
    datasets: int = 0
    again: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[Mapping[str, Any], ...] = ()


def calibration(
    scores: Mapping[str, Array],
    *,
    seed: int,
    levels: Sequence[float] | None = None,
    beside: int = 0,
    unasked: str = "",
) -> tuple[dict[str, Any], dict[str, float]]:
    """Coverage, and reliability of categories; and the p-value of each.

    Args:
        levels: of a candidate that gives quantiles; other central intervals are no statement of it.
        beside: p-values of endpoints and tests with which these are one family.
        unasked: why nothing is said of regions, whatever the scores are; empty where they are asked
            for.
    """
    if unasked:
        return {"coverage": [], "reliability": None, "reason": unasked}, {}
    covered = summaries.coverage(scores, levels=levels, seed=seed)
    reliable = None
    if {"confidence", "hit"} <= set(scores):
        size = beside + len(covered) + 1
        confidence, hit = scores["confidence"], scores["hit"]
        reliable = summaries.reliability(confidence, hit, seed=seed, family=size)
    entry = {
        "coverage": [region.plain() for region in covered],
        "reliability": None if reliable is None else _plain(asdict(reliable)),
    }
    return entry, summaries.p_values(covered, reliable)


def family(checked: Checked, calibrated: Mapping[str, float], *, seed: int) -> dict[str, Any]:
    """Endpoints with their verdicts, tests, and the p-values of all of them and of the calibration,
    adjusted together.
    """
    of_endpoints = {name: size.p_value(seed) for name, size in checked.endpoints.items()}
    of_tests = {name: outcome.p_value for name, outcome in checked.outcomes.items()}
    _check_attainable(checked, calibrated)
    adjusted = holm({**of_endpoints, **of_tests, **calibrated})
    endpoints = {}
    for name, size in checked.endpoints.items():
        entry = _endpoint(size, of_endpoints[name], adjusted[name], seed)
        endpoints[name] = {**entry, "label": registry.load("endpoint", name).label}
    tests = {}
    for name, outcome in checked.outcomes.items():
        tests[name] = {**_test(outcome, adjusted[name]), "label": _question(name)}
    return {
        "level": LEVEL,
        "datasets": checked.datasets,
        "endpoints": endpoints,
        "tests": tests,
        "adjusted": {name: number(value) for name, value in adjusted.items()},
        "joint": dict(checked.joint),
        "again": dict(checked.again),
    }


def _question(check: str) -> str:
    part: Test = registry.load("check", check)
    return part.question or check.replace("_", " ")


def _check_attainable(checked: Checked, calibrated: Mapping[str, float]) -> None:
    """Every p-value of the family can come out small enough to count."""
    least = {name: outcome.least for name, outcome in checked.outcomes.items()}
    smallest = 1 / (resampling.REPLICATES + 1)
    for name, endpoint in checked.endpoints.items():
        least[name] = max(1, len(endpoint.variants)) * smallest
    size = len(least) + len(calibrated)
    for name in calibrated:
        least[name] = summaries.least(name, size)
    attainable(LEVEL, least)


def _endpoint(size: Size, p: float, adjusted: float, seed: int) -> dict[str, Any]:
    """An endpoint's entry: `different` only where the family allows it."""
    decided = decision.decide(
        size.values,
        tolerance=size.tolerance,
        reference_error=size.reference_error,
        seed=seed,
        worst=0.0,  # it can only veto, and nothing is known that bounds it
        fewest=decision.FEWEST_SECONDARY,
    )
    verdict = decided.verdict
    if verdict != "equivalent":
        verdict = "different" if adjusted <= LEVEL else "undecided"
    entry = {
        "verdict": verdict,
        **decided.plain(),
        "upper": number(decided.upper),
        "tolerance": size.tolerance,
        "unit": size.unit,
        "datasets": decided.clusters,
        "not_excluded": decision.missed_share(decided.clusters),
        "infinite_share": decided.infinite_share,
        "p_value": p,
        "adjusted": adjusted,
    }
    if size.variants:
        entry["variants"] = {name: number(mean) for name, mean in size.variants.items()}
        entry["variant"] = max(size.variants, key=size.variants.__getitem__)
    return entry


def _test(outcome: Outcome, adjusted: float) -> dict[str, Any]:
    parts = outcome.components
    return {
        "statistic": number(outcome.statistic),
        "p_value": outcome.p_value,
        "adjusted": adjusted,
        "n": outcome.n,
        "worst": min(parts, key=parts.__getitem__) if parts else None,
    }


def overall(primary: decision.Verdict, judged: Mapping[str, Any]) -> decision.Verdict:
    """The verdict of a run: different where a secondary endpoint is, else what the primary endpoint
    says.
    """
    return "different" if _beyond(judged) else primary


def _beyond(judged: Mapping[str, Any]) -> list[str]:
    endpoints = judged["endpoints"]
    return [name for name in endpoints if endpoints[name]["verdict"] == "different"]


def concentration(shown: Array, groups: Mapping[str, search.Mask], *, seed: int) -> dict[str, Any]:
    """The groups in which the divergence is largest against the rest; `searched` is how many share
    the correction.
    """
    datasets = next(iter(groups.values())).shape[0] if groups else 0
    found = search.concentration(shown[:datasets], groups, seed=seed) if datasets else ()
    rows = []
    for group in found[:KEPT]:
        columns = asdict(group)
        rows.append(_plain({"group": columns.pop("name"), **columns}))
    return {"searched": len(found), "datasets": datasets, "groups": rows}


def findings(judged: Mapping[str, Any], concentrated: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is significant after correction: endpoints, tests, calibration, concentrations."""
    entries = []
    for name in _beyond(judged):
        text = _beyond_text(name, judged["endpoints"][name])
        entries.append({"name": "beyond_tolerance", "text": text, "by": name})
    for names in _rejected(judged):
        text = _rejected_text(names, judged)
        entries.append({"name": "rejected", "text": text, "by": names[0]})
    searched = concentrated["searched"]
    worth = [group for group in concentrated["groups"] if _worth_saying(group)]
    places = [{"name": "concentration", "text": _where(g, searched)} for g in worth[:NAMED]]
    return [*entries, *places]


def _rejected(judged: Mapping[str, Any]) -> list[list[str]]:
    """Names of the tests that reject; coverage is one thing that is seen at several levels."""
    rejected, covered = [], []
    for name, p in judged["adjusted"].items():
        if name in judged["endpoints"] or (p or 0.0) > LEVEL:
            continue
        if "coverage" in name:
            covered.append(name)
        else:
            rejected.append([name])
    return [*rejected, covered] if covered else rejected


def _worth_saying(group: Mapping[str, Any]) -> bool:
    significant: bool = group["p_value"] <= LEVEL
    return significant and (group["ratio"] or 0.0) >= WORTH_SAYING


def _beyond_text(name: str, e: Mapping[str, Any]) -> str:
    size = "infinite" if e["estimate"] is None else f"{e['estimate']:.3g}"
    unit = "" if e["unit"] == "1" else f" {e['unit']}"
    way = f" ({e['variant']})" if "variant" in e else ""
    about = registry.load("endpoint", name).about
    return f"{name}{way} is {size}{unit}, tolerance {e['tolerance']:.3g}: {about}"


def _rejected_text(names: list[str], judged: Mapping[str, Any]) -> str:
    worst = judged["tests"].get(names[0], {}).get("worst")
    part = f" ({worst})" if worst else ""
    p = min(judged["adjusted"][name] for name in names)
    size = f"= {p:.2g}" if p >= LEAST else f"< {LEAST:g}"
    subject = f"{', '.join(names)}{part}: {_meaning(names[0])}"
    return f"{subject}; p {size}, by Holm over {len(judged['adjusted'])}"


def _meaning(rejected: str) -> str:
    """What it says of a candidate that this null is rejected."""
    if rejected in registry.names("check"):
        part: Test = registry.load("check", rejected)
        return part.about or f"it is not so that {part.null}"
    return UNRELIABLE if rejected == "reliability" else UNCOVERED


def _where(group: Mapping[str, Any], searched: int) -> str:
    size = (
        f"the divergence is {group['ratio']:.2g} times as large as elsewhere "
        f"(at least {group['low']:.2g})"
    )
    part = f"{group['share']:.0%} of it on {group['weight']:.0%} of the predictions"
    significance = f"p = {group['p_value']:.2g}, adjusted for the {searched} groups searched"
    return f"{group['group']}: {size}, {part}; {significance}"


def multiplicity(
    contexts: int, queries: int, judged: Mapping[str, Any], concentrated: Mapping[str, Any]
) -> dict[str, str]:
    """What each number of the result is corrected for."""
    names = judged["adjusted"]
    by_query = f"simultaneous 95 % over {queries} queries (maxT)"
    return {
        "primary": "one endpoint, fixed in the task; two-sided 95 %",
        "secondary": f"Holm over {len(names)} p-values at {LEVEL:g}: {', '.join(names)}",
        "curve": f"simultaneous 95 % over {contexts} context sizes (maxT)",
        "by_query": by_query if queries else "not divided",
        "concentration": f"maxT over {concentrated['searched']} groups",
        "scores": LIMITS,
        "rivals": LIMITS,
    }


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON of numbers, names and arrays."""
    plain: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, np.ndarray):
            plain[name] = [number(entry) for entry in value]
        else:
            plain[name] = number(value) if isinstance(value, float) else value
    return plain
