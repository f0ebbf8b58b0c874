"""Which algorithm is it? The candidate against every named predictor of the task, at each context length and overall.

Nearness is the mean divergence of the predictor from the candidate, KL(predictor || candidate) for a candidate with a density,
with data sets as the only unit of replication. The nearest predictor i names the candidate when

    the candidate is equivalent to i within the tolerance (the three-way decision of `verify`), and
    no rival j that differs from i by more than the tolerance explains it as well: the lower limit of the mean of
    KL(j || candidate) - KL(i || candidate) exceeds 10 % of KL(j || i), its value if the candidate were i itself. Where i calls
    things impossible that j does not, like maximum likelihood, that is infinite, and KL(i || j) takes its place; where both do,
    the tolerance.

A plain paired test, without that share, gives a name to a candidate half way between two in 7 to 15 % of cases. A nearest
predictor that is itself too far away is "none of these". Predictors nearer to i than the tolerance share the name. Limits are
95 %, and simultaneous over context lengths.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from veribayes import predictors, registry, results, store
from veribayes.candidates import Candidate
from veribayes.errors import InputError
from veribayes.models._task import Task
from veribayes.predictive import Array, Predictive
from veribayes.predictors import Predictor
from veribayes.validation import bootstrap, decision, stability

SCHEMA = "veribayes.identify/1"
ROUNDING = 1e-12  # nats; of predictors that coincide at a position the first one is named
SHARE = 0.1  # of two predictors' separation, which the difference between them has to exceed
FIT_DATASETS = 100  # on the stream `audit`, for step sizes and pseudo-counts
EXIT_CODES = {"bayes": 0, "other": 1, "none": 1, "undecided": 3}

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Distances:
    """Mean divergence by data set and position; the last axis but one of `apart` is what plays the truth.

    Attributes:
        near: KL(predictor || candidate), (predictor, dataset, position).
        apart: mean KL(row || column) between predictors, (predictor, predictor, position + 1): overall last.
        clusters: `near` averaged over positions, (predictor, dataset).
    """

    near: Array
    apart: Array
    clusters: Array


def identify(
    task: Task,
    judged: Candidate,
    *,
    datasets: int = 500,
    seed: int = 0,
    against: Sequence[str] = (),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Name the algorithm behind a candidate.

    Args:
        task: with its tolerance.
        judged: the candidate.
        datasets: of the stream `verify`; fitted options come from 100 others, of the stream `audit`.
        against: further engines to consider, planted defects for example.
        progress: called with the share of the comparisons that is done, as a number of data sets.

    Returns:
        The JSON entry: conclusion, name, shares, one row a predictor, one a context length.

    Raises:
        ReferenceRefused: exact Bayes did not earn trust.
        InputError: fewer than two data sets, or an engine that does not exist.
    """
    if datasets < 2:
        raise InputError("at least two data sets", f"{datasets}")
    found = predictors.known(task, against)
    if judged.kind != "predictions":  # what was recorded was recorded for the data sets of the comparison alone
        found = _fitted(task, judged, found, seed)
    distances, unit = _distances(task, judged, found, datasets, seed, progress)
    tolerance = unit.tolerance
    overall = _conclude(found, distances, tolerance, seed)
    return {
        "task": task.name,
        "task_hash": task.hash,
        "candidate": judged.name,
        "candidate_kind": judged.kind,
        "datasets": datasets,
        "seed": seed,
        "metric": unit.metric,
        "unit": unit.unit,
        "tolerance": tolerance,
        **overall,
        "predictors": _rows(task, found, distances, seed),
        "by_context": _by_context(task, found, distances, tolerance, seed),
    }


def exit_code(entry: dict[str, Any]) -> int:
    """0: exact Bayes, or something that cannot be told from it; 1: something else, or none of these; 3: undecided."""
    return EXIT_CODES[entry["conclusion"]]


def _fitted(task: Task, judged: Candidate, found: list[Predictor], seed: int) -> list[Predictor]:
    """The predictors with their free numbers, from data sets of their own."""
    simulation = task.simulate(range(FIT_DATASETS), seed=seed, stream="audit")
    said = judged.infer(task, simulation.data, seed).predictive
    metric = registry.load("metric", results.endpoint(task, said.form).metric)

    def loss(guess: Predictive, position: int) -> float:
        outcome = simulation.outcome[:, position]
        scores = metric.score(said[:, [position]], guess[:, None], outcome[:, None])
        return float(decision.cluster_means(scores).mean())

    return [p.fit(task, simulation.data, loss, seed) for p in found]


def _distances(
    task: Task, judged: Candidate, found: list[Predictor], datasets: int, seed: int, progress: Progress | None
) -> tuple[Distances, results.Endpoint]:
    simulation = task.simulate(range(datasets), seed=seed)
    data, outcome = simulation.data, simulation.outcome
    said = judged.infer(task, data, seed).predictive
    endpoint = results.endpoint(task, said.form)
    metric, between = (registry.load("metric", name) for name in (endpoint.metric, endpoint.for_others))
    answers = [p.predictive(task, data, seed) for p in found]
    near, apart = [], []
    for number, answer in enumerate(answers):
        near.append(metric.score(said, answer, outcome))
        apart.append([_profile(between.score(other, answer, outcome)) for other in answers])
        if progress:
            progress(datasets * (number + 1) // len(answers))
    clusters = np.stack([decision.cluster_means(scores) for scores in near])
    return Distances(np.stack([_queries(s) for s in near]), np.array(apart), clusters), endpoint


def _queries(scores: Array) -> Array:
    """Mean over the queries that apply, (dataset, position); NaN where none does."""
    asked = ~np.isnan(scores)
    total = np.where(asked, scores, 0.0).sum(-1)
    return np.where(asked.any(-1), total / np.maximum(asked.sum(-1), 1), np.nan)


def _profile(scores: Array) -> Array:
    """Mean over data sets at each position, and of the endpoint: (position + 1,)."""
    return np.append(np.nanmean(_queries(scores), axis=0), decision.cluster_means(scores).mean())


def _conclude(found: list[Predictor], distances: Distances, tolerance: float, seed: int) -> dict[str, Any]:
    """The name, on the mean over context lengths."""
    best = _nearest(distances.clusters.mean(1))
    same, rivals = _split(distances.apart[..., -1], best, tolerance)
    fit = decision.decide(
        distances.clusters[best],
        tolerance=tolerance,
        seed=seed,
        worst=0.0,  # a name is no warrant for contexts that were not seen; `verify` gives that
        fewest=decision.FEWEST_SECONDARY,
    )
    against = {j: _lead(distances.clusters, best, j, seed) for j in rivals}
    needed = {j: _needed(distances.apart[..., -1], best, j, tolerance) for j in rivals}
    beaten = {j: _exceeds(against[j], needed[j]) for j in rivals}
    conclusion = _conclusion(fit.verdict, all(beaten.values()), 0 in (best, *same))
    return {
        "conclusion": conclusion,
        "nearest": found[best].name,
        "bayes": found[0].name,
        "fit": {**_interval(distances.clusters[best], seed), "verdict": fit.verdict},
        "indistinguishable": [found[j].name for j in same],
        "rivals": [
            {"name": found[j].name, **against[j], "needed": store.number(needed[j]), "beaten": beaten[j]} for j in rivals
        ],
        "sentence": _sentence(conclusion, found, best, same, [j for j in rivals if not beaten[j]]),
    }


def _nearest(means: Array) -> int:
    return int(np.argmax(means <= means.min() + ROUNDING))


def _conclusion(fit: str, beaten: bool, bayes: bool) -> str:
    if fit == "different":
        return "none"
    if fit == "undecided" or not beaten:
        return "undecided"
    return "bayes" if bayes else "other"


def _sentence(conclusion: str, found: list[Predictor], best: int, same: list[int], open_: list[int]) -> str:
    """What is said to a reader."""
    name, others = found[best].name, ", ".join(found[j].name for j in same)
    if conclusion == "none":
        return f"none of these: the nearest, {name}, is farther away than the tolerance"
    if conclusion == "undecided":
        between = ", ".join(found[j].name for j in open_)
        return f"undecided: nearest to {name}" + (f", not separated from {between}" if between else "")
    return f"{name}" + (f", which the tolerance does not tell from {others}" if others else "")


def _split(apart: Array, best: int, tolerance: float) -> tuple[list[int], list[int]]:
    """Predictors nearer to the best one than the tolerance, in either direction, and the others."""
    distance = np.minimum(apart[best], apart[:, best])
    others = [j for j in range(len(apart)) if j != best]
    return [j for j in others if distance[j] < tolerance], [j for j in others if not distance[j] < tolerance]


def _lead(clusters: Array, best: int, rival: int, seed: int) -> dict[str, Any]:
    """By how much the rival is farther away; all null where it is infinitely far."""
    if not np.isfinite(clusters[rival]).all():
        return {"estimate": None, "low": None, "high": None}
    return bootstrap.difference(clusters[rival], clusters[best], seed=seed).plain()


def _exceeds(lead: dict[str, Any], needed: float) -> bool:
    """A rival that is infinitely far is beaten; one against which the sample supports no lower limit is not."""
    return lead["estimate"] is None or (lead["low"] is not None and lead["low"] > needed)


def _needed(apart: Array, best: int, rival: int, tolerance: float) -> float:
    """The lead that tells the best from a rival."""
    separations = (float(apart[rival, best]), float(apart[best, rival]))
    return next((SHARE * s for s in separations if math.isfinite(s)), tolerance)


def _interval(clusters: Array, seed: int) -> dict[str, Any]:
    """Mean with its limits; null where it is infinite."""
    if not np.isfinite(clusters).all():
        return {"estimate": None, "low": None, "high": None}
    return bootstrap.interval(clusters, seed=seed).plain()


def _rows(task: Task, found: list[Predictor], distances: Distances, seed: int) -> list[dict[str, Any]]:
    """One row a predictor: nearness overall and at each context length, and what was fitted."""
    rows = []
    for number, predictor in enumerate(found):
        estimate, low, high = bootstrap.band(distances.near[number], seed=seed)
        low, high = stability.shown(estimate, low, high, distances.near[number])
        columns = {"estimate": estimate, "low": low, "high": high}
        rows.append(
            {
                "name": predictor.name,
                "kl": _interval(distances.clusters[number], seed),
                "infinite_share": float(np.isinf(distances.clusters[number]).mean()),
                "fitted": [dict(options) for options in predictor.fitted],
                "curve": {"context": list(task.design.positions)}
                | {name: [store.number(float(v)) for v in values] for name, values in columns.items()},
            }
        )
    return rows


def _by_context(
    task: Task, found: list[Predictor], distances: Distances, tolerance: float, seed: int
) -> list[dict[str, Any]]:
    """The name at each context length; a lead holds simultaneously over all lengths."""
    means = np.nanmean(distances.near, axis=1)
    leads: dict[tuple[int, int], Array] = {}
    rows = []
    for k, context in enumerate(task.design.positions):
        best = _nearest(means[:, k])
        same, rivals = _split(distances.apart[..., k], best, tolerance)
        beaten = True
        for j in rivals:
            if (best, j) not in leads:
                leads[best, j] = _lead_by_context(distances.near, best, j, seed)
            beaten &= bool(leads[best, j][k] > _needed(distances.apart[..., k], best, j, tolerance))
        _, low, high = bootstrap.band(distances.near[best], seed=seed)
        fit = "none" if low[k] > tolerance else "near" if high[k] < tolerance else "undecided"
        rows.append(
            {
                "context": int(context),
                "nearest": found[best].name,
                "estimate": store.number(float(means[best, k])),
                "fit": fit,
                "first": beaten and fit == "near",
                "indistinguishable": [found[j].name for j in same],
            }
        )
    return rows


def _lead_by_context(near: Array, best: int, rival: int, seed: int) -> Array:
    """Simultaneous lower limits of KL(rival || candidate) - KL(best || candidate), (position,); infinite where that is."""
    with np.errstate(invalid="ignore"):
        difference = near[rival] - near[best]
    _, low, _ = bootstrap.band(difference, seed=seed)
    return np.where(np.isposinf(difference).any(0), np.inf, low)
