"""Which algorithm is it: the name that divergences from known predictors give to a candidate,
or that none does.

The nearest predictor i names the candidate when

    the candidate is equivalent to i within the tolerance (the three-way decision of `verify`), and
    no rival j that differs from i by more than the tolerance explains it as well: the lower limit
    of the mean of KL(j || candidate) - KL(i || candidate) exceeds 10 % of KL(j || i), its value if
    the candidate were i itself. Where i calls things impossible that j does not, like maximum
    likelihood, that is infinite, and KL(i || j) takes its place; where both do, the tolerance.

A plain paired test, without that share, gives a name to a candidate half way between two in 7 to 15
% of cases. A nearest predictor that is itself too far away is "none of these". Predictors nearer to
i than the tolerance share the name. Limits are 95 %.

An infinite divergence orders nothing. Where KL is infinite for some predictors and none of the
others is near, all are compared by the Jensen-Shannon divergence, which is finite and to third
order a quarter of KL, against a quarter of the tolerance. A name that comes out so is given with
that reason; exact Bayes, the first of the predictors, never is, since it calls nothing impossible
that can happen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from veribayes.predictive import Array
from veribayes.tree.plain import number
from veribayes.validation import bootstrap, nearness
from veribayes.validation.nearness import Distances, Lead

BAYES = 0  # the number of the exact predictor
EXIT_CODES = {"bayes": 0, "other": 1, "none": 1, "undecided": 3}


def exit_code(entry: Mapping[str, Any]) -> int:
    """0: exact Bayes, or something that cannot be told from it; 1: something else, or none of
    these; 3: undecided.
    """
    return EXIT_CODES[entry["conclusion"]]


def conclude(
    names: Sequence[str], measured: Sequence[Distances], chosen: Distances, seed: int
) -> dict[str, Any]:
    """The name, on the mean over context lengths.

    Args:
        names: of the predictors, exact Bayes first.
        measured: in the endpoint's metric, and in JS where that is infinite anywhere.
        chosen: the one of these that orders the predictors (`nearness.ordering`).
    """
    best = nearness.nearest(chosen.clusters.mean(1))
    assert best is not None  # the metric that orders the predictors is finite for one of them
    same, others = nearness.split(chosen.apart[..., -1], best, chosen.tolerance)
    fit = nearness.fit(chosen, best, seed)
    leads = [nearness.lead(chosen, best, rival, seed) for rival in others]
    unbeaten = [lead for lead in leads if not lead.beaten]
    reason = _reason(measured, chosen)
    bayes = BAYES in (best, *same)
    conclusion = _conclusion(fit, not unbeaten, bayes, bool(reason))
    following = min(leads, key=lambda lead: lead.estimate, default=None)
    sharing = [names[j] for j in same]
    rivals = [names[lead.rival] for lead in unbeaten]
    sentence = _sentence(conclusion, fit == "different", names[best], sharing, rivals)
    return {
        "conclusion": conclusion,
        "nearest": names[best],
        "bayes": names[BAYES],
        "fit": {**mean_limits(chosen.clusters[best], seed), "verdict": fit},
        "indistinguishable": sharing,
        "reason": reason,
        "runner_up": None if following is None else _lead_entry(names, following),
        "rivals": [_lead_entry(names, lead) for lead in leads],
        "sentence": f"{sentence} ({reason})" if reason else sentence,
    }


def mean_limits(clusters: Array, seed: int) -> dict[str, Any]:
    """Mean with its limits; null where it is infinite."""
    if not np.isfinite(clusters).all():
        return {"estimate": None, "low": None, "high": None}
    return bootstrap.interval(clusters, seed=seed).plain()


def _lead_entry(names: Sequence[str], lead: Lead) -> dict[str, Any]:
    return {
        "name": names[lead.rival],
        "estimate": number(lead.estimate),
        "low": number(lead.low),
        "high": number(lead.high),
        "needed": number(lead.needed),
        "infinite": math.isinf(lead.estimate),
        "beaten": lead.beaten,
    }


def _reason(measured: Sequence[Distances], chosen: Distances) -> str:
    """Why the predictors are ordered by another metric than the endpoint's; empty where they are
    not.
    """
    first = measured[0]
    if chosen is first:
        return ""
    infinite = np.isinf(first.clusters)
    if infinite.any(1).all():
        share = infinite.mean(1).min()
        which = f"every predictor, in {share:.0%} or more of the data sets"
    else:
        which = "some predictors, and the others are beyond the tolerance"
    return (
        f"KL is infinite for {which}: the candidate calls impossible what they do not, so that all "
        "are compared by Jensen-Shannon divergence"
    )


def _conclusion(fit: str, beaten: bool, bayes: bool, excluded: bool) -> str:
    """Exact Bayes is `excluded` where the candidate calls impossible what is not."""
    if fit == "different":
        return "none"
    if fit == "undecided" or not beaten:
        return "undecided"
    if bayes:
        return "none" if excluded else "bayes"
    return "other"


def _sentence(
    conclusion: str, far: bool, name: str, sharing: Sequence[str], rivals: Sequence[str]
) -> str:
    """What is said to a reader.

    Args:
        far: whether the nearest predictor is beyond the tolerance.
        sharing: predictors that the tolerance does not tell from it.
        rivals: predictors that are not separated from it.
    """
    if conclusion == "none" and far:
        return f"none of these: the nearest, {name}, is farther away than the tolerance"
    if conclusion == "none":
        return (
            f"none of these: {name} is nearest and within the tolerance, but calls nothing "
            "impossible"
        )
    if conclusion == "undecided":
        unseparated = f", not separated from {', '.join(rivals)}" if rivals else ""
        return f"undecided: nearest to {name}{unseparated}"
    same = f", which the tolerance does not tell from {', '.join(sharing)}" if sharing else ""
    return f"{name}{same}"
