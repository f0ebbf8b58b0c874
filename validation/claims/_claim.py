"""A claim: a sentence of the literature, a statistic with a threshold,
and the outcome that is expected of it.

A claim is measured in one or more settings; each measurement is an estimate with 95 % limits that
hold for all settings of the claim together. The sentence holds where every measurement lies on the
right side of its threshold with its whole interval,
it fails where one lies on the wrong side with its whole interval, and else it is undecided.

Only a sentence that was read in the paper, its abstract or its authors' code can be false as
stated. Any other sentence that fails is a tempting reading that fails.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from veribayes.errors import InputError
from veribayes.models._task import Task
from veribayes.predictive import Array
from veribayes.tree import Branch, Data, Simulation
from veribayes.validation import bootstrap

READ_IN = ("paper", "abstract", "code", "secondhand", "ours")
STATED = ("paper", "abstract", "code")  # where the sentence itself was read
HOLDS, FAILS, UNDECIDED = "holds", "fails", "undecided"
LEVEL = 0.95  # of all limits of a claim together


class Lab(Protocol):
    """What a claim is given to measure with; it knows neither JAX nor torch."""

    @property
    def full(self) -> bool:
        """Whether the long form is asked for."""
        ...

    @property
    def seed(self) -> int:
        """With it every number is determined."""
        ...

    def task(self, name: str, **design: Any) -> Task:
        """A shipped task by name, with other positions or queries where they are given."""
        ...

    def model_task(self, kind: str, spec: Mapping[str, Any], **design: Any) -> Task:
        """A task around a model of a family, from its specification."""
        ...

    def simulate(self, task: Task, datasets: int) -> Simulation:
        """Data sets of a task, with outcomes and latents."""
        ...

    def ask(self, task: Task, candidate: object, data: Data, **options: Any) -> Branch:
        """What an engine, a construction, a checkpoint or a callable answers, (dataset,
        position, query).
        """
        ...

    def attention(
        self, task: Task, candidate: object, data: Data, *, trained: int | None = None
    ) -> list[tuple[list[Array], int]]:
        """Of each position the maps of a candidate, (dataset, head, reader, read) a layer, and how
        many of the tokens that are read first are no observations.
        """
        ...

    def truth(self, task: Task, data: Data) -> Branch:
        """The certified reference of the task."""
        ...

    def score(self, metric: str, reference: Branch, candidate: Branch) -> Array:
        """A divergence by the metric's name, (dataset, position, query)."""
        ...

    def verify(
        self, task: Task, candidate: object, datasets: int, **options: Any
    ) -> dict[str, Any]:
        """The entry of a run, as `veribayes verify --json` prints it."""
        ...

    def train(self, task: Task, recipe: Mapping[str, Any], *, seed: int) -> object:
        """A network that was trained by a recipe as a task file has it; a candidate for `ask`."""
        ...


@dataclass(frozen=True)
class Threshold:
    """The side on which a statistic has to lie.

    Attributes:
        at_least, at_most: limits, both included; with both the statistic has to lie between them.
    """

    at_least: float = -math.inf
    at_most: float = math.inf

    def __post_init__(self) -> None:
        if not self.at_least <= self.at_most:
            raise InputError(
                "a threshold with at_least <= at_most", f"{self.at_least} and {self.at_most}"
            )

    def outcome(self, low: float, high: float) -> str:
        """What an interval says: `holds` inside, `fails` outside,
        `undecided` across a limit or where it is no interval.
        """
        if not low <= high:
            return UNDECIDED
        if self.at_least <= low and high <= self.at_most:
            return HOLDS
        outside = high < self.at_least or self.at_most < low
        return FAILS if outside else UNDECIDED

    def __str__(self) -> str:
        if self.at_least == -math.inf:
            return f"at most {self.at_most:g}"
        if self.at_most == math.inf:
            return f"at least {self.at_least:g}"
        return f"between {self.at_least:g} and {self.at_most:g}"


@dataclass(frozen=True)
class Measurement:
    """A statistic in one setting.

    Attributes:
        setting: a few words.
        estimate, low, high: the statistic with its limits, in the unit that the claim's statistic
            names.
        datasets: independent data sets behind it;
            of a deterministic statistic, those it was computed on.
    """

    setting: str
    estimate: float
    low: float
    high: float
    datasets: int

    def entry(self, threshold: Threshold) -> dict[str, Any]:
        """The measurement as JSON; what is not finite is null."""
        return {
            "setting": self.setting,
            "estimate": _finite(self.estimate),
            "low": _finite(self.low),
            "high": _finite(self.high),
            "datasets": self.datasets,
            "outcome": threshold.outcome(self.low, self.high),
        }


@dataclass(frozen=True)
class Claim:
    """A sentence and how it is tested.

    Attributes:
        name: lower-case words with hyphens, unique within its paper.
        statement: the sentence, in our words.
        read_in: where the sentence was read: paper, abstract, code, secondhand, or ours where
            nobody has written it.
        statistic: what is measured, with its unit.
        threshold: where it has to lie for the sentence to hold.
        expected: `holds` or `fails`.
        measure: the measurements, from a lab; `lab.full` chooses the long form.
        tasks: names of the shipped tasks that it needs.
        note: what a reader should know before he cites the outcome.
    """

    name: str
    statement: str
    read_in: str
    statistic: str
    threshold: Threshold
    expected: str
    measure: Callable[[Lab], Sequence[Measurement]]
    tasks: tuple[str, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        if self.read_in not in READ_IN:
            raise InputError(f"read_in: one of {', '.join(READ_IN)}", f"'{self.read_in}'")
        if self.expected not in (HOLDS, FAILS):
            raise InputError(f"expected: {HOLDS} or {FAILS}", f"'{self.expected}'")

    def outcome(self, measurements: Sequence[Measurement]) -> str:
        """What all measurements say together."""
        if not measurements:
            return UNDECIDED
        outcomes = {self.threshold.outcome(m.low, m.high) for m in measurements}
        if FAILS in outcomes:
            return FAILS
        return UNDECIDED if UNDECIDED in outcomes else HOLDS

    def reading(self, outcome: str) -> str:
        """The outcome as a reader may quote it."""
        if outcome == FAILS:
            return "false as stated" if self.read_in in STATED else "a tempting reading that fails"
        return "holds" if outcome == HOLDS else "undecided at this sample size"


@dataclass(frozen=True)
class Paper:
    """A source and the claims that were taken from it.

    Attributes:
        source: arXiv number or DOI.
        title: of the paper.
        claims: in the order in which they are listed.
    """

    source: str
    title: str
    claims: tuple[Claim, ...]

    def __post_init__(self) -> None:
        names = [claim.name for claim in self.claims]
        if len(set(names)) < len(names):
            raise InputError("different names of the claims of a paper", ", ".join(names))


def mean(setting: str, values: Array, *, of: int = 1, seed: int = 0) -> Measurement:
    """The mean of one value a data set, with limits that hold for all settings of a claim together.

    Args:
        values: (dataset,), independent.
        of: settings of the claim; the level of each is raised to 1 - .05 / of (Bonferroni).
    """
    datasets = len(values)
    if of == 1:
        limits = bootstrap.interval(values, seed=seed)
        return Measurement(setting, limits.estimate, limits.low, limits.high, datasets)
    found = bootstrap.studentised(values[:, None], seed=seed)
    tail = (1 - LEVEL) / (2 * of)
    quantiles = np.quantile(found.t[:, 0], [1 - tail, tail])
    low, high = (float(found.at(np.array([t]))[0]) for t in quantiles)
    return Measurement(setting, float(values.mean()), low, high, datasets)


def means(settings: Sequence[str], columns: Array, *, seed: int = 0) -> list[Measurement]:
    """Means of several settings on the same data sets, with simultaneous limits.

    Args:
        columns: (dataset, setting); rows are independent.
    """
    estimates, lows, highs = bootstrap.band(columns, seed=seed)
    return [
        Measurement(setting, float(estimates[i]), float(lows[i]), float(highs[i]), len(columns))
        for i, setting in enumerate(settings)
    ]


def exactly(setting: str, value: float, datasets: int) -> Measurement:
    """A statistic without randomness of its own,
    such as the largest error of an identity over all data sets.
    """
    number = float(value)
    return Measurement(setting, number, number, number, datasets)


def clusters(scores: Array) -> Array:
    """One value a data set from (dataset, position, query): positions and queries count alike."""
    return scores.mean(axis=tuple(range(1, scores.ndim)))


def probabilities(answer: Branch) -> Array:
    """Of an answer in categories, (dataset, position, query, category)."""
    return answer.predictive.variables()["probs"]


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
