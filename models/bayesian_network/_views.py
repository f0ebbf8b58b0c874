"""A network as a reader meets it: its columns, a sentence, an example, groups and distances of
contexts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from veribayes.models._layout import Column, Layout
from veribayes.models._model import Distance, Groups, Table, plain
from veribayes.predictive import Mask
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


# -- words -----------------------------------------------------------------------------------------


def sentence(model: BayesianNetwork) -> str:
    """The graph, where it is small, and what is known of the tables."""
    spec = model.spec()
    nodes, parents = spec["nodes"], spec["parents"]
    tables = "tables known"
    if model.prior:
        tables = f"tables unknown, every row with the prior {plain(spec['prior'])}"
    if model.edges is not None:
        interval = f"[{model.edges.low:g}, {model.edges.high:g}]"
        law = f"each earlier node is a parent with one probability, uniform on {interval}"
        return f"Bayesian network of {len(nodes)} nodes with an unknown graph: {law}; {tables}"
    size = f"Bayesian network of {len(nodes)} nodes and {sum(map(len, parents.values()))} edges"
    if len(nodes) > NODES_NAMED:
        return f"{size}; {tables}"
    graph = []
    for node in nodes:
        arrows = f" ← ({', '.join(map(str, parents[node]))})" if parents.get(node) else ""
        graph.append(f"{node}{arrows}")
    return f"{size}: {', '.join(graph)}; {tables}"


def example(model: BayesianNetwork, seen: Example) -> Shown:
    """Learning: the distinct rows with their counts, since rows are exchangeable.

    Inference: what is observed.
    """
    target = model.nodes[int(seen.arrays["target"][seen.query])]
    if model.prior is None:
        known = _known(model, seen.arrays["evidence"])
        return Shown(f"Observed: {', '.join(known) or 'nothing'}; asked: {target}.")
    known = _known(model, seen.arrays["query"][seen.query])
    text = f"New row with {', '.join(known) or 'nothing known'}; asked: {target}."
    rows = _counted_rows(model, seen.arrays["rows"][: seen.context])
    return Shown(text, (*model.nodes, "rows"), rows)


def _known(model: BayesianNetwork, states: IntArray) -> list[str]:
    known = []
    for node, state in enumerate(states.tolist()):
        if state >= 0:
            known.append(f"{model.nodes[node]} = {_state(model, node, state)}")
    return known


def _state(model: BayesianNetwork, node: int, state: int) -> str:
    return model.states[node][state]


def _counted_rows(model: BayesianNetwork, rows: IntArray) -> list[list[str]]:
    """The commonest rows, and how often all others occur together."""
    distinct, counts = np.unique(rows, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    table = []
    for i in order[:ROWS_SHOWN]:
        row = enumerate(distinct[i].tolist())
        states = [_state(model, node, state) for node, state in row]
        table.append([*states, f"{int(counts[i])} ×"])
    rest = order[ROWS_SHOWN:]
    if rest.size:
        dots = ["…"] * len(model.nodes)
        table.append([*dots, f"{int(counts[rest].sum())} ×"])
    return table


# -- groups of predictions -------------------------------------------------------------------------


def groups(model: BayesianNetwork, data: Data, sizes: Groups) -> Groups:
    """The variable asked for, and what the context says of it.

    Tables that are learnt: whether the parents' configuration occurs; else what is observed.
    """
    target = data.arrays["target"]
    variables = {}
    for node in np.unique(target):
        variables[f"variable {model.nodes[node]}"] = (target == node)[None, None]
    if model.prior:
        return variables | _seen(model, data, variables, sizes)
    return variables | _observed(model, data)


def _seen(model: BayesianNetwork, data: Data, variables: Groups, sizes: Groups) -> dict[str, Mask]:
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
    times = np.zeros((*asked.shape[:2], rows.shape[1] + 1), dtype=np.int64)  # after each row
    for query, node in enumerate(target):
        parents = list(model.parents[node])
        wanted = asked[:, None, query][..., parents]
        agree = (rows[..., parents] == wanted).all(-1)
        times[:, query, 1:] = agree.cumsum(1)
    return np.moveaxis(times[..., data.positions], -1, 1)


def _observed(model: BayesianNetwork, data: Data) -> dict[str, Mask]:
    evidence = data.arrays["evidence"][:, None, None]
    found = {}
    for i, node in enumerate(model.nodes):
        found[f"{node} not observed"] = evidence[..., i] == -1
        for j, state in enumerate(model.states[i]):
            found[f"{node} = {state}"] = evidence[..., i] == j
    return found


# -- looking inside --------------------------------------------------------------------------------


def distance(model: BayesianNetwork, context: Any, query: Any) -> Distance:
    """Parents on which a row differs from the query, or edges between an observed node and the one
    asked for.
    """
    if model.prior is None:
        edges = edges_between(model)
        return Distance("edges away", _numbers_to(int(edges.max())), edges[None])
    is_parent = np.zeros((len(model.nodes), len(model.nodes)), dtype=bool)
    for node, parents in enumerate(model.parents):
        is_parent[node, list(parents)] = True
    relevant = is_parent[query.target]  # (Q, M)
    differs = context[:, None] != query.row[:, :, None]  # (B, Q, n, M)
    count = (differs & relevant[:, None]).sum(-1)
    most = int(relevant.sum(-1).max())
    return Distance("parents on which the row differs", _numbers_to(most), count)


def edges_between(model: BayesianNetwork) -> IntArray:
    """Length of the shortest path between nodes, directions ignored, (M, M).

    It is one more than any where there is none.
    """
    nodes = len(model.nodes)
    linked = np.eye(nodes, dtype=bool)
    for node, parents in enumerate(model.parents):
        linked[node, list(parents)] = True
        linked[list(parents), node] = True
    away = np.zeros((nodes, nodes), dtype=np.int64)
    reached = np.eye(nodes, dtype=bool)
    while True:
        wider = reached @ linked
        if not np.any(wider & ~reached):
            return away + ~reached
        away += ~reached
        reached = wider


def _numbers_to(last: int) -> list[str]:
    return [str(i) for i in range(last + 1)]


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
    rows = []
    for row in evidence.tolist():
        parent_states = [f"{model.nodes[p]}={_state(model, p, row[p])}" for p in parents]
        rows.append(", ".join(parent_states))
    first = int(model.offsets[node])
    true = model.theta[first : first + len(evidence)]
    every_node = np.arange(len(model.nodes))
    asked = np.full(len(evidence), node)
    return Table(model.nodes[node], rows, true, evidence, every_node, asked)
