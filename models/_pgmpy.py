"""pgmpy's `DiscreteBayesianNetwork` objects as networks of our own, checked table by table."""

from __future__ import annotations

from typing import Any

import numpy as np

from veribayes.errors import ModelError
from veribayes.models._check import shown
from veribayes.models.bayesian_network import BayesianNetwork


def is_pgmpy_network(value: object) -> bool:
    """Whether this is a discrete network of pgmpy; nothing is imported to find out."""
    return any(
        c.__module__.startswith("pgmpy.") and c.__name__ == "DiscreteBayesianNetwork"
        for c in type(value).__mro__
    )


def from_pgmpy(theirs: Any) -> BayesianNetwork:
    """The network in a pgmpy object: nodes, parents, states and tables with all of their digits.

    The states of a node are in the order of its own table. Other tables may list the states of a parent in another order, and
    are turned.

    Raises:
        ModelError: a node without a table, tables that contradict each other or the edges, or no probabilities.
    """
    names = {node: str(node) for node in theirs.nodes()}
    if len(set(names.values())) < len(names):
        raise ModelError("nodes with different names", shown(sorted(names.values())))
    tables = {cpd.variable: cpd for cpd in theirs.get_cpds()}
    if missing := [name for node, name in names.items() if node not in tables]:
        raise ModelError(
            "a table for each node of the pgmpy network",
            f"none for {shown(missing[0])}",
            "use add_cpds",
        )
    states = {node: list(tables[node].state_names[node]) for node in names}
    return BayesianNetwork(
        list(names.values()),
        {name: [names[p] for p in tables[node].variables[1:]] for node, name in names.items()},
        {name: [str(s) for s in states[node]] for node, name in names.items()},
        cpts={name: _table(theirs, tables[node], states) for node, name in names.items()},
    )


def _table(theirs: Any, cpd: Any, states: dict[Any, list[Any]]) -> Any:
    """Values as (*parents' states, states), every axis in the order of `states`."""
    node, *parents = cpd.variables
    where = f"the table of {shown(str(node))}"
    if set(parents) != set(theirs.get_parents(node)):
        edges = [str(p) for p in theirs.get_parents(node)]
        raise ModelError(
            f"parents as in the edges, {shown(edges)}, in {where}", shown([str(p) for p in parents])
        )
    values = np.asarray(cpd.values, dtype=np.float64)
    for axis, variable in enumerate(cpd.variables):
        listed, own = (
            [str(s) for s in some] for some in (cpd.state_names[variable], states[variable])
        )
        if (
            sorted(listed) != sorted(own)
            or len(set(own)) < len(own)
            or values.shape[axis] != len(listed)
        ):
            raise ModelError(
                f"states {shown(own)} of {shown(str(variable))} in {where}", shown(listed)
            )
        values = values.take([listed.index(s) for s in own], axis=axis)
    return np.moveaxis(values, 0, -1)
