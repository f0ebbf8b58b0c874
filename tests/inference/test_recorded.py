"""Recorded numbers: what every deterministic engine said of a few small data sets,
which no change of code may move.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from veribayes import registry
from veribayes.models._priors import Dirichlet
from veribayes.models._spec import task_of
from veribayes.models._task import Task
from veribayes.models.bayesian_network import BayesianNetwork, Edges
from veribayes.models.gaussian_process import GaussianProcess
from veribayes.models.gaussian_process._kernels import RBF
from veribayes.models.mtd import MTD
from veribayes.tree import Data

CHAIN = {"b": ["a"], "c": ["b"]}
TABLES = [[0.4, 0.6], [[0.1, 0.9], [0.7, 0.3]], [[0.5, 0.5], [0.2, 0.8]]]
TASKS: dict[str, Task] = {
    "learning": task_of(
        BayesianNetwork(list("abc"), CHAIN, 2, prior=Dirichlet(1.0)), positions=[0, 4]
    ),
    "graph": task_of(
        BayesianNetwork(list("abc"), "unknown", 2, prior=Dirichlet(1.0), edges=Edges(0.2, 0.8)),
        positions=[0, 4],
    ),
    "inference": task_of(BayesianNetwork(list("abc"), CHAIN, 2, cpts=TABLES)),
    "mtd": task_of(MTD(q=3, m=2), positions=[2, 8]),
    "gp": task_of(GaussianProcess(RBF(1.0, 0.8), 0.2), positions=[1, 4], queries=2),
}
# (task, engine): the sum of means (of probabilities where there are categories),
# weighted by cosines of their numbers
RECORDED: dict[tuple[str, str], float] = {
    ("learning", "conjugate"): 0.1332775514953637,
    ("learning", "row_quadrature"): 0.13327755149536347,
    ("learning", "mle"): 0.7058439799580026,
    ("learning", "naive_mle"): 0.7058439799580026,
    ("learning", "smoothed_mle"): 0.1332775514953637,
    ("learning", "all_predecessors"): 0.14062714220295058,
    ("learning", "prior_only"): -0.17186883106356798,
    ("learning", "ignores_parent"): 0.20929478816200675,
    ("learning", "narrow"): 0.42130669280875566,
    ("learning", "wide"): 0.41913257862689945,
    ("learning", "order_dependent"): -0.18188590440140218,
    ("graph", "structure_averaging"): -0.2931624809763826,
    ("graph", "graph_enumeration"): -0.29316248097638264,
    ("inference", "junction_tree"): -0.8400642761200546,
    ("inference", "elimination"): -0.8400642761200546,
    ("inference", "enumeration"): -0.8400642761200546,
    ("inference", "likelihood_weighting"): -0.8411467890818198,
    ("mtd", "simplex_quadrature"): 0.2380278611565866,
    ("mtd", "lag_counts"): 0.2380278611565871,
    ("mtd", "n_gram"): -0.3263965101338616,
    ("mtd", "expectation_maximization"): 0.27467757300734674,
    ("mtd", "off_by_one_lag"): 0.08726736817294897,
    ("mtd", "dropped_mode"): 0.05285992180284224,
    ("mtd", "permuted_classes"): -0.6886967653503832,
    ("mtd", "temperature"): 0.13531530954161872,
    ("gp", "cholesky"): -0.11131211984985602,
    ("gp", "sequential"): -0.1113121198498558,
    ("gp", "ball"): -0.11131211984985602,
    ("gp", "kernel_descent"): -0.2147818042963431,
    ("gp", "nadaraya_watson"): -2.353799693756541,
    ("gp", "preconditioned_descent"): -0.6277469249388289,
    ("gp", "wrong_prior"): -0.460823440339688,
    ("gp", "shifted"): -0.23158838228313294,
    ("gp", "finite_draws"): -0.22364636394540188,
}


@cache
def simulated(kind: str) -> Data:
    return TASKS[kind].simulate(range(3), seed=0).data


def weighted_sum(kind: str, engine: str) -> float:
    task = TASKS[kind]
    predictive = registry.engine(engine)(task, simulated(kind), seed=0).predictive
    values = predictive.expectation()
    if task.model.n_categories is not None:
        values = predictive.variables()["probs"]
    weights = np.cos(np.arange(values.size))
    return float(weights @ values.ravel())


@pytest.mark.parametrize(("kind", "engine"), RECORDED)
def test_an_engine_says_what_it_said(kind: str, engine: str) -> None:
    assert weighted_sum(kind, engine) == pytest.approx(RECORDED[kind, engine], rel=1e-9)
