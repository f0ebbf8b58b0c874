"""Bayesian networks: all single-node posteriors given random evidence, against pyAgrum and pgmpy.

Each node is observed with probability 1/2. Two kinds of batch: a pattern of its own in every row,
or one pattern in all rows. Peers answer row by row, as their interfaces have it: pyAgrum's lazy
propagation on one thread, pgmpy's variable elimination with one query a node. CPU seconds a row,
everything that depends on the evidence included; the network is compiled before.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from importlib import resources
from typing import Any

import numpy as np

from benchmarks._timing import Row, cpu_seconds, row
from veribayes import registry
from veribayes.models.bayesian_network import BayesianNetwork
from veribayes.models.readers.bif import read_bif
from veribayes.tree import IntArray

UNIT = "a row of evidence"

SECONDS = 1.0  # a peer gets as many rows as it answers in about this time, at least three
SMALL = ("asia", "child", "alarm", "insurance", "hailfinder", "win95pts", "hepar2")
LARGE = ("andes", "pigs", "water", "mildew", "barley", "pathfinder", "diabetes", "munin1", "link")
ROWS = {
    "small": (10_000, 10_000),
    "large": (16, 2_000),
}  # of our engine: a pattern per row, one pattern
# a pattern per row: on asia, child and alarm; one pattern: on every network
GOALS = {"pyagrum": (300.0, 20.0), "pgmpy": (4000.0, 1.0)}
WITH_PGMPY = ("asia", "child", "alarm")


def rows() -> Iterator[Row]:
    """One row for each network, kind of batch and peer;
    a peer that is not installed is named and left out.
    """
    if importlib.util.find_spec("pyagrum") is None:
        print(
            "pyAgrum is not installed: its rows are left out (pip install 'veribayes[peers]')",
            file=sys.stderr,
        )
    for name in (*SMALL, *LARGE):
        yield from _network(name)


def _network(name: str) -> Iterator[Row]:
    model = published(name)
    many, alike = ROWS["small" if name in SMALL else "large"]
    batches = (
        ("a pattern per row", observed(model, many)),
        ("one pattern", observed(model, alike, alike=True)),
    )
    for kind, (label, evidence) in enumerate(batches):
        ours, answers = junction_tree(model, evidence)
        for peer, work in peers(name, model):
            theirs, error = timed(work, evidence, answers)
            goal = 1.0 if name not in WITH_PGMPY and not kind else GOALS[peer][kind]
            yield row(
                f"{name}, {label}", "junction_tree", ours, peer, theirs, error=error, goal=goal
            )


def published(name: str) -> BayesianNetwork:
    """A network of the bnlearn repository, from pgmpy's package data."""
    with resources.as_file(
        resources.files("pgmpy.utils.example_models") / f"{name}.bif.gz"
    ) as path:
        return read_bif(path)


def observed(model: BayesianNetwork, number: int, *, alike: bool = False) -> IntArray:
    """Rows from the joint law; every node observed with probability 1/2,
    in each row or (`alike`) once for all.
    """
    rng, values = np.random.default_rng(0), np.zeros((number, len(model.nodes)), dtype=np.int64)
    for i, (parents, table) in enumerate(zip(model.parents, model.tables, strict=True)):
        law = np.broadcast_to(
            table[tuple(values[:, p] for p in parents)], (number, table.shape[-1])
        ).cumsum(1)
        values[:, i] = (rng.random((number, 1)) * law[:, -1:] >= law[:, :-1]).sum(1)
    return np.where(rng.random(values[:1].shape if alike else values.shape) < 0.5, values, -1)


def junction_tree(model: BayesianNetwork, evidence: IntArray) -> tuple[float, Any]:
    """CPU seconds a row of our engine, for posteriors and P(evidence); and the posteriors."""
    engine = registry.engine("junction_tree", {"memory": "2.0"})
    probs, _ = engine.posteriors(model, evidence)
    return cpu_seconds(lambda: engine.posteriors(model, evidence), len(evidence), warm=False), probs


def peers(name: str, model: BayesianNetwork) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    """Name of a peer and a function from one row of evidence to the posteriors of all nodes."""
    if importlib.util.find_spec("pyagrum") is not None:
        yield "pyagrum", agrum(model)
    if name in WITH_PGMPY:
        yield "pgmpy", pgmpy(model)


def agrum(model: BayesianNetwork) -> Callable[[Any], Any]:
    """Our tables in a pyAgrum network: its BIF reader keeps float32."""
    import pyagrum as gum

    theirs = gum.BayesNet()
    for node, states in zip(model.nodes, model.states, strict=True):
        theirs.add(gum.LabelizedVariable(node, node, list(states)))
    for node, parents, table in zip(model.nodes, model.parents, model.tables, strict=True):
        for parent in parents:
            theirs.addArc(model.nodes[parent], node)
        cpt, family = theirs.cpt(node), [*(model.nodes[p] for p in parents), node]
        cpt.fillWith(
            table.transpose([family.index(n) for n in reversed(cpt.names)]).ravel().tolist()
        )
    engine = gum.LazyPropagation(theirs)
    engine.setNumberOfThreads(1)

    def posteriors(row: Any) -> Any:
        engine.setEvidence({model.nodes[i]: int(v) for i, v in enumerate(row) if v >= 0})
        engine.makeInference()
        return [engine.posterior(node).toarray() for node in model.nodes]

    return posteriors


def pgmpy(model: BayesianNetwork) -> Callable[[Any], Any]:
    """One query for each node that is not observed."""
    from veribayes.inference.pgmpy import _peer

    peer = _peer(model)

    def posteriors(row: Any) -> Any:
        seen = {i: int(v) for i, v in enumerate(row) if v >= 0}
        out = [np.eye(len(states))[max(v, 0)] for states, v in zip(model.states, row, strict=True)]
        for i in np.flatnonzero(row < 0).tolist():
            out[i] = peer.query([i], evidence=seen, show_progress=False).values
        return out

    return posteriors


def timed(work: Callable[[Any], Any], evidence: IntArray, answers: Any) -> tuple[float, float]:
    """CPU seconds a row of a peer, and the largest difference of its answers from ours."""
    work(evidence[0])
    spent, worst, done = 0.0, 0.0, 0
    while done < len(evidence) and (spent < SECONDS or done < 3):
        start = time.process_time()
        found = work(evidence[done])
        spent += time.process_time() - start
        worst = max(
            worst,
            *(float(np.abs(answers[done, i, : len(p)] - p).max()) for i, p in enumerate(found)),
        )
        done += 1
    return spent / done, worst
