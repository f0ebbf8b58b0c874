"""Which algorithm is it? The candidate against every named predictor of the task, at each context length and overall.

Nearness is the mean divergence of the predictor from the candidate: KL(predictor || candidate) for a candidate with a density,
the quantile divergence at their levels for quantiles, as in `verify`. Data sets are the only unit of replication. The nearest
predictor i names the candidate when

    the candidate is equivalent to i within the tolerance (the three-way decision of `verify`), and
    no rival j that differs from i by more than the tolerance explains it as well: the lower limit of the mean of
    KL(j || candidate) - KL(i || candidate) exceeds 10 % of KL(j || i), its value if the candidate were i itself. Where i calls
    things impossible that j does not, like maximum likelihood, that is infinite, and KL(i || j) takes its place; where both do,
    the tolerance.

A plain paired test, without that share, gives a name to a candidate half way between two in 7 to 15 % of cases. A nearest
predictor that is itself too far away is "none of these". Predictors nearer to i than the tolerance share the name. Limits are
95 %, and simultaneous over context lengths.

An infinite divergence orders nothing. Where KL is infinite for some predictors and none of the others is near, all are compared
by the Jensen-Shannon divergence, which is finite and to third order a quarter of KL, against a quarter of the tolerance. A name
that comes out so is given with that reason; exact Bayes never is, since it calls nothing impossible that can happen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from veribayes import registry
from veribayes.candidates import Candidate
from veribayes.errors import InputError
from veribayes.models._task import Task
from veribayes.predictive import Array, Mask, Predictive, Quantiles
from veribayes.run import pipeline, predictors, results
from veribayes.run.predictors import Predictor
from veribayes.storage import store
from veribayes.validation import bootstrap, decision, stability
from veribayes.validation.draws import twice
from veribayes.validation.metrics._metric import Metric

SCHEMA = "veribayes.identify/1"
JS_SHARE = 4  # JS = KL / 4 to third order (Lin 1991, doi:10.1109/18.61115): both are chi-square, by 1/8 and 1/2
ROUNDING = 1e-12  # nats; of predictors that coincide at a position that one is named which is nearest over all
SHARE = 0.1  # of two predictors' separation, which the difference between them has to exceed
FIT_DATASETS = 100  # on the stream `audit`, for step sizes and pseudo-counts
EXIT_CODES = {"bayes": 0, "other": 1, "none": 1, "undecided": 3}

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Distances:
    """Mean divergences in one metric, by data set and position; the last axis but one of `apart` is what plays the truth.

    Attributes:
        metric, unit: of the divergence.
        tolerance: largest mean that counts as near, in this unit.
        near: divergence of each predictor from the candidate, (predictor, dataset, position); NaN where nothing was asked.
        apart: mean divergence of the row from the column, (predictor, predictor, position + 1): overall last.
        clusters: `near` averaged over positions, (predictor, dataset).
    """

    metric: str
    unit: str
    tolerance: float
    near: Array
    apart: Array
    clusters: Array


@dataclass(frozen=True)
class Lead:
    """By how much a rival is farther away than the nearest predictor, and how much tells the two apart."""

    rival: int
    estimate: float
    low: float
    high: float
    needed: float

    @property
    def beaten(self) -> bool:
        """Whether the rival explains the candidate worse; one that is infinitely far does."""
        return self.low > self.needed


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
    if not 2 <= datasets < 2**32:
        raise InputError(
            "datasets: at least two, for intervals over them", f"{datasets}", "set --datasets"
        )
    judged = twice(judged)
    known = predictors.known(task, against)
    if judged.askable:  # what was recorded was recorded for the data sets of the comparison alone
        task, known = _fitted(task, judged, known, seed)
    measured = _distances(task, judged, known, datasets, seed, progress)
    chosen = _ordering(measured, seed)
    return {
        "task": task.name,
        "task_hash": task.hash,
        "candidate": judged.name,
        "candidate_kind": judged.kind,
        "datasets": datasets,
        "seed": seed,
        "metric": chosen.metric,
        "unit": chosen.unit,
        "tolerance": chosen.tolerance,
        **_conclude(known, measured, chosen, seed),
        "predictors": _rows(task, known, measured, seed),
        "by_context": _by_context(task, known, measured, seed),
    }


def exit_code(entry: dict[str, Any]) -> int:
    """0: exact Bayes, or something that cannot be told from it; 1: something else, or none of these; 3: undecided."""
    return EXIT_CODES[entry["conclusion"]]


def _fitted(
    task: Task, judged: Candidate, known: list[Predictor], seed: int
) -> tuple[Task, list[Predictor]]:
    """The task with its tolerance, and the predictors with their free numbers, from data sets of their own."""
    simulation = task.simulate(range(FIT_DATASETS), seed=seed, stream="audit")
    answer = judged.infer(task, simulation.data, seed).predictive
    task = _frozen(task, answer, seed)
    names = (
        _endpoint(task, answer).metric,
        "js",
    )  # the second where the first is infinite throughout
    losses = [_loss(registry.load("metric", name), answer, simulation.outcome) for name in names]
    return task, [p.fit(task, simulation.data, losses, seed) for p in known]


def _loss(metric: Metric, answer: Predictive, outcome: Array) -> predictors.Loss:
    """Mean divergence of a predictive (dataset, query) from the candidate's answer at one position."""

    def loss(guess: Predictive, position: int) -> float:
        here = slice(position, position + 1)
        if not metric.applies(answer.form, guess.form):
            return math.inf
        scores = metric.score(answer[:, here], guess[:, None], outcome[:, here])
        return float(decision.cluster_means(scores).mean())

    return loss


def _distances(
    task: Task,
    judged: Candidate,
    known: list[Predictor],
    datasets: int,
    seed: int,
    progress: Progress | None,
) -> list[Distances]:
    """By the endpoint's metric, and where that is infinite anywhere, by JS as well."""
    simulation = task.simulate(range(datasets), seed=seed)
    data, outcome = simulation.data, simulation.outcome
    answer = judged.infer(task, data, seed).predictive
    endpoint = _endpoint(_frozen(task, answer, seed), answer)
    laws = [p.predictive(task, data, seed) for p in known]
    report = partial(_report, progress, datasets, len(laws))
    pair = (registry.load("metric", endpoint.metric), registry.load("metric", endpoint.for_others))
    first = _measured(*pair, endpoint.unit, endpoint.tolerance, answer, laws, outcome, report)
    if not np.isinf(first.near).any():
        return [first]
    js = registry.load("metric", "js")
    return [
        first,
        _measured(js, js, js.unit, endpoint.tolerance / JS_SHARE, answer, laws, outcome, report),
    ]


def _frozen(task: Task, answer: Predictive, seed: int) -> Task:
    """The task with a tolerance at the levels of quantiles, by its rule where none was given."""
    return pipeline.frozen_tolerance(task, pipeline.Options(seed=seed), _levels(answer))


def _endpoint(task: Task, answer: Predictive) -> results.Endpoint:
    """What `verify` judges the answer by."""
    return results.endpoint(task, answer.form, _levels(answer))


def _levels(answer: Predictive) -> tuple[float, ...] | None:
    return tuple(answer.levels.tolist()) if isinstance(answer, Quantiles) else None


def _report(progress: Progress | None, datasets: int, count: int, number: int) -> None:
    if progress:
        progress(datasets * (number + 1) // count)


def _measured(
    metric: Metric,
    between: Metric,
    unit: str,
    tolerance: float,
    answer: Predictive,
    laws: list[Predictive],
    outcome: Array,
    report: Progress,
) -> Distances:
    near, apart = [], []
    for number, law in enumerate(laws):
        near.append(metric.score(answer, law, outcome))
        apart.append(
            [_profile(between.score(_said(other, answer), law, outcome)) for other in laws]
        )
        report(number)
    clusters = np.stack([decision.cluster_means(scores) for scores in near])
    return Distances(
        metric.name,
        unit,
        tolerance,
        np.stack([_queries(s) for s in near]),
        np.array(apart),
        clusters,
    )


def _said(law: Predictive, answer: Predictive) -> Predictive:
    """What another predictor says in the form in which it is compared: its quantiles where the candidate gives those."""
    return pipeline.quantiles(law, answer.levels.tolist()) if isinstance(answer, Quantiles) else law


def _queries(scores: Array) -> Array:
    """Mean over the queries that apply, (dataset, position); NaN where none does."""
    asked = ~np.isnan(scores)
    total = np.where(asked, scores, 0.0).sum(-1)
    return np.where(asked.any(-1), total / np.maximum(asked.sum(-1), 1), np.nan)


def _profile(scores: Array) -> Array:
    """Mean over data sets at each position, and of the endpoint: (position + 1,)."""
    return np.append(_over_datasets(_queries(scores)), decision.cluster_means(scores).mean())


def _over_datasets(values: Array) -> Array:
    """Mean over the data sets that say something, axis -2; NaN where none does."""
    present = ~np.isnan(values)
    count = present.sum(-2)
    return np.where(
        count > 0, np.where(present, values, 0.0).sum(-2) / np.maximum(count, 1), np.nan
    )


def _ordering(measured: list[Distances], seed: int) -> Distances:
    """What orders the predictors: the first metric, unless it is infinite for some and the others are beyond its tolerance."""
    first, last = measured[0], measured[-1]
    best = _nearest(first.clusters.mean(1))
    if first is last or best is None:
        return last
    return last if _fit(first, best, seed) == "different" else first


def _fit(distances: Distances, best: int, seed: int) -> str:
    """What the distance from the nearest predictor is against the tolerance.

    A name is no warrant for contexts that were not seen; `verify` gives that.
    """
    few = decision.FEWEST_SECONDARY
    values = distances.clusters[best]
    return decision.decide(
        values, tolerance=distances.tolerance, seed=seed, worst=0.0, fewest=few
    ).verdict


def _conclude(
    known: list[Predictor], measured: list[Distances], chosen: Distances, seed: int
) -> dict[str, Any]:
    """The name, on the mean over context lengths."""
    best = _nearest(chosen.clusters.mean(1))
    assert best is not None  # the metric that orders the predictors is finite for one of them
    same, others = _split(chosen.apart[..., -1], best, chosen.tolerance)
    fit = _fit(chosen, best, seed)
    leads = [_lead(chosen, best, j, seed) for j in others]
    reason = _reason(measured, chosen)
    conclusion = _conclusion(
        fit, all(lead.beaten for lead in leads), 0 in (best, *same), bool(reason)
    )
    following = min(leads, key=lambda lead: lead.estimate, default=None)
    return {
        "conclusion": conclusion,
        "nearest": known[best].name,
        "bayes": known[0].name,
        "fit": {**_interval(chosen.clusters[best], seed), "verdict": fit},
        "indistinguishable": [known[j].name for j in same],
        "reason": reason,
        "runner_up": None if following is None else _lead_entry(known, following),
        "rivals": [_lead_entry(known, lead) for lead in leads],
        "sentence": _sentence(
            conclusion, fit, known, best, same, [lead for lead in leads if not lead.beaten], reason
        ),
    }


def _lead_entry(known: list[Predictor], lead: Lead) -> dict[str, Any]:
    numbers = {
        name: store.number(getattr(lead, name)) for name in ("estimate", "low", "high", "needed")
    }
    infinite = math.isinf(lead.estimate)
    return {"name": known[lead.rival].name, **numbers, "infinite": infinite, "beaten": lead.beaten}


def _nearest(means: Array, wanted: int | None = None) -> int | None:
    """The smallest finite mean; of several that coincide the wanted one, or the first. None where none is finite."""
    finite = np.isfinite(means)
    if not finite.any():
        return None
    smallest = finite & (means <= means[finite].min() + ROUNDING)
    return wanted if wanted is not None and smallest[wanted] else int(np.argmax(smallest))


def _reason(measured: list[Distances], chosen: Distances) -> str:
    """Why the predictors are ordered by another metric than the endpoint's; empty where they are not."""
    if chosen is measured[0]:
        return ""
    infinite = np.isinf(measured[0].clusters).any(1)
    share = f"{np.isinf(measured[0].clusters).mean(1).min():.0%} or more of the data sets"
    which = (
        "every predictor"
        if infinite.all()
        else "some predictors, and the others are beyond the tolerance"
    )
    because = f", in {share}" if infinite.all() else ""
    return (
        f"KL is infinite for {which}{because}: the candidate calls impossible what they do not, so that all are compared by "
        "Jensen-Shannon divergence"
    )


def _conclusion(fit: str, beaten: bool, bayes: bool, excluded: bool) -> str:
    """Exact Bayes is `excluded` where the candidate calls impossible what is not."""
    if fit == "different" or (fit == "equivalent" and beaten and bayes and excluded):
        return "none"
    if fit == "undecided" or not beaten:
        return "undecided"
    return "bayes" if bayes else "other"


def _sentence(
    conclusion: str,
    fit: str,
    known: list[Predictor],
    best: int,
    same: list[int],
    unbeaten: list[Lead],
    reason: str,
) -> str:
    """What is said to a reader."""
    name, others = known[best].name, ", ".join(known[j].name for j in same)
    because = f" ({reason})" if reason else ""
    if conclusion == "none" and fit != "different":
        return f"none of these: {name} is nearest and within the tolerance, but calls nothing impossible{because}"
    if conclusion == "none":
        return f"none of these: the nearest, {name}, is farther away than the tolerance{because}"
    if conclusion == "undecided":
        between = ", ".join(known[lead.rival].name for lead in unbeaten)
        return (
            f"undecided: nearest to {name}"
            + (f", not separated from {between}" if between else "")
            + because
        )
    return (
        f"{name}"
        + (f", which the tolerance does not tell from {others}" if others else "")
        + because
    )


def _split(apart: Array, best: int, tolerance: float) -> tuple[list[int], list[int]]:
    """Predictors nearer to the best one than the tolerance, in either direction, and the others."""
    distance = np.minimum(apart[best], apart[:, best])
    others = [j for j in range(len(apart)) if j != best]
    return [j for j in others if distance[j] < tolerance], [
        j for j in others if not distance[j] < tolerance
    ]


def _lead(distances: Distances, best: int, rival: int, seed: int) -> Lead:
    """How much farther away the rival is, over all context lengths."""
    needed = _needed(distances.apart[..., -1], best, rival, distances.tolerance)
    if not np.isfinite(distances.clusters[rival]).all():
        return Lead(rival, math.inf, math.inf, math.inf, needed)
    found = bootstrap.difference(distances.clusters[rival], distances.clusters[best], seed=seed)
    return Lead(rival, found.estimate, found.low, found.high, needed)


def _needed(apart: Array, best: int, rival: int, tolerance: float) -> float:
    """The lead that tells the best from a rival."""
    separations = (float(apart[rival, best]), float(apart[best, rival]))
    return next((SHARE * s for s in separations if math.isfinite(s)), tolerance)


def _interval(clusters: Array, seed: int) -> dict[str, Any]:
    """Mean with its limits; null where it is infinite."""
    if not np.isfinite(clusters).all():
        return {"estimate": None, "low": None, "high": None}
    return bootstrap.interval(clusters, seed=seed).plain()


def _rows(
    task: Task, known: list[Predictor], measured: list[Distances], seed: int
) -> list[dict[str, Any]]:
    """One row a predictor: nearness overall and at each context length, and what was fitted."""
    first, second = measured[0], measured[1] if len(measured) > 1 else None
    rows = []
    for number, predictor in enumerate(known):
        rows.append(
            {
                "name": predictor.name,
                "kl": _interval(first.clusters[number], seed),
                "js": None if second is None else _interval(second.clusters[number], seed),
                "infinite_share": float(np.isinf(first.clusters[number]).mean()),
                "fitted": [dict(options) for options in predictor.fitted],
                "curve": {"context": list(task.design.positions)}
                | _curve(first.near[number], seed),
            }
        )
    return rows


def _curve(near: Array, seed: int) -> dict[str, list[float | None]]:
    """Estimate and simultaneous limits at each context length."""
    estimate, low, high = bootstrap.band(near, seed=seed)
    low, high = stability.shown(estimate, low, high, near)
    columns = {"estimate": estimate, "low": low, "high": high}
    return {name: [store.number(float(v)) for v in values] for name, values in columns.items()}


def _by_context(
    task: Task, known: list[Predictor], measured: list[Distances], seed: int
) -> list[dict[str, Any]]:
    """The name at each context length; a lead holds simultaneously over all lengths."""
    orders = [_Lengths(distances, seed) for distances in measured]
    rows = []
    for k, context in enumerate(task.design.positions):
        order = orders[0] if orders[0].settles(k) else orders[-1]
        rows.append({"context": int(context), **order.row(k, known)})
    return rows


class _Lengths:
    """The order of the predictors at each context length in one metric; bands are computed once."""

    def __init__(self, distances: Distances, seed: int) -> None:
        self.distances, self.seed = distances, seed
        self.means = _over_datasets(distances.near)  # (predictor, position)
        self.overall = _nearest(distances.clusters.mean(1))
        self.bands: dict[int, tuple[Array, Array, Array]] = {}
        self.leads: dict[tuple[int, int], Array] = {}

    def nearest(self, k: int) -> int | None:
        """The nearest predictor at this length."""
        return _nearest(self.means[:, k], self.overall)

    def settles(self, k: int) -> bool:
        """Whether this metric orders the predictors here: none is infinite, or one of the finite ones may be near."""
        best = self.nearest(k)
        return not np.isinf(self.means[:, k]).any() or (
            best is not None and self.fit(best, k) != "none"
        )

    def fit(self, best: int, k: int) -> str:
        """Whether the best predictor is near by the simultaneous band."""
        if best not in self.bands:
            self.bands[best] = bootstrap.band(self.distances.near[best], seed=self.seed)
        _, low, high = self.bands[best]
        tolerance = self.distances.tolerance
        return "none" if low[k] > tolerance else "near" if high[k] < tolerance else "undecided"

    def row(self, k: int, known: list[Predictor]) -> dict[str, Any]:
        """The entry of one context length; without a name where nothing was asked."""
        best, metric = self.nearest(k), self.distances.metric
        if best is None:
            return {"nearest": None, "estimate": None, "metric": metric, "fit": "undecided", "first": False,
                    "indistinguishable": []}  # fmt: skip
        same, others = _split(self.distances.apart[..., k], best, self.distances.tolerance)
        fit = self.fit(best, k)
        beaten = all(bool(self._lead(best, j)[k] > self._needed(best, j, k)) for j in others)
        return {
            "nearest": known[best].name,
            "estimate": store.number(float(self.means[best, k])),
            "metric": metric,
            "fit": fit,
            "first": beaten and fit == "near",
            "indistinguishable": [known[j].name for j in same],
        }

    def _needed(self, best: int, rival: int, k: int) -> float:
        return _needed(self.distances.apart[..., k], best, rival, self.distances.tolerance)

    def _lead(self, best: int, rival: int) -> Array:
        """Lower limits, simultaneous over the lengths at which this rival has to be told from this predictor."""
        if (best, rival) not in self.leads:
            near = self.distances.near
            lengths = np.array(
                [
                    self.nearest(k) == best and rival in self._others(best, k)
                    for k in range(near.shape[-1])
                ]
            )
            self.leads[best, rival] = _lead_by_context(near[rival], near[best], lengths, self.seed)
        return self.leads[best, rival]

    def _others(self, best: int, k: int) -> list[int]:
        return _split(self.distances.apart[..., k], best, self.distances.tolerance)[1]


def _lead_by_context(rival: Array, best: Array, lengths: Mask, seed: int) -> Array:
    """Simultaneous lower limits of the mean of rival - best, both (dataset, position); infinite where the rival alone is.

    Args:
        lengths: positions that are asked for, (position,): a rare event at another one must not widen the limits of these.
    """
    far, here = np.isposinf(rival).any(0), np.isposinf(best).any(0)
    usable = lengths & ~far & ~here
    difference = np.full(rival.shape, np.nan)
    difference[:, usable] = rival[:, usable] - best[:, usable]
    _, low, _ = bootstrap.band(difference, seed=seed)
    return np.where(far & ~here, np.inf, low)
