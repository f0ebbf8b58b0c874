"""All single-node posteriors of a small network with known tables, from its full joint table."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from veribayes.errors import ReferenceRefused
from veribayes.inference._engine import EPS, certify, name_of
from veribayes.inference._known import at_positions, known_network, magnitude, require_possible
from veribayes.models._task import Task
from veribayes.models.bayesian_network import BayesianNetwork
from veribayes.predictive import Array
from veribayes.tree import Branch, Data, IntArray
from veribayes.tree.method import Method

LARGEST = 2**22  # entries of the joint table: 32 MiB
MOST_AXES = 64  # NumPy's: nodes with one state add axes and no entries


@dataclass(frozen=True)
class Enumeration:
    """Multiply all tables, keep what agrees with the evidence, sum."""

    method: ClassVar[Method] = Method.EXACT
    families: ClassVar[tuple[str, ...]] = ("bayesian_network",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        model = known_network(self, task, data)
        entries = math.prod(model.cardinalities.tolist())
        if entries > LARGEST:
            reason = (
                f"the joint table has {magnitude(entries)} entries, more than {LARGEST:.1e}; use "
                "junction_tree"
            )
            raise ReferenceRefused(name_of(self), [reason])
        if len(model.nodes) > MOST_AXES:
            reason = (
                f"the joint table of {len(model.nodes)} nodes has more than {MOST_AXES} axes; use "
                "junction_tree"
            )
            raise ReferenceRefused(name_of(self), [reason])
        joint = _joint(model)
        rows = data.arrays["evidence"]
        probs = np.zeros((len(rows), len(model.nodes), model.width))
        mass = np.zeros(len(rows))
        for i, evidence in enumerate(rows):
            probs[i], mass[i] = _marginals(joint, evidence, model.width)
        with np.errstate(divide="ignore"):
            require_possible(self, np.log(mass))
        bound = 2 * EPS * (entries + len(model.nodes))
        return Branch(at_positions(probs, data), certify(self.method, bound))


def _joint(model: BayesianNetwork) -> Array:
    """P(x_1, ..., x_M), one axis a node."""
    out = np.ones((1,) * len(model.nodes))
    for node, parents in enumerate(model.parents):
        axes = (*parents, node)
        table = model.table(node).transpose(np.argsort(axes))  # axes in the order of the nodes
        shape = [model.cardinalities[v] if v in axes else 1 for v in range(out.ndim)]
        out = out * table.reshape(shape)
    return out


def _marginals(joint: Array, evidence: IntArray, width: int) -> tuple[Array, float]:
    """Posteriors (M, K) given one row of evidence, and its probability."""
    agreeing = [slice(None) if state < 0 else slice(state, state + 1) for state in evidence]
    part = joint[tuple(agreeing)]
    mass = float(part.sum())
    out = np.zeros((joint.ndim, width))
    for node, state in enumerate(evidence):
        others = tuple(axis for axis in range(joint.ndim) if axis != node)
        marginal = part.sum(axis=others) / (mass or 1.0)
        first = max(state, 0)
        out[node, first : first + len(marginal)] = marginal
    return out, mass


PART = Enumeration
