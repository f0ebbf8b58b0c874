"""Transformers Can Learn Posterior Predictive Distributions In-Context:
what it says, on Gaussian processes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from veribayes.errors import ReferenceRefused
from veribayes.models._task import Task
from veribayes.predictive import Array
from veribayes.tree import Branch, Data
from veribayes.validation.claims._claim import (
    HOLDS,
    Claim,
    Lab,
    Measurement,
    Paper,
    Threshold,
    clusters,
    exactly,
    means,
)

TASK = "gp-rbf-2d"
QUICK, FULL = 100, 1000  # data sets
TUNING = {False: 20, True: 200}  # further data sets, for step sizes, by `lab.full`
STEPS = 7  # of descent: eight layers
STEP = 0.01  # any step size below the limit of divergence shows the identity
DEPTHS = (1, 2, 4, 8, 16)  # steps
TRAINED = (64, 128)  # context sizes within which step sizes are chosen
BEYOND = (160, 256)
PLAIN, NORMALISED = "kernel_descent", "preconditioned_descent"
STEP_SIZES = {
    PLAIN: np.geomspace(0.004, 0.04, 8),
    NORMALISED: np.geomspace(0.5, 1.9, 8),
}


def construction(lab: Lab) -> list[Measurement]:
    """The largest difference of a mean or an sd between the attention layers and the closed form
    of the descent.
    """
    task = lab.task(TASK, positions=TRAINED)
    data = lab.simulate(task, QUICK).data
    layers = lab.ask(task, "gp_gradient_descent", data, layers=STEPS + 1, eta=STEP)
    closed_form = lab.ask(task, PLAIN, data, steps=STEPS, eta=STEP)
    return [exactly(TASK, _largest_difference(layers, closed_form), len(data.index))]


def _largest_difference(one: Branch, other: Branch) -> float:
    ours, theirs = one.predictive.variables(), other.predictive.variables()
    return max(float(np.abs(ours[name] - theirs[name]).max()) for name in ours)


def depth(lab: Lab) -> list[Measurement]:
    """TV(Bayes, twice the steps) - TV(Bayes, the steps)."""
    task = lab.task(TASK, positions=TRAINED)
    data = lab.simulate(task, FULL if lab.full else QUICK).data
    truth = lab.truth(task, data)
    distances = []
    for steps in DEPTHS:
        answer = lab.ask(task, PLAIN, data, steps=steps)
        distances.append(clusters(lab.score("total_variation", truth, answer)))
    settings = [f"{steps} to {2 * steps} steps" for steps in DEPTHS[:-1]]
    differences = np.diff(np.stack(distances, axis=1), axis=1)
    return means(settings, differences, seed=lab.seed)


def normalisation(lab: Lab) -> list[Measurement]:
    """TV(Bayes, normalised) - TV(Bayes, plain) at contexts larger than those for which one step
    size was chosen.
    """
    chosen = {engine: _best_step_size(lab, engine) for engine in STEP_SIZES}
    columns = [_excess(lab, size, chosen) for size in BEYOND]
    settings = [f"{size} points" for size in BEYOND]
    return means(settings, np.stack(columns, axis=1), seed=lab.seed)


def _best_step_size(lab: Lab, engine: str) -> float:
    """The step size with the smallest mean distance over the trained sizes,
    on data sets that are not judged.
    """
    task = lab.task(TASK, positions=TRAINED)
    judged_datasets = FULL if lab.full else QUICK
    every = lab.simulate(task, judged_datasets + TUNING[lab.full]).data
    data = every.select(datasets=slice(judged_datasets, None))
    truth = lab.truth(task, data)
    best, smallest_distance = math.nan, math.inf
    for step_size in STEP_SIZES[engine]:
        try:
            answer = lab.ask(task, engine, data, steps=STEPS, eta=step_size)
        except ReferenceRefused:  # it diverges within the trained sizes
            continue
        distance = float(lab.score("total_variation", truth, answer).mean())
        if distance < smallest_distance:
            best, smallest_distance = float(step_size), distance
    return best


def _excess(lab: Lab, size: int, chosen: Mapping[str, float]) -> Array:
    """How much farther from Bayes the normalised descent is than the plain one, (dataset,)."""
    task = lab.task(TASK, positions=(size,))
    data = lab.simulate(task, FULL if lab.full else QUICK).data
    normalised = _distances(lab, task, data, NORMALISED, chosen[NORMALISED])
    return normalised - _distances(lab, task, data, PLAIN, chosen[PLAIN])


def _distances(lab: Lab, task: Task, data: Data, engine: str, step_size: float) -> Array:
    """TV(Bayes, descent), (dataset,); 1 where the descent diverges,
    which the engine refuses to call an answer.
    """
    distances = np.ones(len(data.index))
    for row in range(len(data.index)):
        one = data.select(datasets=np.array([row]))
        try:
            answer = lab.ask(task, engine, one, steps=STEPS, eta=step_size)
        except ReferenceRefused:
            continue
        scores = lab.score("total_variation", lab.truth(task, one), answer)
        distances[row] = clusters(scores)[0]
    return distances


PART = Paper(
    source="arXiv 2605.26713",
    title="Transformers Can Learn Posterior Predictive Distributions In-Context",
    claims=(
        Claim(
            name="construction",
            statement=(
                "A transformer makes gradient descent on the posterior predictive mean and "
                "variance of a Gaussian process."
            ),
            read_in="abstract",
            statistic="largest difference of a mean or an sd from the closed form of the descent",
            threshold=Threshold(at_most=1e-9),
            expected=HOLDS,
            measure=construction,
            tasks=(TASK,),
        ),
        Claim(
            name="depth",
            statement="The error of the approximated predictive falls with the depth of attention.",
            read_in="abstract",
            statistic="TV(Bayes, twice the steps) - TV(Bayes, the steps)",
            threshold=Threshold(at_most=0.0),
            expected=HOLDS,
            measure=depth,
            tasks=(TASK,),
            note=(
                "Each context has its own step size, the largest for which every direction only "
                "approaches its limit."
            ),
        ),
        Claim(
            name="normalisation",
            statement=(
                "Normalisation is what lets attention extrapolate beyond the sample sizes of "
                "pretraining."
            ),
            read_in="abstract",
            statistic=(
                "TV(Bayes, normalised) - TV(Bayes, not normalised), both with the step size that "
                "is best in training"
            ),
            threshold=Threshold(at_most=0.0),
            expected=HOLDS,
            measure=normalisation,
            tasks=(TASK,),
            note=(
                "Where the iteration diverges its distance counts as 1. One step size for all "
                "layers."
            ),
        ),
    ),
)
