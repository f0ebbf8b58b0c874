"""Scores of joint draws of the candidate beside those of a second exact sample;
numbers for a reader, no verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from veribayes.predictive import Array
from veribayes.validation import bootstrap
from veribayes.validation import joint as joints
from veribayes.validation.case import Case
from veribayes.validation.checks._null import generator
from veribayes.validation.joint_pairs import proper_joints

DRAWS = 50  # of a joint


@dataclass(frozen=True, eq=False)
class Exact:
    """The truth at one position: draws (dataset, draw, query), outcome, mean and covariance."""

    draws: Array
    outcome: Array
    mean: Array
    covariance: Array


@dataclass(frozen=True, eq=False)
class JointScore:
    """A score of draws (dataset, draw, query) against the truth, (dataset,); its unit and name."""

    score: Callable[[Array, Exact], Array]
    unit: str
    label: str


SCORES: Mapping[str, JointScore] = {
    "energy_score": JointScore(
        lambda draws, exact: joints.energy_score(draws, exact.outcome), "unit of y", "energy score"
    ),
    "energy_divergence": JointScore(
        lambda draws, exact: joints.energy_divergence(draws, exact.draws),
        "unit of y",
        "energy distance",
    ),
    "sliced_w2": JointScore(
        lambda draws, exact: joints.sliced_wasserstein(draws, exact.draws),
        "unit of y",
        "sliced Wasserstein-2 distance",
    ),
    "covariance_error": JointScore(
        lambda draws, exact: joints.covariance_error(draws, exact.mean, exact.covariance),
        "1",
        "error of the covariance, in exact standard deviations",
    ),
}


def joint_scores(case: Case) -> dict[str, Any]:
    """Every score with its unit; `floor` is what a second exact sample has, `regret` the difference
    of the two.

    Empty where the candidate's joint is not known, or no law, or where nothing happened.
    """
    pair = proper_joints(case)
    if pair is None or not case.simulation.happened:
        return {}
    exact, mine = pair
    rng = generator(case.seed, "joint scores")
    mean, covariance = exact.moments()
    exact_draws = exact.sample(rng, DRAWS)
    second_draws = exact.sample(rng, DRAWS)
    drawn = mine.sample(rng, DRAWS)
    outcome = case.simulation.outcome
    truths = []
    for k in range(drawn.shape[1]):
        exact_at = Exact(exact_draws[:, k], outcome[:, k], mean[:, k], covariance[:, k])
        truths.append(exact_at)
    entries = {}
    for name, kind in SCORES.items():
        scores = _over_positions(kind, drawn, truths)
        floor = _over_positions(kind, second_draws, truths)
        entry = _entry(scores, floor, kind.unit, case.seed)
        entries[name] = {**entry, "label": kind.label}
    return entries


def _over_positions(kind: JointScore, draws: Array, truths: list[Exact]) -> Array:
    """Mean score by data set, draws (dataset, position, draw, query)."""
    scores = [kind.score(draws[:, k], exact) for k, exact in enumerate(truths)]
    return np.asarray(np.mean(scores, axis=0))


def _entry(scores: Array, floor: Array, unit: str, seed: int) -> dict[str, Any]:
    """Mean over data sets with its 95 % limits, the floor, and the difference."""
    limits = bootstrap.interval(scores, seed=seed)
    regret = bootstrap.difference(scores, floor, seed=seed)
    return {
        **limits.plain(),
        "unit": unit,
        "floor": float(floor.mean()),
        "regret": regret.plain(),
    }
