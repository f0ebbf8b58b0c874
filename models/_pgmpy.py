"""pgmpy's `DiscreteBayesianNetwork` objects as networks of our own, checked table by table."""

from __future__ import annotations

from typing import Any

import numpy as np

from veribayes.errors import ModelError
from veribayes.models._check import shown
from veribayes.models.bayesian_network import BayesianNetwork


def is_pgmpy_network(value: object) -> bool:
    """Whether this is a discrete network of pgmpy; nothing is imported to find out."""
    for base in type(value).__mro__:
        if base.__module__.startswith("pgmpy.") and base.__name__ == "DiscreteBayesianNetwork":
            return True
    return False


def from_pgmpy(theirs: Any) -> BayesianNetwork:
    """The network in a pgmpy object: nodes, parents, states and tables with all of their digits.

    The states of a node are in the order of its own table. Other tables may list the states of a
    parent in another order, and are turned.

    Raises:
        ModelError: a node without a table, tables that contradict each other or the edges, or no
            probabilities.
    """
    names = {node: str(node) for node in theirs.nodes()}
    if len(set(names.values())) < len(names):
        raise ModelError("nodes with different names", shown(sorted(names.values())))
    tables = {cpd.variable: cpd for cpd in theirs.get_cpds()}
    for node, name in names.items():
        if node not in tables:
            wanted = "a table for each node of the pgmpy network"
            raise ModelError(wanted, f"none for {shown(name)}", "use add_cpds")
    states = {node: list(tables[node].state_names[node]) for node in names}
    parents, labels, cpts = {}, {}, {}
    for node, name in names.items():
        parents[name] = [names[parent] for parent in tables[node].variables[1:]]
        labels[name] = [str(state) for state in states[node]]
        cpts[name] = _table(theirs, tables[node], states)
    return BayesianNetwork(list(names.values()), parents, labels, cpts=cpts)


def _table(theirs: Any, cpd: Any, states: dict[Any, list[Any]]) -> Any:
    """Values as (*parents' states, states), every axis in the order of `states`."""
    node, *parents = cpd.variables
    where = f"the table of {shown(str(node))}"
    if set(parents) != set(theirs.get_parents(node)):
        edges = list(map(str, theirs.get_parents(node)))
        wanted = f"parents as in the edges, {shown(edges)}, in {where}"
        raise ModelError(wanted, shown(list(map(str, parents))))
    values = np.asarray(cpd.values, dtype=np.float64)
    for axis, variable in enumerate(cpd.variables):
        listed = list(map(str, cpd.state_names[variable]))
        own = list(map(str, states[variable]))
        same = sorted(listed) == sorted(own) and len(set(own)) == len(own)
        if not same or values.shape[axis] != len(listed):
            wanted = f"states {shown(own)} of {shown(str(variable))} in {where}"
            raise ModelError(wanted, shown(listed))
        turned = [listed.index(state) for state in own]
        values = values.take(turned, axis=axis)
    return np.moveaxis(values, 0, -1)
