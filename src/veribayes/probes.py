"""Looking inside: what a candidate reads, and what it has learned of the model.

    attention           of every layer: sink and diagonal mass, tokens read, head diversity, distance from the construction
    transition_matrix   mixtures of transitions: the matrix that the candidate uses, read off its answers
    context_used        how many of the latest observations decide the answer

Attention is there where the candidate exposes it: an object with `attention(context, query) -> (maps, leading)`, one map
(dataset, head, reader, read) a layer, `leading` of whose tokens are no observations. The networks of this package and the
constructions of mixtures of transitions do. The other two only ask questions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from veribayes import registry
from veribayes.errors import InputError
from veribayes.models._task import Task
from veribayes.models.mtd import MTD
from veribayes.predictive import Array, as_predictive
from veribayes.tree import Data
from veribayes.validation import attention as maps
from veribayes.validation import decision

DATASETS = 64  # on the stream `replicate`: nothing is decided here
Call = Callable[[Any, Any], Any]


def probe(task: Task, candidate: object, *, datasets: int = DATASETS, seed: int = 0) -> dict[str, Any]:
    """Everything that can be asked of this candidate, as plain data.

    Args:
        candidate: a shipped checkpoint, a checkpoint folder, a construction, or a callable.

    Raises:
        InputError: nothing of that name.
    """
    call = callable_of(candidate, task)
    data = task.simulate(range(datasets), seed=seed, stream="replicate").data
    out: dict[str, Any] = {"task": task.name, "datasets": datasets, "seed": seed}
    if hasattr(call, "attention"):
        out["attention"] = attention(task, call, data, seed)
    if isinstance(task.model, MTD):
        out["transition_matrix"] = transition_matrix(task, call)
        out["context_used"] = context_used(task, call, data)
    return out


def callable_of(candidate: object, task: Task) -> Call:
    """What answers (context, query), and may show its attention."""
    if not isinstance(candidate, str | Path):
        if callable(candidate):
            return candidate
        raise InputError("a callable, or the name of a checkpoint or a construction", type(candidate).__name__)
    name = str(candidate)
    folder = registry.checkpoint_path(name) or Path(name)
    if (folder / "card.json").is_file():
        from veribayes.transformer._candidates import network_candidate

        return network_candidate(folder, task)
    return construction(name, task, task.design.positions[-1])


def construction(name: str, task: Task, length: int, seed: int = 0) -> Call:
    """A construction for contexts of one length; mirror descent takes the step size that is best there."""
    part = registry.load("construction", name)
    if not isinstance(task.model, MTD):
        made: Call = part()(task)
        return made
    from veribayes.inference.estimators.mirror_descent import best_etas

    made = part(eta=best_etas(task.model, (length,), 1, seed)[0])(task)
    return made


def attention(task: Task, call: Any, data: Data, seed: int = 0) -> list[dict[str, Any]]:
    """One row a layer at the last design position, over the readers that answer."""
    context, query = task.model.inputs(data, len(data.positions) - 1)
    layers, leading = call.attention(context, query)
    lags = task.model.m if isinstance(task.model, MTD) else 0
    written = _written(task, context, query, seed) if lags else []
    rows = []
    for number, weights in enumerate(layers):
        found = maps.checked(weights)
        last = found[:, :, -1:] if lags else found
        row: dict[str, Any] = {
            "layer": number + 1,
            "heads": found.shape[1],
            "tokens_read": maps.tokens_read(last),
            "sink": maps.sink(last, leading),
            "diagonal": maps.diagonal(last) if lags else None,
            "diversity": maps.diversity(last),
        }
        if lags:
            row["by_distance"] = maps.by_distance(last, 2 * lags + 2).tolist()
            row["from_construction"] = [maps.apart(_observed(last, leading), other) for other in written]
        rows.append(row)
    return rows


def _written(task: Task, context: Any, query: Any, seed: int) -> list[Array]:
    """Attention of the last reader in the three-layer construction."""
    call: Any = construction("mtd_mirror_descent", task, context.shape[1], seed)
    return [maps.checked(m)[:, :, -1:] for m in call.attention(context, query)[0]]


def _observed(weights: Array, leading: int) -> Array:
    """Rows over the observations alone, made to sum to one."""
    rest = weights[..., leading:]
    total = rest.sum(-1, keepdims=True)
    return np.asarray(np.divide(rest, total, out=np.full_like(rest, 1 / rest.shape[-1]), where=total > 0))


def transition_matrix(task: Task, call: Call) -> dict[str, Any]:
    """The matrix that the candidate uses: after equal symbols a, every lag points at a, and the answer is pi(a, .).

    Asked after the shortest context of the design, which is at least m symbols.

    Returns:
        `learned` and `true` (q, q), and the mean and largest total variation between their rows; None for MTDg, where the
        answer mixes the matrices of the lags.
    """
    model = _mixture(task)
    constant = np.repeat(np.arange(model.q)[:, None], task.design.positions[0], axis=1)
    said = as_predictive(call(constant, None), (model.q, 1), model.q).variables()["probs"][:, 0]
    row: dict[str, Any] = {"learned": said.tolist(), "true": None, "mean_tv": None, "max_tv": None}
    if not model.per_lag:
        rows = 0.5 * np.abs(said - model.matrices[0]).sum(-1)
        row |= {"true": model.matrices[0].tolist(), "mean_tv": float(rows.mean()), "max_tv": float(rows.max())}
    return row


def context_used(task: Task, call: Call, data: Data, shares: Sequence[float] = (0.1, 0.01)) -> dict[str, Any]:
    """Mean KL(answer to the whole context || answer to its last k symbols), nats, for k doubling from the shortest context.

    `enough` says, for each share, how many symbols suffice for this share of the divergence at the shortest.
    """
    _mixture(task)
    context, _ = task.model.inputs(data, len(data.positions) - 1)
    whole, kl = _answers(task, call, context), registry.load("metric", "kl")
    lengths, k = [], task.design.positions[0]
    while k < context.shape[1]:
        lengths.append(k)
        k *= 2
    lost = [float(decision.cluster_means(kl.score(_answers(task, call, context[:, -k:])[:, None], whole[:, None],
                                                  np.zeros((len(context), 1, 1)))).mean()) for k in lengths]  # fmt: skip
    enough = {f"{share:g}": next((k for k, v in zip(lengths, lost, strict=True) if v <= share * lost[0]), context.shape[1])
              for share in shares}  # fmt: skip
    return {"symbols": lengths, "kl": lost, "enough": enough}


def _mixture(task: Task) -> MTD:
    if not isinstance(task.model, MTD):
        raise InputError("a mixture of transitions", f"'{task.model.kind}' in the task '{task.name}'")
    return task.model


def _answers(task: Task, call: Call, context: Array) -> Any:
    return as_predictive(call(context, None), (len(context), 1), task.model.n_categories)
