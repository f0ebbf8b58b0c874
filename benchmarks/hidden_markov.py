"""Hidden Markov models: the next symbol after every prefix, beside hmmlearn.

hmmlearn's public call for what is known of a state is `score_samples`, which smooths a whole
sequence; the belief after each prefix is its last state, so that it is asked about every prefix,
all of them in one call. Its compiled forward pass is no public call and gives all prefixes at once;
the row that names it is the least that hmmlearn could take, a sequence at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks._timing import Row, cpu_seconds, row
from veribayes import registry
from veribayes.models import _spec
from veribayes.models._task import Task
from veribayes.models.hmm import HMM
from veribayes.predictive import Array
from veribayes.tree import Data, IntArray

UNIT = "a sequence"
SIZES = ((3, 4, 32), (5, 8, 128), (20, 50, 128))  # states, symbols, length
ENGINE = registry.load("engine", "forward_filter")(latents=False)  # finding a part reads folders
SEQUENCES, FEW = 2000, 20  # for our engine, and for the peer


def rows() -> Iterator[Row]:
    """Two rows a size; none without the peer."""
    try:
        import hmmlearn.hmm  # noqa: F401
    except ImportError:
        return
    for size in SIZES:
        yield from _of_size(*size)


def _of_size(states: int, symbols: int, length: int) -> Iterator[Row]:
    task, data = work(states, symbols, length)
    ours = cpu_seconds(lambda: answer(task, data), SEQUENCES)
    few = data.select(datasets=slice(FEW))
    exact = answer(task, few)
    label = f"hmm {states} states, {symbols} symbols, T={length}"
    peer = learned(task.model)
    for name, ask, goal in PEERS:
        theirs = cpu_seconds(partial(ask, peer, few.arrays["y"]), FEW)
        away = float(np.abs(ask(peer, few.arrays["y"]) - exact).max())
        yield row(label, "forward_filter", ours, name, theirs, error=away, goal=goal)


def work(states: int, symbols: int, length: int) -> tuple[Task, Data]:
    """A task with tables from a seed, and its sequences at every prefix."""
    model = HMM(states, symbols, matrix_seed=0)
    task = _spec.task_of(model, name="hidden_markov", positions=(length,))
    data = task.simulate(range(SEQUENCES), seed=0).data
    every_prefix = np.arange(1, length + 1)
    return task, Data(data.arrays, every_prefix, data.index)


def answer(task: Task, data: Data) -> Array:
    """Our engine's probabilities, (sequence, prefix, symbol)."""
    probs: Array = ENGINE(task, data, seed=0).predictive.variables()["probs"]
    return probs[:, :, 0]


def learned(model: Any) -> Any:
    """The peer's model with the same tables."""
    from hmmlearn.hmm import CategoricalHMM

    peer = CategoricalHMM(n_components=model.states, implementation="scaling")
    peer.startprob_, peer.transmat_ = model.tables.initial, model.tables.transition
    peer.emissionprob_, peer.n_features = model.tables.emission, model.symbols
    return peer


def by_prefix(peer: Any, y: IntArray) -> Array:
    """Its posteriors at the end of every prefix, one step on, (sequence, prefix, symbol)."""
    length = y.shape[1]
    lengths = np.tile(np.arange(1, length + 1), len(y))
    prefixes = [sequence[:n] for sequence in y for n in range(1, length + 1)]
    _, posteriors = peer.score_samples(np.concatenate(prefixes)[:, None], lengths)
    last = posteriors[np.cumsum(lengths) - 1].reshape(*y.shape, -1)
    return np.asarray(last @ peer.transmat_ @ peer.emissionprob_)


def by_forward_pass(peer: Any, y: IntArray) -> Array:
    """Its compiled forward lattice of every sequence, (sequence, prefix, symbol)."""
    from hmmlearn import _hmmc

    ahead = peer.transmat_ @ peer.emissionprob_
    answers = []
    for sequence in y:
        likelihood = peer._compute_likelihood(sequence[:, None])
        _, lattice, _ = _hmmc.forward_scaling(peer.startprob_, peer.transmat_, likelihood)
        belief = lattice / lattice.sum(-1, keepdims=True)
        answers.append(belief @ ahead)
    return np.stack(answers)


PEERS = (("hmmlearn", by_prefix, 100.0), ("hmmlearn's forward pass", by_forward_pass, 1.0))
