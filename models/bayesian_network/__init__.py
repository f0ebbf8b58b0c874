"""Bayesian networks over finite variables, for two kinds of question.

Learning (a `prior` over the rows of the conditional probability tables is given): the context is n
complete rows of one data set with unknown tables, a query is a row known up to its target node.
Inference (the tables `cpts` are given): the context is evidence on some nodes, a query asks for one
other node.

Notation: M nodes in topological order; a *row* of theta is one parent configuration of one node, R
rows in all, stacked in node order and inside a node in C order of its parents (the last parent
varies fastest); K is the largest number of states.
"""

from __future__ import annotations

from veribayes.models._priors import BIMODAL, Dirichlet, UniformInterval, UniformMixture
from veribayes.models.bayesian_network._graph import Edges as Edges
from veribayes.models.bayesian_network._network import BayesianNetwork
from veribayes.models.bayesian_network._structure import RowQuery as RowQuery
from veribayes.models.bayesian_network._tables import MAX_ENTRIES as MAX_ENTRIES
from veribayes.models.bayesian_network._tables import checked_table as checked_table

__all__ = ["BIMODAL", "BayesianNetwork", "Dirichlet", "UniformInterval", "UniformMixture"]

PART = BayesianNetwork
