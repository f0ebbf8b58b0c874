"""What a candidate could be doing: the named predictors of a task, and the numbers in them that are fitted to a candidate.

A predictor is an engine with options. Every engine whose method is `estimator` and that serves the task is one, once for each
of its `variants`; beside them stand exact Bayes, Bayes under the wrong prior and the prior alone. An option that the engine
calls `fitted` (a step size, a pseudo-count) is given the value that brings the predictor nearest to the candidate at each
position, on data sets that the comparison never sees.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from veribayes import registry
from veribayes.errors import InputError, ReferenceRefused
from veribayes.inference._engine import serves
from veribayes.models._task import Task
from veribayes.predictive import Array, Predictive, concatenate, stack
from veribayes.tree import Data
from veribayes.tree.method import Method

GRID = (
    14  # values of a fitted option that are tried; a parabola through the best three does the rest
)

Loss = Callable[
    [Predictive, int], float
]  # of a predictive (dataset, query) at the position with this number


@dataclass(frozen=True)
class Predictor:
    """An engine with options.

    Attributes:
        engine, options: what `registry.load` makes.
        fitted: further options at each design position; empty where nothing was fitted.
    """

    engine: str
    options: Mapping[str, Any] = field(default_factory=dict)
    fitted: tuple[Mapping[str, float], ...] = ()

    @property
    def name(self) -> str:
        """The engine with the options that make it this algorithm."""
        given = ", ".join(
            f"{k}={str(v).lower() if isinstance(v, bool) else v}" for k, v in self.options.items()
        )
        return f"{self.engine}({given})" if given else self.engine

    def predictive(self, task: Task, data: Data, seed: int) -> Predictive:
        """Answers (dataset, position, query)."""
        if not self.fitted:
            return self._answer(task, data, seed, {})
        each = [
            self._answer(task, data.select(positions=slice(k, k + 1)), seed, more)[:, 0]
            for k, more in enumerate(self.fitted)
        ]
        return stack(each, axis=1)

    def fit(self, task: Task, data: Data, losses: Sequence[Loss], seed: int) -> Predictor:
        """The predictor with the value of its fitted option that has the smallest loss at each position.

        Where the engine's own default is nearer (it may differ from data set to data set) it stays.

        Args:
            losses: the first that is finite for any value decides; none orders anything where all are infinite.
        """
        ranges: Mapping[str, tuple[float, float]] = getattr(
            registry.load("engine", self.engine), "fitted", {}
        )
        if not ranges:
            return self
        ((option, (low, high)),) = ranges.items()
        grid = np.geomspace(low, high, GRID)
        best = []
        for k in range(len(data.positions)):
            here = data.select(positions=slice(k, k + 1))
            each = (
                _lowest(partial(self._loss, task, here, loss, k, seed), option, grid)
                for loss in losses
            )
            best.append(next((lowest for lowest in each if lowest is not None), {}))
        return replace(self, fitted=tuple(best))

    def _loss(
        self,
        task: Task,
        data: Data,
        loss: Loss,
        position: int,
        seed: int,
        more: Mapping[str, float],
    ) -> float:
        try:
            return loss(self._answer(task, data, seed, more)[:, 0], position)
        except ReferenceRefused:  # a step size at which the iteration diverges
            return np.inf

    def _answer(self, task: Task, data: Data, seed: int, more: Mapping[str, Any]) -> Predictive:
        made: Any = registry.load("engine", self.engine)(**self.options, **more)
        size = task.design.shard  # bounds memory
        parts = [
            made(task, data.select(slice(i, i + size)), seed=seed)
            for i in range(0, len(data.index), size)
        ]
        if made.method != Method.ESTIMATOR:
            for part in parts:
                part.certificate.require(self.engine)
        return concatenate([part.predictive for part in parts])


def known(task: Task, more: Sequence[str] = ()) -> list[Predictor]:
    """Exact Bayes first, then everything else that the task can be held against; `more` names further engines.

    Raises:
        InputError: one of `more` is no engine, or does not serve the task.
    """
    found = [Predictor(task.reference), Predictor("prior_only")]
    found += [Predictor("wrong_prior")] if task.wrong_prior else []
    probe = task.model.simulate(task.design, 0, "audit", np.arange(2)).data
    for name in registry.usable("engine"):
        part = registry.load("engine", name)
        if name in more or (part.method == Method.ESTIMATOR and serves(part, task.model)):
            variants: Sequence[Mapping[str, Any]] = getattr(part, "variants", ({},))
            made = [Predictor(name, options) for options in variants]
            found += [p for p in made if name in more or _serves(p, task, probe)]
    unknown = set(more) - {p.engine for p in found}
    if unknown:
        raise InputError("engines", ", ".join(sorted(unknown)), "see 'veribayes list engines'")
    return found


def _serves(predictor: Predictor, task: Task, probe: Data) -> bool:
    """Whether an engine of the right family can do anything with this model: tables may be known, hyperparameters free."""
    try:
        predictor.predictive(task, probe, 0)
    except (InputError, ReferenceRefused):
        return False
    return True


def _lowest(
    at: Callable[[Mapping[str, float]], float], option: str, grid: Array
) -> dict[str, float] | None:
    """The value with the smallest loss, or nothing where the default has a smaller one; None where no loss is finite."""
    losses, default = np.array([at({option: float(v)}) for v in grid]), at({})
    if not np.isfinite(losses).any():
        return {} if np.isfinite(default) else None
    value = vertex(grid, losses)
    return {option: value} if at({option: value}) < default else {}


def vertex(values: Array, losses: Array) -> float:
    """Where the parabola through the best value and its neighbours, on the log scale, is lowest.

    Raises:
        InputError: no loss is finite, so that none is the smallest.
    """
    finite = np.isfinite(losses)
    if not finite.any():
        raise InputError(
            "a finite loss for one of the values",
            f"{losses.size} that are not",
            "compare by another divergence",
        )
    best, x = int(np.argmin(np.where(finite, losses, np.inf))), np.log(values)
    if not 0 < best < len(x) - 1 or not np.all(finite[best - 1 : best + 2]):
        return float(values[best])
    left, middle, right = losses[best - 1 : best + 2]
    curvature = left - 2 * middle + right
    return (
        float(np.exp(x[best] + (x[1] - x[0]) / 2 * (left - right) / curvature))
        if curvature > 0
        else float(values[best])
    )
