"""What a run says beside its primary endpoint: one family of endpoints and tests, and where the divergence concentrates.

An *endpoint* has a tolerance, as the primary one has: significantly beyond it, the candidate is different. A *test* rejects a
point null, which at large n every trained network fails: it makes a finding and no verdict. All their p-values are one
family, corrected by Holm. Each entry is plain data for the result's JSON; sentences for the reader come out as findings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from veribayes.predictive import Array
from veribayes.storage.store import number
from veribayes.validation import bootstrap, decision, search, summaries
from veribayes.validation.checks._null import attainable, holm
from veribayes.validation.checks._test import Outcome

LEVEL = summaries.ALPHA
WORTH_SAYING = 1.5  # times as large as elsewhere; a smaller concentration is significant at large n and helps nobody
NAMED = 3  # groups in findings
KEPT = 20  # groups in the JSON
LEAST = 1e-6  # p-values below are not told apart
MEANINGS = {
    "joint_kl": "the queries of a data set are wrong together, whatever each is alone",
    "leaked_mass": "its posterior has mass where the model allows none",
    "latent_kl": "its posterior of the latents is another",
    "repeatability": "asked the same again, it gives another answer",
    "batch_dependence": "its answer to a data set depends on what else is in the batch",
    "order_dependence": "its answers depend on the order of the context, which exact Bayes ignores",
    "pit_uniform": "outcomes do not fall where it says",
    "e_process": "a bettor who knows the exact predictive wins against it",
    "rosenblatt": "its joint draws are not those of the exact predictive",
    "martingale": "its answers drift on continuations that it draws itself: no prior explains them",
    "reliability": "its confidence is not how often it is right",
}


@dataclass(frozen=True, eq=False)
class Endpoint:
    """A size with a tolerance.

    Attributes:
        values: one a data set, (dataset,).
        reference_error: bound on what the reference's error adds to their mean.
        variants: means of all ways in which it was asked, by name; `values` are those of the largest. Its p-value is multiplied
            by their number (Bonferroni).
    """

    values: Array
    tolerance: float
    unit: str
    reference_error: float = 0.0
    variants: Mapping[str, float] = field(default_factory=dict)

    @staticmethod
    def largest(ways: Mapping[str, Array], tolerance: float, unit: str) -> Endpoint:
        """The endpoint of several ways to ask one question, values (dataset,) each."""
        means = {name: float(values.mean()) for name, values in ways.items()}
        return Endpoint(ways[max(means, key=means.__getitem__)], tolerance, unit, variants=means)

    def p_value(self, seed: int) -> float:
        """Of the null that no mean is beyond the tolerance; not corrected for other endpoints."""
        p = decision.exceeds(
            self.values, tolerance=self.tolerance, reference_error=self.reference_error, seed=seed
        )
        return min(1.0, max(1, len(self.variants)) * p)


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

    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
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
) -> tuple[dict[str, Any], dict[str, float]]:
    """Coverage, and reliability of categories; and the p-value of each.

    Args:
        levels: of a candidate that gives quantiles; other central intervals are no statement of it.
        beside: p-values of endpoints and tests with which these are one family.
    """
    covered = summaries.coverage(scores, levels=levels, seed=seed)
    reliable = None
    if "confidence" in scores:
        size = beside + len(covered) + 1
        reliable = summaries.reliability(
            scores["confidence"], scores["hit"], seed=seed, family=size
        )
    entry = {
        "coverage": [c.plain() for c in covered],
        "reliability": None if reliable is None else _plain(asdict(reliable)),
    }
    return entry, summaries.p_values(covered, reliable)


def family(checked: Checked, calibrated: Mapping[str, float], *, seed: int) -> dict[str, Any]:
    """Endpoints with their verdicts, tests, and the p-values of all of them and of the calibration, adjusted together."""
    p = {name: e.p_value(seed) for name, e in checked.endpoints.items()}
    _check_attainable(checked, calibrated)
    adjusted = holm(
        {**p, **{name: o.p_value for name, o in checked.outcomes.items()}, **calibrated}
    )
    endpoints = {n: _endpoint(e, p[n], adjusted[n], seed) for n, e in checked.endpoints.items()}
    return {
        "level": LEVEL,
        "datasets": checked.datasets,
        "endpoints": endpoints,
        "tests": {name: _test(o, adjusted[name]) for name, o in checked.outcomes.items()},
        "adjusted": {name: number(value) for name, value in adjusted.items()},
        "joint": dict(checked.joint),
        "again": dict(checked.again),
    }


def _check_attainable(checked: Checked, calibrated: Mapping[str, float]) -> None:
    """Every p-value of the family can come out small enough to count."""
    least = {name: o.least for name, o in checked.outcomes.items()}
    smallest = 1 / (bootstrap.REPLICATES + 1)
    least |= {name: max(1, len(e.variants)) * smallest for name, e in checked.endpoints.items()}
    size = len(least) + len(calibrated)
    attainable(LEVEL, least | {name: summaries.least(name, size) for name in calibrated})


def _endpoint(e: Endpoint, p: float, adjusted: float, seed: int) -> dict[str, Any]:
    """An endpoint's entry: `different` only where the family allows it."""
    found = decision.decide(
        e.values,
        tolerance=e.tolerance,
        reference_error=e.reference_error,
        seed=seed,
        worst=0.0,  # it can only veto, and nothing is known that bounds it
        fewest=decision.FEWEST_SECONDARY,
    )
    beyond = "different" if adjusted <= LEVEL else "undecided"
    verdict = found.verdict if found.verdict == "equivalent" else beyond
    size = {"datasets": found.clusters, "not_excluded": decision.missed_share(found.clusters)}
    significance = {"infinite_share": found.infinite_share, "p_value": p, "adjusted": adjusted}
    limits = {
        "verdict": verdict,
        **found.plain(),
        "upper": number(found.upper),
        "tolerance": e.tolerance,
        "unit": e.unit,
    }
    entry = {**limits, **size, **significance}
    if not e.variants:
        return entry
    variants = {name: number(mean) for name, mean in e.variants.items()}
    return {**entry, "variants": variants, "variant": max(e.variants, key=e.variants.__getitem__)}


def _test(outcome: Outcome, adjusted: float) -> dict[str, Any]:
    parts = outcome.components
    worst = min(parts, key=parts.__getitem__) if parts else None
    return {"statistic": number(outcome.statistic), "p_value": outcome.p_value, "adjusted": adjusted,
            "n": outcome.n, "worst": worst}  # fmt: skip


def overall(primary: decision.Verdict, judged: Mapping[str, Any]) -> decision.Verdict:
    """The verdict of a run: different where a secondary endpoint is, else what the primary endpoint says."""
    return "different" if _beyond(judged) else primary


def _beyond(judged: Mapping[str, Any]) -> list[str]:
    return [name for name, e in judged["endpoints"].items() if e["verdict"] == "different"]


def concentration(shown: Array, groups: Mapping[str, search.Mask], *, seed: int) -> dict[str, Any]:
    """The groups in which the divergence is largest against the rest; `searched` is how many share the correction."""
    some = next(iter(groups.values())).shape[0] if groups else 0
    found = search.concentration(shown[:some], groups, seed=seed) if some else ()
    rows = [{"group" if k == "name" else k: v for k, v in asdict(f).items()} for f in found[:KEPT]]
    return {"searched": len(found), "datasets": some, "groups": [_plain(row) for row in rows]}


def findings(judged: Mapping[str, Any], concentrated: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is significant after correction: endpoints, tests, calibration, concentrations."""
    found = [{"name": "beyond_tolerance", "text": _beyond_text(name, judged["endpoints"][name]), "by": name}
             for name in _beyond(judged)]  # fmt: skip
    rejected = [
        n
        for n, p in judged["adjusted"].items()
        if n not in judged["endpoints"] and (p or 0.0) <= LEVEL
    ]
    covered = [n for n in rejected if "coverage" in n]  # one thing, seen at several levels
    groups = [[n] for n in rejected if n not in covered] + ([covered] if covered else [])
    found += [
        {"name": "rejected", "text": _rejected_text(names, judged), "by": names[0]}
        for names in groups
    ]
    worth = [
        g
        for g in concentrated["groups"]
        if g["p_value"] <= LEVEL and (g["ratio"] or 0.0) >= WORTH_SAYING
    ]
    searched = concentrated["searched"]
    return found + [{"name": "concentration", "text": _where(g, searched)} for g in worth[:NAMED]]


def _beyond_text(name: str, e: Mapping[str, Any]) -> str:
    size = "infinite" if e["estimate"] is None else f"{e['estimate']:.3g}"
    unit = "" if e["unit"] == "1" else f" {e['unit']}"
    way = f" ({e['variant']})" if "variant" in e else ""
    return f"{name}{way} is {size}{unit}, tolerance {e['tolerance']:.3g}: {MEANINGS[name]}"


def _rejected_text(names: list[str], judged: Mapping[str, Any]) -> str:
    worst = judged["tests"].get(names[0], {}).get("worst")
    meaning = MEANINGS.get(names[0], "outcomes lie inside its regions too often or too rarely")
    part, p = f" ({worst})" if worst else "", min(judged["adjusted"][n] for n in names)
    size = f"= {p:.2g}" if p >= LEAST else f"< {LEAST:g}"
    return f"{', '.join(names)}{part}: {meaning}; p {size}, by Holm over {len(judged['adjusted'])}"


def _where(group: Mapping[str, Any], searched: int) -> str:
    return (
        f"{group['group']}: the divergence is {group['ratio']:.2g} times as large as elsewhere (at least {group['low']:.2g}), "
        f"{group['share']:.0%} of it on {group['weight']:.0%} of the predictions; p = {group['p_value']:.2g}, adjusted for the "
        f"{searched} groups searched"
    )


def multiplicity(
    contexts: int, queries: int, judged: Mapping[str, Any], concentrated: Mapping[str, Any]
) -> dict[str, str]:
    """What each number of the result is corrected for."""
    return {
        "primary": "one endpoint, fixed in the task; two-sided 95 %",
        "secondary": f"Holm over {len(judged['adjusted'])} p-values at {LEVEL:g}: {', '.join(judged['adjusted'])}",
        "curve": f"simultaneous 95 % over {contexts} context sizes (maxT)",
        "by_query": f"simultaneous 95 % over {queries} queries (maxT)"
        if queries
        else "not divided",
        "concentration": f"maxT over {concentrated['searched']} groups",
        "scores": "95 % each, not corrected",
        "rivals": "95 % each, not corrected",
    }


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON of numbers, names and arrays."""
    return {k: [number(x) for x in v] if isinstance(v, np.ndarray) else number(v) if isinstance(v, float) else v
            for k, v in values.items()}  # fmt: skip
