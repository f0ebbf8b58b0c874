"""What a candidate could be doing: the named predictors of a task,
and the numbers in them that are fitted to a candidate.

A predictor is an engine with options. Every engine whose method is `estimator` and that serves the
task is one, once for each of its `variants`; beside them stand exact Bayes, Bayes under the wrong
prior and the prior alone. An option that the engine calls `fitted` (a step size, a pseudo-count) is
given the value that brings the predictor nearest to the candidate at each position, on data sets
that the comparison never sees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from veribayes import registry
from veribayes.errors import InputError, ReferenceRefused
from veribayes.inference._engine import serves
from veribayes.models._task import Task
from veribayes.predictive import Predictive, concatenate, stack
from veribayes.tree import Data
from veribayes.tree.method import Method
from veribayes.validation.fitting import lowest

GRID = (
    14  # values of a fitted option that are tried; a parabola through the best three does the rest
)

# of a predictive (dataset, query) at the position with this number
Loss = Callable[[Predictive, int], float]
Options = Mapping[str, Any]


@dataclass(frozen=True)
class Predictor:
    """An engine with options.

    Attributes:
        engine, options: what `registry.load` makes.
        fitted: further options at each design position; empty where nothing was fitted.
    """

    engine: str
    options: Options = field(default_factory=dict)
    fitted: tuple[Mapping[str, float], ...] = ()

    @property
    def name(self) -> str:
        """The engine with the options that make it this algorithm."""
        settings = []
        for option, value in self.options.items():
            text = str(value).lower() if isinstance(value, bool) else value
            settings.append(f"{option}={text}")
        return f"{self.engine}({', '.join(settings)})" if settings else self.engine

    def predictive(self, task: Task, data: Data, seed: int) -> Predictive:
        """Answers (dataset, position, query)."""
        return self.answered(task, data, seed)[1]

    def answered(self, task: Task, data: Data, seed: int) -> tuple[Predictor, Predictive]:
        """Its answers, and itself with the options that gave them: where a fitted number is refused
        for these data sets (a step size at which the iteration diverges), the engine's own default
        stands.
        """
        if not self.fitted:
            return self, self._answer(task, data, seed, {})
        answers, used = [], []
        for k, options in enumerate(self.fitted):
            here = data.select(positions=slice(k, k + 1))
            try:
                answer = self._answer(task, here, seed, options)
            except ReferenceRefused:
                options = {}
                answer = self._answer(task, here, seed, options)
            answers.append(answer[:, 0])
            used.append(options)
        return replace(self, fitted=tuple(used)), stack(answers, axis=1)

    def fit(self, task: Task, data: Data, losses: Sequence[Loss], seed: int) -> Predictor:
        """The predictor with the value of its fitted option that has the smallest loss at each
        position.

        Where the engine's own default is nearer (it may differ from data set to data set) it stays.

        Args:
            losses: the first that is finite for any value decides;
                none orders anything where all are infinite.
        """
        part = registry.load("engine", self.engine)
        ranges: Mapping[str, tuple[float, float]] = getattr(part, "fitted", {})
        if not ranges:
            return self
        ((option, (low, high)),) = ranges.items()
        search = _Search(self, task, data, seed, option, (low, high))
        best = [search.at(losses, position) for position in range(len(data.positions))]
        return replace(self, fitted=tuple(best))

    def _answer(self, task: Task, data: Data, seed: int, more: Options) -> Predictive:
        engine: Any = registry.load("engine", self.engine)(**self.options, **more)
        branches = [engine(task, part, seed=seed) for part in _shards(task, data)]
        if engine.method != Method.ESTIMATOR:
            for branch in branches:
                branch.certificate.require(self.engine)
        return concatenate([branch.predictive for branch in branches])


def _shards(task: Task, data: Data) -> Iterator[Data]:
    """Ranges of data sets: they bound memory."""
    size = task.design.shard
    for start in range(0, len(data.index), size):
        yield data.select(slice(start, start + size))


@dataclass(frozen=True, eq=False)
class _Search:
    """For the value of a predictor's fitted option, on the data sets that are there for it."""

    predictor: Predictor
    task: Task
    data: Data
    seed: int
    option: str
    limits: tuple[float, float]

    def at(self, losses: Sequence[Loss], position: int) -> dict[str, float]:
        """The option with its value at one position; empty where the default is nearer, or nothing
        is finite.
        """
        here = self.data.select(positions=slice(position, position + 1))
        grid = np.geomspace(*self.limits, GRID)
        for loss in losses:
            value, finite = lowest(partial(self._loss, loss, here, position), grid)
            if finite:
                return {} if value is None else {self.option: value}
        return {}

    def _loss(self, loss: Loss, here: Data, position: int, value: float | None) -> float:
        more = {} if value is None else {self.option: value}
        try:
            answer = self.predictor._answer(self.task, here, self.seed, more)
        except ReferenceRefused:  # a step size at which the iteration diverges
            return np.inf
        return loss(answer[:, 0], position)


def known(task: Task, more: Sequence[str] = ()) -> list[Predictor]:
    """Exact Bayes first, then everything else that the task can be held against; `more` names
    further engines.

    Raises:
        InputError: one of `more` is no engine, or does not serve the task.
    """
    predictors = [Predictor(task.reference), Predictor("prior_only")]
    if task.wrong_prior:
        predictors.append(Predictor("wrong_prior"))
    few = task.model.simulate(task.design, 0, "audit", np.arange(2)).data
    for name in registry.usable("engine"):
        part = registry.load("engine", name)
        wanted = name in more
        if not wanted and not (part.method == Method.ESTIMATOR and serves(part, task.model)):
            continue
        variants: Sequence[Options] = getattr(part, "variants", ({},))
        for options in variants:
            predictor = Predictor(name, options)
            if wanted or _serves(predictor, task, few):
                predictors.append(predictor)
    unknown = set(more) - {predictor.engine for predictor in predictors}
    if unknown:
        raise InputError("engines", ", ".join(sorted(unknown)), "see 'veribayes list engines'")
    return predictors


def _serves(predictor: Predictor, task: Task, few: Data) -> bool:
    """Whether an engine of the right family can do anything with this model: tables may be known,
    hyperparameters free.
    """
    try:
        predictor.predictive(task, few, 0)
    except (InputError, ReferenceRefused):
        return False
    return True
