"""A candidate on continuations that it draws itself: what the check `martingale` is about."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from veribayes.predictive import Array, Predictive
from veribayes.tree import Data
from veribayes.validation.case import Case
from veribayes.validation.checks._null import generator

PATHS = 4  # continuations of a prompt
# forms from which nothing is drawn, or no probability is read
UNREAD = ("quantiles", "draws", "point")
QUANTILES = (0.5, 0.9)  # of what it says before, below which its probabilities are followed


def continued(case: Case) -> tuple[Array, ...] | None:
    """Its predictions before and after one observation that it draws itself, (prompt, path, step,
    event).

    None where the order of a context means something, no larger context is in the design, the form
    cannot be followed, or the model does not say how a context grows.
    """
    data = case.simulation.data
    position = max(len(data.positions) // 2 - 1, 0)
    size = int(data.positions[position])
    if not case.listed or size + 1 > data.positions.max():
        return None
    if case.said.predictive.form in UNREAD:
        return None
    prompts = _prompts(data, position)
    before = case.answers(prompts)
    grown = _grown(case, prompts, size)
    if grown is None:
        return None
    after = case.answers(grown)
    steps = np.stack([_events(before, before), _events(after, before)], axis=1)
    first_paths = steps[::PATHS, 0]  # what it says twice it may have rounded twice
    steps[:, 0] = np.repeat(first_paths, PATHS, axis=0)
    return (steps.reshape(len(data.index), PATHS, *steps.shape[1:]),)


def _prompts(data: Data, position: int) -> Data:
    """Every context of one size, once for each path."""
    rows = np.repeat(np.arange(len(data.index)), PATHS)
    repeated = data.select(rows, np.array([position]))
    return replace(repeated, index=np.arange(len(repeated.index)))


def _grown(case: Case, data: Data, size: int) -> Data | None:
    """The contexts with one more observation, drawn from the candidate; None where the model does
    not say how.
    """
    rng = generator(case.seed, "paths")

    def draw(asked: Data) -> Array:
        return case.answers(asked).sample(rng, 1)[:, 0, :, 0]

    return case.task.model.extended(data, size, draw)


def _events(predictive: Predictive, before: Predictive) -> Array:
    """Probabilities of fixed events, (dataset, event): of categories, or below the median and the
    90 % point of `before`.
    """
    probs = predictive.variables().get("probs") if predictive.form == "categorical" else None
    if probs is None:
        levels = np.broadcast_to(QUANTILES, (*before.shape, len(QUANTILES)))
        probs = predictive.cdf(before.quantile(levels))
    return np.asarray(probs.reshape(len(probs), -1))
