"""A candidate asked more than once about the same data sets:
does it repeat itself, and do batch or order move it?

    request    what is changed
    first      nothing; the seed of the run
    again      nothing
    scored     nothing, in the batch in which the run scored its first data sets
    other      the seed, of a candidate that takes one; else it is `again`
    mixed      the batch: another order of its data sets, cut in two
    alone      the batch: one data set at a time
    turned     the order of the observations, where it means nothing

What `first` and `other` differ by is the floor of the last three. The data sets are asked about in
chunks of `CHUNK`, every chunk in all ways, at two context sizes. A fast candidate is asked about
all of them; a slow one until `SECONDS` are over, one by one until `SINGLY_SECONDS` are over, and
about `LEAST` data sets at least. Where it does not repeat itself within twice the tolerance,
`mixed` and `turned` are asked twice, and their own noise counts as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from veribayes.errors import InputError
from veribayes.models._task import Task
from veribayes.predictive import Array, Predictive, concatenate, stack
from veribayes.tree import Data, IntArray
from veribayes.validation import decision, repeats
from veribayes.validation.candidate import Candidate
from veribayes.validation.checks._null import generator

CHUNK = 40
LEAST = 30  # data sets from which a verdict `different` is possible
SECONDS = 20.0
SINGLY_SECONDS = 10.0
NOISY = 2.0  # tolerances of noise beyond which a fourth answer is worth its price


@dataclass(frozen=True, eq=False)
class Requests:
    """How one candidate is asked.

    Attributes:
        data: the data sets, at the context sizes that are asked about.
        listed: arrays of a context whose order means nothing; empty where it means something.
        seed: of the run. A candidate that takes no seed is given the same one whatever is asked.
        batch: data sets of the run's first batch; 0 where they are not all among the data.
    """

    candidate: Candidate
    task: Task
    data: Data
    listed: tuple[str, ...]
    seed: int
    batch: int = 0

    def first(self, rows: IntArray) -> Predictive:
        return self._answer(self.data.select(rows), 0)

    def other(self, rows: IntArray) -> Predictive:
        return self._answer(self.data.select(rows), 1)

    def mixed(self, rows: IntArray, shift: int = 2) -> Predictive:
        """The same data sets in another order and in two batches; their answers in the old
        order.
        """
        first = int(self.data.index[rows[0]])
        order = generator(self.seed, "batch", first, shift).permutation(len(rows))
        parts = [part for part in np.array_split(order, 2) if part.size]
        batches = [self.data.select(rows[part]) for part in parts]
        answers = concatenate([self._answer(batch, shift) for batch in batches])
        return answers[np.argsort(np.concatenate(parts))]

    def turned(self, rows: IntArray, shift: int = 3) -> Predictive:
        """The observations of each context in an order of its own."""
        answers = []
        for k in range(len(self.data.positions)):
            permuted = self._permuted(rows, k, shift)
            answers.append(self._answer(permuted, shift)[:, 0])
        return stack(answers, axis=1)

    def alone(self, row: int) -> Predictive:
        """One data set, as a batch of one.

        Raises:
            InputError: the candidate fails where it answered for a batch,
                or its answer has another shape or form.
        """
        try:
            return self._answer(self.data.select(np.array([row])), 4)
        except InputError as error:
            raise self._not_alone(row, str(error)) from error

    def _not_alone(self, row: int, reason: str) -> InputError:
        wanted = (
            f"from '{self.candidate.name}' the same form and shape for one data set alone as in a "
            "batch"
        )
        number = int(self.data.index[row])
        got = f"at data set {number}: {reason}"
        return InputError(wanted, got, "keep the axis of the data sets")

    def joined(self, first: Predictive, singles: Sequence[Predictive]) -> Predictive:
        """Answers given alone, one behind the other.

        Raises:
            InputError: they are no part of one whole with the first answers.
        """
        try:
            concatenate([first[:1], singles[0]])
            return concatenate(singles)
        except (InputError, ValueError) as error:
            raise self._not_alone(0, str(error)) from error

    def _answer(self, data: Data, shift: int) -> Predictive:
        """The candidate's predictive; another `shift` is another seed."""
        seed = self.seed + shift if self.candidate.takes_seed else self.seed
        return self.candidate.infer(self.task, data, seed).predictive

    def _permuted(self, rows: IntArray, position: int, shift: int) -> Data:
        data = self.data.select(rows, np.array([position]))
        n = int(data.positions[0])
        sizes = np.full(len(data.index), n) if data.sizes is None else data.sizes
        order = np.tile(np.arange(n), (len(data.index), 1))
        for row, (number, size) in enumerate(zip(data.index.tolist(), sizes, strict=True)):
            order[row, :size] = generator(self.seed, "order", number, shift).permutation(size)
        return self.task.model.layout.permuted(data, order)


@dataclass(frozen=True, eq=False)
class Answers:
    """What a candidate said to each request, (dataset, position, query); `alone` about the first of
    the data sets.

    Attributes:
        scored: None where it is slow, or the batch is not there.
        twice: second answers to `mixed` and `turned`, by name; empty where its noise is small.
    """

    first: Predictive
    again: Predictive
    other: Predictive
    mixed: Predictive
    alone: Predictive
    turned: Predictive | None
    scored: Predictive | None = None
    twice: Mapping[str, Predictive] = field(default_factory=dict)


def ask(requests: Requests) -> Answers:
    """All requests, chunk by chunk."""
    start, said = time.monotonic(), _Collected()
    for rows in _chunks(len(requests.data.index)):
        if said.datasets >= LEAST and time.monotonic() - start > SECONDS:
            break
        said.take("first", requests.first(rows))
        said.take("again", requests.first(rows))
        if requests.candidate.takes_seed:
            said.take("other", requests.other(rows))
        said.take("mixed", requests.mixed(rows))
        if requests.listed:
            said.take("turned", requests.turned(rows))
        said.datasets += len(rows)
    first = said.whole("first")
    again = said.whole("again")
    other = said.whole("other") if requests.candidate.takes_seed else again
    turned = said.whole("turned") if requests.listed else None
    quick = requests.batch and time.monotonic() - start <= SECONDS
    scored = requests.first(np.arange(requests.batch)) if quick else None
    return Answers(
        first, again, other, said.whole("mixed"), _singly(requests, first), turned, scored
    )


def ask_twice(requests: Requests, answers: Answers) -> Answers:
    """Second answers to the requests that are held against the repeated ones."""
    chunks = _chunks(len(requests.data.index))
    ways: dict[str, Callable[[IntArray], Predictive]] = {"mixed": partial(requests.mixed, shift=5)}
    if answers.turned is not None:
        ways["turned"] = partial(requests.turned, shift=6)
    datasets = answers.first.shape[0]
    said = _Collected()
    for rows in chunks:
        if rows[0] < datasets:
            for name, way in ways.items():
                said.take(name, way(rows))
    return replace(answers, twice={name: said.whole(name) for name in ways})


def _chunks(datasets: int) -> list[IntArray]:
    """Chunks of nearly one size: few shapes to compile for."""
    return np.array_split(np.arange(datasets), max(1, -(-datasets // CHUNK)))


def _singly(requests: Requests, first: Predictive) -> Predictive:
    start, singles = time.monotonic(), []
    for row in range(first.shape[0]):
        if row >= LEAST and time.monotonic() - start > SINGLY_SECONDS:
            break
        singles.append(requests.alone(row))
    return requests.joined(first, singles)


class _Collected:
    """Parts of answers by the request's name."""

    def __init__(self) -> None:
        self.parts: dict[str, list[Predictive]] = {}
        self.datasets = 0

    def take(self, name: str, answer: Predictive) -> None:
        self.parts.setdefault(name, []).append(answer)

    def whole(self, name: str) -> Predictive:
        return concatenate(self.parts[name])


@dataclass(frozen=True, eq=False)
class Changes:
    """How far the answers are apart, one value a data set in the unit of the primary endpoint.

    Attributes:
        repeat: between two answers to the same request.
        noise: the floor of the other two; between answers under two seeds where the candidate takes
            one.
        batch: by what was changed, above the floor; empty where the floor is infinite.
        order: above the floor; None where order means something or the floor is infinite.
        exact: whether every repeated number is the same.
    """

    repeat: Array
    noise: Array
    batch: Mapping[str, Array]
    order: Array | None
    exact: bool


def changes(
    requests: Requests, answers: Answers, outcome: Array, tolerance: float
) -> tuple[Answers, Changes]:
    """Measure the changes; where the noise is large the answers come back with second ones.

    Args:
        outcome: (dataset, position, query) of the data sets that are asked about; NaN where a query
            does not apply.
        tolerance: of the primary endpoint.
    """
    datasets = answers.first.shape[0]
    applies = ~np.isnan(outcome[:datasets])

    def apart(one: Predictive, other: Predictive) -> Array:
        rows = other.shape[0]
        categories = requests.task.model.n_categories
        return repeats.divergence(one[:rows], other, applies[:rows], categories)

    same = apart(answers.first, answers.again)
    floor = apart(answers.first, answers.other)
    repeat = decision.cluster_means(repeats.repeat(same))
    noise = decision.cluster_means(repeats.repeat(floor))
    exact = _same_numbers(answers.first, answers.again)
    if not np.isfinite(noise[~np.isnan(noise)]).all():
        return answers, Changes(repeat, noise, {}, None, exact)
    if noise[~np.isnan(noise)].mean() > NOISY * tolerance:
        answers = ask_twice(requests, answers)

    def beyond(name: str, changed: Predictive) -> Array:
        rows = changed.shape[0]
        firsts = (answers.first, answers.other)
        seconds = answers.twice.get(name)
        across = [apart(side[:rows], changed) for side in firsts]
        within = [floor[:rows]]
        if seconds is not None:
            across += [apart(side, seconds) for side in firsts]
            within.append(apart(changed, seconds))
        return decision.cluster_means(repeats.beyond_repeat(across, within))

    batch = {
        "in another batch": beyond("mixed", answers.mixed),
        "alone": beyond("alone", answers.alone),
    }
    order = None if answers.turned is None else beyond("turned", answers.turned)
    return answers, Changes(repeat, noise, batch, order, exact)


def _same_numbers(one: Predictive, other: Predictive) -> bool:
    mine, theirs = one.variables(), other.variables()
    return all(np.array_equal(mine[name], theirs[name]) for name in mine)


def summary(requests: Requests, answers: Answers, measured: Changes) -> dict[str, Any]:
    """How it was asked, for the JSON."""
    floor = measured.noise[~np.isnan(measured.noise)]
    finite = bool(floor.size) and bool(np.isfinite(floor).all())
    return {
        "datasets": answers.first.shape[0],
        "alone": answers.alone.shape[0],
        "context": requests.data.positions.tolist(),
        "answers": 4 if answers.twice else 3,
        "takes_seed": requests.candidate.takes_seed,
        "repeats_exactly": measured.exact,
        "noise": float(floor.mean()) if finite else None,
        "seconds": SECONDS,
        "seconds_alone": SINGLY_SECONDS,
    }
