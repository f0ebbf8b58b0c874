"""Endpoints of a candidate that is asked again: does it repeat itself, do batch or order move it?

All are in the unit of the primary endpoint and have its tolerance. `again` says how the candidate is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from veribayes import registry
from veribayes.predictive import Array, Predictive
from veribayes.validation import again, decision
from veribayes.validation.case import Case, Primary
from veribayes.validation.secondary import Endpoint

RECORDED = "recorded predictions cannot be asked again: whether batch, order or asking twice change them is not known"


def repeatability(case: Case) -> Endpoint | None:
    """Half the divergence of two answers to one request; and what is lost against the truth since the answer was scored."""
    if case.measured is None:
        return None
    _, answers, changes = case.measured
    ways = {"asked twice": changes.repeat}
    before = case.scores.get(f"{case.primary.metric}_raw", case.scores.get(case.primary.metric))
    later = None if answers.scored is None else _divergence(case, answers.scored)
    if before is not None and later is not None:
        ways["since it was scored"] = _lost(later, before[: len(later), case.asked_positions])
    return _of_ways(case, ways)


def batch_dependence(case: Case) -> Endpoint | None:
    """What another batch changes beyond its noise; and what answers to one data set alone lose against the truth."""
    if case.measured is None:
        return None
    _, answers, changes = case.measured
    ways = dict(changes.batch)
    alone, together = (_divergence(case, side) for side in (answers.alone, answers.first))
    if alone is not None and together is not None:
        ways["alone, against the truth"] = _lost(alone, together[: len(alone)])
    return _of_ways(case, ways)


def order_dependence(case: Case) -> Endpoint | None:
    """What a permutation of the context changes beyond its noise, at the middle and the largest size."""
    if case.measured is None or case.measured[2].order is None:
        return None
    return _of_defined(case.measured[2].order, case.primary)


def _of_ways(case: Case, ways: Mapping[str, Array]) -> Endpoint | None:
    """The way that changes most; data sets in which nothing is asked say nothing."""
    defined = {name: _defined(values) for name, values in ways.items()}
    asked = {name: values for name, values in defined.items() if values.size}
    return Endpoint.largest(asked, case.primary.tolerance, case.primary.unit) if asked else None


def _of_defined(values: Array, primary: Primary) -> Endpoint | None:
    means = _defined(values)
    return Endpoint(means, primary.tolerance, primary.unit) if means.size else None


def _divergence(case: Case, answers: Predictive) -> Array | None:
    """Primary divergence of answers about the first data sets, (dataset, position, query); None where it has no such kernel."""
    name = case.primary.metric
    if case.exact is None or name not in registry.names("metric"):
        return None
    rows, metric = answers.shape[0], registry.load("metric", name)
    truth = case.exact[:rows]
    if not metric.applies(answers.form, truth.form):
        return None
    outcome = case.simulation.outcome[:rows, case.asked_positions]
    return np.asarray(
        metric.score(answers, truth, outcome, index=case.simulation.data.index[:rows])
    )


def _lost(later: Array, before: Array) -> Array:
    """By how much answers are further from the truth than others were, (dataset,); nothing where those were infinitely far."""
    known = np.isfinite(before)
    change = np.where(np.isnan(before), np.nan, 0.0)
    return decision.cluster_means(np.subtract(later, before, out=change, where=known))


def _defined(means: Array) -> Array:
    """Of the data sets in which something was asked."""
    return means[~np.isnan(means)]


def how(case: Case) -> dict[str, Any]:
    """How the candidate was asked again, for the JSON; `reason` where it was not."""
    return {"reason": RECORDED} if case.measured is None else again.summary(*case.measured)


def notes(case: Case) -> list[dict[str, Any]]:
    """Findings that are no endpoint: it cannot be asked, it does not keep to its seed, its seeds scatter."""
    if case.measured is None:
        return [{"name": "not_asked_again", "text": RECORDED}]
    requests, _, changes = case.measured
    if not requests.candidate.takes_seed:
        return []
    broken = {
        "name": "seed_not_repeated",
        "text": "it takes a seed, and one seed gives two answers",
    }
    return [*([] if changes.exact else [broken]), *_scatter(_defined(changes.noise), case.primary)]


def _scatter(noise: Array, primary: Primary) -> list[dict[str, Any]]:
    if not noise.size or noise.mean() <= primary.tolerance:
        return []
    size = f"{noise.mean():.3g} {primary.unit}" if np.isfinite(noise.mean()) else "infinitely"
    text = (
        f"its answers under two seeds scatter by {size}, tolerance {primary.tolerance:.3g}: noise"
    )
    return [{"name": "seed_noise", "text": text}]
