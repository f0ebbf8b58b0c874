"""Looking inside: what a candidate reads, beside what theory writes down, and what it has learned of the model.

    attention      of every layer: sink and diagonal mass, tokens read, head diversity, mass by distance
    construction   how far the nearest head of every layer is from each layer that theory writes down
    tables         mixtures of transitions and networks with known tables: the tables that the answers imply
    context_used   how much an answer to the latest observations alone differs from the one to all of them

Attention is there where the candidate exposes it: an object with `attention(context, query) -> (maps, leading)`, one map
(dataset, head, reader, read) a layer, the answering readers last, `leading` of whose tokens are no observations. The networks
of this package and the constructions do. Intervals are 95 %, over data sets; nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from veribayes import registry
from veribayes.candidates import import_object, queries_of, searched
from veribayes.errors import InputError
from veribayes.models._model import Distance, Table
from veribayes.models._task import Task
from veribayes.predictive import Array, Predictive, as_predictive, stack
from veribayes.tree import Data
from veribayes.validation import attention as maps
from veribayes.validation import bootstrap, decision, stability

SCHEMA = "veribayes.probe/1"
DATASETS = 64  # on the stream `replicate`: nothing is decided here
SHOWS = "a candidate that shows its attention: an object with attention(context, query)"
SHARES = (0.1, 0.01)  # of the divergence at the shortest context, for `enough`
Call = Callable[[Any, Any], Any]


def probe(
    task: Task,
    candidate: object,
    *,
    against: str | None = None,
    datasets: int = DATASETS,
    seed: int = 0,
) -> dict[str, Any]:
    """Everything that can be asked of this candidate, as plain data of schema `veribayes.probe/1`.

    Args:
        candidate: a checkpoint by name or folder, a construction, `package.module:object`, or an object.
        against: construction to hold it against; None: the first that serves the task, if any does.

    Raises:
        InputError: fewer than two data sets, nothing of that name, no attention, or a construction for another family.
    """
    if not 2 <= datasets < 2**32:
        raise InputError(
            "datasets: at least two, for intervals over them", f"{datasets}", "set --datasets"
        )
    call = callable_of(candidate, task)
    data = task.simulate(range(datasets), seed=seed, stream="replicate").data
    return {
        "schema": SCHEMA,
        "task": task.name,
        "candidate": str(candidate)
        if isinstance(candidate, str | Path)
        else type(candidate).__name__,
        "datasets": datasets,
        "seed": seed,
        "context": int(data.positions[-1]),
        "attention": attention(task, call, data, seed),
        "construction": beside(task, call, data, against, seed),
        "tables": tables(task, call),
        "context_used": context_used(task, call, data, seed),
    }


# -- who is asked -----------------------------------------------------------------------------------------------------


def task_name(candidate: str) -> str:
    """The shipped task that a checkpoint was trained for.

    Raises:
        InputError: no checkpoint, or one whose card names no shipped task: a card's word is never read as a file or imported.
    """
    folder = registry.checkpoint_path(candidate) or Path(candidate)
    if not (folder / "card.json").is_file():
        raise InputError(
            "--task for what is no checkpoint", f"'{candidate}' alone", "name the task with --task"
        )
    from veribayes.transformer._checkpoint import read_card

    name = read_card(folder).task
    if registry.task_path(name) is None:
        raise InputError(
            "--task for a checkpoint of a task that is not shipped", f"a card that says {name!r}"
        )
    return name


def callable_of(candidate: object, task: Task) -> Call:
    """What answers (context, query) and may show its attention."""
    made = _named(str(candidate), task) if isinstance(candidate, str | Path) else candidate
    if not callable(made):
        raise InputError(
            "a callable, or the name of a checkpoint or a construction", type(made).__name__
        )
    return made


def _named(name: str, task: Task) -> object:
    folder, part = registry.checkpoint_path(name) or Path(name), name.replace("-", "_")
    if (folder / "card.json").is_file():
        from veribayes.transformer._candidates import network_candidate

        return network_candidate(folder, task)
    if part in registry.names("construction"):
        return construction(part, task, task.design.positions[-1])
    if ":" in name:
        return import_object(name)
    wanted = (
        SHOWS
        if part in registry.names("engine")
        else "a checkpoint, a construction or package.module:object"
    )
    raise InputError(wanted, f"'{name}'", "see 'veribayes list candidates'")


def construction(name: str, task: Task, length: int, seed: int = 0) -> Call:
    """A construction for contexts of one length; mirror descent takes the step size that is best there."""
    part = registry.load("construction", name)()
    made: Call = searched(part, task, (length,), seed)(task)
    return made


# -- attention --------------------------------------------------------------------------------------------------------


def attention(task: Task, call: Any, data: Data, seed: int = 0) -> dict[str, Any]:
    """Statistics of every layer at the last design position, over the readers that answer.

    Returns:
        unit and labels of `by_distance`, `even` (what an even spread over the observations has there), and a row a layer.
    """
    context, query = task.model.inputs(data, len(data.positions) - 1)
    layers, leading = shown(call, context, query)
    far = task.model.distance(context, query)
    even = maps.observed(np.zeros_like(_answering(layers[0], task)[:, :1]), leading)
    return {
        "distance": far.name,
        "labels": far.labels,
        "even": maps.by_bin(even, far.classes, len(far.labels)).mean((0, 1)).tolist(),
        "layers": [
            {"layer": i, **_row(w, leading, far, task, seed)} for i, w in enumerate(layers, 1)
        ],
    }


def shown(call: Any, context: Any, query: Any) -> tuple[list[Array], int]:
    """The maps of a candidate, checked, and how many of the tokens that are read first are no observations."""
    if not hasattr(call, "attention"):
        raise InputError(
            SHOWS, f"'{getattr(call, '__qualname__', type(call).__name__)}' without it"
        )
    layers, leading = call.attention(context, query)
    return [maps.checked(w) for w in layers], leading


def _row(weights: Array, leading: int, far: Distance, task: Task, seed: int) -> dict[str, Any]:
    last, own = _answering(weights, task), _own(weights, leading, task)
    mass = maps.by_bin(last[..., leading:], far.classes, len(far.labels))
    return {
        "heads": weights.shape[1],
        "tokens_read": summary(maps.tokens_read(last), seed, 1.0, np.inf),
        "sink": summary(maps.sink(last, leading), seed),
        "diagonal": None if own is None else summary(maps.diagonal(own), seed),
        "diversity": summary(maps.diversity(last), seed),
        "by_distance": summary(mass, seed),
    }


def _answering(weights: Array, task: Task) -> Array:
    """The readers that answer: the last symbol, the queries of a set, or every node of a network."""
    if task.model.layout.order == "sequence":
        return weights[:, :, -1:]
    readers, read = weights.shape[2:]
    return weights[:, :, read:] if readers > read else weights


def _own(weights: Array, leading: int, task: Task) -> Array | None:
    """The square map of tokens that read and are read: of a sequence the last symbol; None where no token is both."""
    readers, read = weights.shape[2:]
    if readers < read:
        return None
    first = read - 1 if task.model.layout.order == "sequence" else leading
    return weights[:, :, first:read, first:]


# -- beside the construction ------------------------------------------------------------------------------------------


def beside(
    task: Task, call: Any, data: Data, against: str | None = None, seed: int = 0
) -> dict[str, Any]:
    """Total variation of the nearest head of every layer from each layer of a construction, over the observations.

    Returns:
        name, roles of the constructed layers that read observations, `distance` [layer][constructed layer] with `head`, and
        `even`, the distance of an even spread; or `refused`, why no construction serves the task.
    """
    context, query = task.model.inputs(data, len(data.positions) - 1)
    try:
        name, made = _serving(task, against, seed)
        written, first = shown(made, context, query)
    except InputError as error:
        if against is not None:
            raise
        return {"refused": " ".join(str(error).split())}
    reads = [
        i
        for i, w in enumerate(written)
        if maps.sink(_answering(w, task), first).mean() < 1 - maps.ROW_SUM
    ]
    wanted = [maps.observed(_answering(written[i], task), first) for i in reads]
    layers, leading = shown(call, context, query)
    own = [maps.observed(_answering(w, task), leading) for w in layers]
    each = [
        [maps.apart(one, other) for other in wanted] for one in own
    ]  # [layer][constructed] (dataset, head)
    heads = [[int(v.mean(0).argmin()) for v in row] for row in each]
    nearest = [
        [v[:, h] for v, h in zip(row, best, strict=True)]
        for row, best in zip(each, heads, strict=True)
    ]
    even = [maps.apart(np.full_like(w, 1 / w.shape[-1]), w)[:, 0] for w in wanted]
    return {
        "name": name,
        "roles": [made.roles[i] for i in reads],
        "distance": summary(np.moveaxis(np.array(nearest), -1, 0), seed),
        "head": [[h + 1 for h in row] for row in heads],
        "even": summary(np.stack(even, axis=-1), seed),
    }


def _serving(task: Task, against: str | None, seed: int) -> tuple[str, Any]:
    """The construction of this name, or the first for the family."""
    kind = task.model.kind
    names = [
        n
        for n in registry.usable("construction")
        if kind in registry.load("construction", n).families
    ]
    name = against.replace("-", "_") if against else next(iter(names), None)
    if name is None:
        raise InputError("a family for which theory writes weights down", f"'{kind}'")
    return name, construction(name, task, task.design.positions[-1], seed)


# -- what was learned -------------------------------------------------------------------------------------------------


def tables(task: Task, call: Call) -> list[dict[str, Any]]:
    """The tables that the answers imply, each `learned` and `true` with the total variation between their rows.

    Nothing random is drawn: the model says which contexts ask for a row. Sequences are asked after the shortest context of the
    design. Empty where the model has no such table.
    """
    return [
        _asked(table, task, call) for table in task.model.known_tables(task.design.positions[0])
    ]


def _asked(table: Table, task: Task, call: Call) -> dict[str, Any]:
    queries = 1 if table.query is None else len(table.query)
    said = as_predictive(
        call(table.context, table.query), (len(table.rows), queries), task.model.n_categories
    )
    rows = said.variables()["probs"][np.arange(len(table.rows)), table.at]
    return _table(table.name, list(table.rows), rows, table.true)


def _table(name: str, rows: list[str], learned: Array, true: Array) -> dict[str, Any]:
    variation = 0.5 * np.abs(learned - true).sum(-1)
    return {"name": name, "rows": rows, "learned": learned.tolist(), "true": true.tolist(),
            "mean_tv": float(variation.mean()), "max_tv": float(variation.max())}  # fmt: skip


def context_used(task: Task, call: Call, data: Data, seed: int = 0) -> dict[str, Any] | None:
    """Mean Jensen-Shannon divergence between the answers to the whole context and to a part of it, nats.

    Of the candidate and of exact Bayes; unlike KL it is finite where a part calls impossible what the whole does not.
    The part is the last k observations, k doubling from the shortest context; where their order means nothing, any k. `enough`
    says, for each share, how many suffice for this share of the divergence at the shortest. None for evidence on nodes.
    """
    if len(data.positions) < 2:
        return None
    lengths, whole = [max(1, int(data.positions[0]))], int(data.positions[-1])
    while 2 * lengths[-1] < whole:
        lengths.append(2 * lengths[-1])
    parts = [task.model.layout.latest(data, k) for k in (*lengths, whole)]
    engine = registry.engine(task.reference)
    exact = stack([engine(task, part, seed=seed).predictive[:, 0] for part in parts], axis=1)
    said = stack([_answers(task, call, part) for part in parts], axis=1)
    lost = {"candidate": _lost(said), "exact": _lost(exact)}
    return {
        "observations": lengths,
        **{name: summary(values, seed) for name, values in lost.items()},
        **{
            f"{name}_enough": _enough(values.mean(0), lengths, whole)
            for name, values in lost.items()
        },
    }


def _answers(task: Task, call: Call, data: Data) -> Predictive:
    context, query = task.model.inputs(data, 0)
    return as_predictive(
        call(context, query), (len(data.index), queries_of(task, data)), task.model.n_categories
    )


def _lost(answers: Predictive) -> Array:
    """Divergence of each other position from the last, of one predictor, (dataset, position)."""
    js, (datasets, positions, queries) = registry.load("metric", "js"), answers.shape
    nothing = np.zeros((datasets, 1, queries))  # this metric asks for no outcome
    each = [js.score(answers[:, k : k + 1], answers[:, -1:], nothing) for k in range(positions - 1)]
    return np.stack([decision.cluster_means(values) for values in each], axis=1)


def _enough(lost: Array, lengths: list[int], whole: int) -> dict[str, int]:
    return {f"{share:g}": next((k for k, v in zip(lengths, lost, strict=True) if v <= share * lost[0]), whole)
            for share in SHARES}  # fmt: skip


def summary(values: Array, seed: int, lowest: float = 0.0, highest: float = 1.0) -> dict[str, Any]:
    """Mean over data sets with its 95 % limits, cut where the quantity ends; values (dataset, *column).

    A limit that the sample does not support is null, with the `reason` in its place in a list of the same shape.
    """
    low, high = (np.clip(v, lowest, highest) for v in bootstrap.limits(values, seed=seed))
    estimate = values.mean(0)
    shown = stability.shown(estimate, low, high, values, within=(lowest, highest))
    absent = np.isnan(shown).any(0)
    found = {"estimate": estimate.tolist(), "low": _listed(shown[0]), "high": _listed(shown[1])}
    if not absent.any():
        return found
    reason = np.full(absent.shape, None, dtype=object)
    reason[absent] = stability.UNSTABLE.format(side="upper")
    return {**found, "reason": reason.tolist()}


def _listed(values: Array) -> Any:
    """As JSON, in nested lists; null for NaN."""
    listed = values.astype(object)
    listed[np.isnan(values)] = None
    return listed.tolist()
