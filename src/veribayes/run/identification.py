"""Which algorithm is it? The candidate against every named predictor of the task,
at each context length and overall.

Here the candidate and the predictors are asked about data sets, and the predictors' free numbers
are fitted; what follows from their divergences, and how, is said by `validation/identification.py`.
Nearness is the mean divergence of the predictor from the candidate: KL(predictor || candidate) for
a candidate with a density, the quantile divergence at their levels for quantiles, the squared error
of the mean for points, as in `verify`.
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
from veribayes.predictive import Array, Point, Predictive, Quantiles
from veribayes.run import pipeline, predictors, results
from veribayes.run.predictors import Predictor
from veribayes.validation import decision, lengths, nearness
from veribayes.validation.draws import twice
from veribayes.validation.identification import conclude, mean_limits
from veribayes.validation.identification import exit_code as exit_code
from veribayes.validation.metrics._metric import Metric
from veribayes.validation.moments import as_moments
from veribayes.validation.nearness import JS_SHARE, Distances, Yardstick
from veribayes.validation.relative import relative

SCHEMA = "veribayes.identify/1"
FIT_DATASETS = 100  # on the stream `audit`, for step sizes and pseudo-counts

Progress = Callable[[int], None]


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
        datasets: of the stream `verify`; fitted options come from 100 others, of the stream
            `audit`.
        against: further engines to consider, planted defects for example.
        progress: called with the share of the comparisons that is done, as a number of data sets.

    Returns:
        The JSON entry: conclusion, name, shares, one row a predictor, one a context length.

    Raises:
        ReferenceRefused: exact Bayes did not earn trust.
        InputError: fewer than two data sets, or an engine that does not exist.
    """
    if not 2 <= datasets < 2**32:
        wanted = "datasets: at least two, for intervals over them"
        raise InputError(wanted, f"{datasets}", "set --datasets")
    judged = as_moments(judged) if task.model.moments else twice(judged)
    known = predictors.known(task, against)
    if judged.askable:  # what was recorded was recorded for the data sets of the comparison alone
        task, known = _fitted(task, judged, known, seed)
    asked = _asked(task, judged, known, datasets, seed)
    known = asked.known
    measured = _distances(asked, datasets, seed, progress)
    chosen = nearness.ordering(measured, seed)
    names = [predictor.name for predictor in known]
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
        **conclude(names, measured, chosen, seed),
        "predictors": _rows(task, known, measured, seed),
        "by_context": lengths.by_context(names, task.design.positions, measured, seed),
        "between": _between(task, known, asked, seed),
    }


def _fitted(
    task: Task, judged: Candidate, known: list[Predictor], seed: int
) -> tuple[Task, list[Predictor]]:
    """The task with its tolerance, and the predictors with their free numbers, from data sets of
    their own.
    """
    simulation = task.simulate(range(FIT_DATASETS), seed=seed, stream="audit")
    data, outcome = simulation.data, simulation.outcome
    answer = judged.infer(task, data, seed).predictive
    task = _frozen(task, answer, seed)
    deciding = _endpoint(task, answer).metric
    metrics = [registry.load("metric", name) for name in (deciding, "js")]
    losses = [
        _loss(metric, answer, outcome) for metric in metrics
    ]  # JS where the first is infinite
    return task, [predictor.fit(task, data, losses, seed) for predictor in known]


def _loss(metric: Metric, answer: Predictive, outcome: Array) -> predictors.Loss:
    """Mean divergence of a predictive (dataset, query) from the candidate's answer at one
    position.
    """

    def loss(guess: Predictive, position: int) -> float:
        here = slice(position, position + 1)
        if not metric.applies(answer.form, guess.form):
            return math.inf
        scores = metric.score(answer[:, here], guess[:, None], outcome[:, here])
        return float(decision.cluster_means(scores).mean())

    return loss


@dataclass(frozen=True, eq=False)
class _Asked:
    """The candidate's answer and the predictors' laws on the data sets of the comparison; the
    predictors as they answered.
    """

    by: Yardstick
    answer: Predictive
    known: list[Predictor]
    laws: list[Predictive]
    outcome: Array


def _asked(
    task: Task, judged: Candidate, known: list[Predictor], datasets: int, seed: int
) -> _Asked:
    """Everybody's answers."""
    simulation = task.simulate(range(datasets), seed=seed)
    data, outcome = simulation.data, simulation.outcome
    answer = judged.infer(task, data, seed).predictive
    by = _yardstick(_frozen(task, answer, seed), answer)
    answered = [predictor.answered(task, data, seed) for predictor in known]
    used, laws = [each[0] for each in answered], [each[1] for each in answered]
    return _Asked(by, answer, used, laws, outcome)


def _distances(
    asked: _Asked, datasets: int, seed: int, progress: Progress | None
) -> list[Distances]:
    """By the endpoint's metric, and where that is infinite anywhere, by JS as well."""
    by, answer, laws, outcome = asked.by, asked.answer, asked.laws, asked.outcome
    compared = [_in_form_of(answer, law) for law in laws]
    report = partial(_report, progress, datasets, len(laws))
    first = nearness.measure(by, answer, laws, compared, outcome, report)
    if not np.isinf(first.near).any():
        return [first]
    js = registry.load("metric", "js")
    by_js = Yardstick(js, js, js.unit, by.tolerance / JS_SHARE)
    return [first, nearness.measure(by_js, answer, laws, compared, outcome, report)]


def _between(task: Task, known: list[Predictor], asked: _Asked, seed: int) -> list[dict[str, Any]]:
    """Where the candidate stands between each predictor that names an opposite, and that one."""
    laws = {predictor.name: law for predictor, law in zip(known, asked.laws, strict=True)}
    rows = []
    for predictor in known:
        opposite = getattr(registry.load("engine", predictor.engine), "opposite", None)
        if opposite is None or opposite not in laws:
            continue
        found = relative(asked.answer, laws[predictor.name], laws[opposite], asked.outcome)
        if found is not None:
            curve = {"context": list(task.design.positions), **found.curve(seed)}
            overall = found.overall(seed)
            rows.append({"from": predictor.name, "to": opposite, **overall, "curve": curve})
    return rows


def _frozen(task: Task, answer: Predictive, seed: int) -> Task:
    """The task with a tolerance at the levels of quantiles, by its rule where none was given."""
    options = pipeline.Options(seed=seed)
    return pipeline.frozen_tolerance(task, options, _levels(answer), form=answer.form)


def _endpoint(task: Task, answer: Predictive) -> results.Endpoint:
    """What `verify` judges the answer by."""
    return results.endpoint(task, answer.form, _levels(answer))


def _yardstick(task: Task, answer: Predictive) -> Yardstick:
    """The endpoint of `verify` as a measure between the candidate and predictors, and between
    these.
    """
    endpoint = _endpoint(task, answer)
    metric, between = (
        registry.load("metric", name) for name in (endpoint.metric, endpoint.for_others)
    )
    return Yardstick(metric, between, endpoint.unit, endpoint.tolerance)


def _levels(answer: Predictive) -> tuple[float, ...] | None:
    return tuple(answer.levels.tolist()) if isinstance(answer, Quantiles) else None


def _in_form_of(answer: Predictive, law: Predictive) -> Predictive:
    """What another predictor says in the form in which it is compared: its quantiles where the
    candidate gives those, its mean where that is a point.
    """
    if isinstance(answer, Point):
        return Point(law.expectation())
    if not isinstance(answer, Quantiles):
        return law
    return pipeline.quantiles(law, answer.levels.tolist())


def _report(progress: Progress | None, datasets: int, count: int, number: int) -> None:
    if progress:
        progress(datasets * (number + 1) // count)


def _rows(
    task: Task, known: list[Predictor], measured: list[Distances], seed: int
) -> list[dict[str, Any]]:
    """One row a predictor: nearness overall and at each context length, and what was fitted."""
    first = measured[0]
    second = measured[1] if len(measured) > 1 else None
    rows = []
    for number, predictor in enumerate(known):
        clusters = first.clusters[number]
        curve = lengths.curve(first.near[number], seed)
        row = {
            "name": predictor.name,
            "kl": mean_limits(clusters, seed),
            "js": None if second is None else mean_limits(second.clusters[number], seed),
            "infinite_share": float(np.isinf(clusters).mean()),
            "fitted": [dict(options) for options in predictor.fitted],
            "curve": {"context": list(task.design.positions), **curve},
        }
        rows.append(row)
    return rows
