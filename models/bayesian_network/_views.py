"""A network as a reader meets it: in a sentence, in an example, in the groups and distances of its contexts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from veribayes.models._layout import Column, Layout
from veribayes.models._model import Distance, Groups, Table, plain
from veribayes.tree import Data, IntArray
from veribayes.tree.shown import Example, Shown

if TYPE_CHECKING:
    from veribayes.models.bayesian_network import BayesianNetwork

NODES_NAMED = 12  # a larger graph does not fit a sentence
ROWS_SHOWN = 5
PAIRS = 60  # groups of one context size and one variable are formed up to this number

LEARNING = Layout(
    (
        Column("rows", "observation", ("row", "node"), "category"),
        Column("query", "query", ("query", "node"), "category"),
        Column("target", "query", ("query",), "category", shared=True),
    ),
    order="set",
    one="row in the context",
    several="rows in the context",
    tokens="rows",
)
INFERENCE = Layout(
    (
        Column("evidence", "observation", ("node",), "category"),
        Column("target", "query", ("query",), "category", shared=True),
    ),
    order="slots",
    one="node observed",
    several="nodes observed",
    tokens="nodes",
)


# -- words ---------------------------------------------------------------------------------------------------------------


def sentence(model: BayesianNetwork) -> str:
    """The graph, where it is small, and what is known of the tables."""
    spec = model.spec()
    nodes, parents = spec["nodes"], spec["parents"]
    tables = (
        f"tables unknown, every row with the prior {plain(spec['prior'])}"
        if model.prior
        else "tables known"
    )
    if model.edges is not None:
        law = f"each earlier node is a parent with one probability, uniform on [{model.edges.low:g}, {model.edges.high:g}]"
        return f"Bayesian network of {len(nodes)} nodes with an unknown graph: {law}; {tables}"
    size = f"Bayesian network of {len(nodes)} nodes and {sum(map(len, parents.values()))} edges"
    if len(nodes) > NODES_NAMED:
        return f"{size}; {tables}"
    graph = ", ".join(
        f"{n} ← ({', '.join(map(str, parents[n]))})" if parents.get(n) else str(n) for n in nodes
    )
    return f"{size}: {graph}; {tables}"


def example(model: BayesianNetwork, seen: Example) -> Shown:
    """Learning: the distinct rows with their counts, since rows are exchangeable. Inference: what is observed."""
    target = model.nodes[int(seen.arrays["target"][seen.query])]
    if model.prior is None:
        known = _known(model, seen.arrays["evidence"])
        return Shown(f"Observed: {', '.join(known) or 'nothing'}; asked: {target}.")
    known = _known(model, seen.arrays["query"][seen.query])
    text = f"New row with {', '.join(known) or 'nothing known'}; asked: {target}."
    return Shown(
        text, (*model.nodes, "rows"), _counted_rows(model, seen.arrays["rows"][: seen.context])
    )


def _known(model: BayesianNetwork, states: IntArray) -> list[str]:
    return [
        f"{model.nodes[i]} = {_state(model, i, state)}"
        for i, state in enumerate(states.tolist())
        if state >= 0
    ]


def _state(model: BayesianNetwork, node: int, state: int) -> str:
    return model.states[node][state]


def _counted_rows(model: BayesianNetwork, rows: IntArray) -> list[list[str]]:
    """The commonest rows, and how often all others occur together."""
    distinct, counts = np.unique(rows, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    table = []
    for i in order[:ROWS_SHOWN]:
        states = [_state(model, node, state) for node, state in enumerate(distinct[i].tolist())]
        table.append([*states, f"{int(counts[i])} ×"])
    rest = order[ROWS_SHOWN:]
    if rest.size:
        table.append([*["…"] * len(model.nodes), f"{int(counts[rest].sum())} ×"])
    return table


# -- groups of predictions -----------------------------------------------------------------------------------------------


def groups(model: BayesianNetwork, data: Data, sizes: Groups) -> Groups:
    """The variable asked for; tables that are learnt: whether the parents' configuration occurs; else what is observed."""
    target = data.arrays["target"]
    variables = {f"variable {model.nodes[i]}": (target == i)[None, None] for i in np.unique(target)}
    return {
        **variables,
        **(_seen(model, data, variables, sizes) if model.prior else _observed(model, data)),
    }


def _seen(model: BayesianNetwork, data: Data, variables: Groups, sizes: Groups) -> Groups:
    times = times_seen(model, data)
    found = {
        "parents' configuration not in the context": times == 0,
        "parents' configuration once in the context": times == 1,
    }
    if not 1 < len(variables) <= PAIRS / max(len(sizes), 1):
        return found
    for variable, asked in variables.items():
        for size, inside in sizes.items():
            found[f"{variable} at {size}"] = asked & inside
    return found


def times_seen(model: BayesianNetwork, data: Data) -> IntArray:
    """How many context rows have the query's parent configuration, (dataset, position, query)."""
    rows, asked, target = (data.arrays[name] for name in ("rows", "query", "target"))
    every = np.empty((*asked.shape[:2], rows.shape[1] + 1), dtype=np.int64)
    for q, node in enumerate(target):
        parents = list(model.parents[node])
        agree = (rows[..., parents] == asked[:, None, q][..., parents]).all(-1)
        every[:, q] = np.concatenate(
            [np.zeros((len(rows), 1), dtype=np.int64), agree.cumsum(1)], axis=1
        )
    return np.moveaxis(every[..., data.positions], -1, 1)


def _observed(model: BayesianNetwork, data: Data) -> Groups:
    evidence = data.arrays["evidence"][:, None, None]
    found = {}
    for i, node in enumerate(model.nodes):
        found[f"{node} not observed"] = evidence[..., i] == -1
        for j, state in enumerate(model.states[i]):
            found[f"{node} = {state}"] = evidence[..., i] == j
    return found


# -- looking inside ------------------------------------------------------------------------------------------------------


def distance(model: BayesianNetwork, context: Any, query: Any) -> Distance:
    """Parents on which a row differs from the query, or edges between an observed node and the one asked for."""
    if model.prior is None:
        edges = edges_between(model)
        return Distance("edges away", _numbers(int(edges.max()) + 1), edges[None])
    relevant = np.array(
        [np.isin(np.arange(len(model.nodes)), model.parents[t]) for t in query.target]
    )  # (Q, M)
    differ = ((context[:, None] != query.row[:, :, None]) & relevant[:, None]).sum(-1)  # (B, Q, n)
    return Distance(
        "parents on which the row differs", _numbers(int(relevant.sum(-1).max()) + 1), differ
    )


def edges_between(model: BayesianNetwork) -> IntArray:
    """Length of the shortest path between nodes, directions ignored, (M, M); one more than any where there is none."""
    nodes = len(model.nodes)
    linked = np.eye(nodes, dtype=bool)
    for node, parents in enumerate(model.parents):
        linked[node, list(parents)] = linked[list(parents), node] = True
    away, reached = np.zeros((nodes, nodes), dtype=np.int64), np.eye(nodes, dtype=bool)
    while True:
        wider = reached @ linked
        if not np.any(wider & ~reached):
            return away + ~reached
        away += ~reached
        reached = wider


def _numbers(count: int) -> list[str]:
    return [str(i) for i in range(count)]


def tables(model: BayesianNetwork) -> Sequence[Table]:
    """Known tables, one a node: given all parents of a node and nothing else, the answer is a row.

    Rows that the network makes impossible are asked like all others.
    """
    if model.prior is not None:
        return ()
    return [_table(model, node) for node in range(len(model.nodes))]


def _table(model: BayesianNetwork, node: int) -> Table:
    parents = list(model.parents[node])
    evidence = np.full((model.configurations[node], len(model.nodes)), -1)
    if parents:
        sizes = [len(model.states[p]) for p in parents]
        evidence[:, parents] = np.indices(sizes).reshape(len(parents), -1).T
    rows = [
        ", ".join(f"{model.nodes[p]}={_state(model, p, row[p])}" for p in parents)
        for row in evidence.tolist()
    ]
    first = int(model.offsets[node])
    true = model.theta[first : first + len(evidence)]
    return Table(
        model.nodes[node],
        rows,
        true,
        evidence,
        np.arange(len(model.nodes)),
        np.full(len(evidence), node),
    )
