"""How much an answer to the latest observations alone differs from the one to all of them,
and whether exact Bayes' does.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from veribayes import registry
from veribayes.predictive import Array, Predictive, stack
from veribayes.validation import decision
from veribayes.validation.probes._probe import Probe, Subject, summary

SHARES = (0.1, 0.01)  # of the divergence at the shortest context, for `enough`


def _ask(subject: Subject) -> dict[str, Any] | None:
    """Mean Jensen-Shannon divergence between the answers to the whole context and to a part of it,
    nats.

    Of the candidate and of exact Bayes; unlike KL it is finite where a part calls impossible what
    the whole does not. The part is the last k observations, k doubling from the shortest context;
    where their order means nothing, any k. `enough` says, for each share, how many suffice for this
    share of the divergence at the shortest. None for evidence on nodes.
    """
    data = subject.data
    if len(data.positions) < 2:
        return None
    whole = int(data.positions[-1])
    lengths = _doubling(max(1, int(data.positions[0])), whole)
    parts = [subject.task.model.layout.latest(data, k) for k in (*lengths, whole)]
    exact = stack([subject.exact(part) for part in parts], axis=1)
    answers = stack([subject.answers(part) for part in parts], axis=1)
    lost = {"candidate": _lost(answers), "exact": _lost(exact)}
    entry: dict[str, Any] = {"observations": lengths}
    for name, values in lost.items():
        entry[name] = summary(values, subject.seed)
    for name, values in lost.items():
        entry[f"{name}_enough"] = _enough(values.mean(0), lengths, whole)
    return entry


def _doubling(shortest: int, whole: int) -> list[int]:
    """Lengths of the parts: none of them reaches the whole."""
    lengths = [shortest]
    while 2 * lengths[-1] < whole:
        lengths.append(2 * lengths[-1])
    return lengths


def _lost(answers: Predictive) -> Array:
    """Divergence of each other position from the last, of one predictor, (dataset, position)."""
    js = registry.load("metric", "js")
    datasets, positions, queries = answers.shape
    nothing = np.zeros((datasets, 1, queries))  # this metric asks for no outcome
    whole = answers[:, -1:]
    columns = []
    for k in range(positions - 1):
        scores = js.score(answers[:, k : k + 1], whole, nothing)
        columns.append(decision.cluster_means(scores))
    return np.stack(columns, axis=1)


def _enough(lost: Array, lengths: list[int], whole: int) -> dict[str, int]:
    """The fewest observations for each share; the whole context where no part is enough."""
    enough = {}
    for share in SHARES:
        sufficient = [k for k, v in zip(lengths, lost, strict=True) if v <= share * lost[0]]
        enough[f"{share:g}"] = sufficient[0] if sufficient else whole
    return enough


PART = Probe(
    name="context_used",
    label="how much of the context it uses",
    about="Whether fewer observations change its answer as they change that of exact Bayes.",
    ask=_ask,
    place=40,
)
