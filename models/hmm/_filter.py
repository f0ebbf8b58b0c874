"""What of the filter the model itself needs:
marginal laws of the states, and predictions under draws of the parameters.
"""

from __future__ import annotations

import numpy as np

from veribayes.models.hmm._parameters import Tables
from veribayes.predictive import Array, Categorical
from veribayes.tree import IntArray


def marginals(tables: Tables, length: int) -> Array:
    """P(x_1), …, P(x_{length + 1}) when nothing is seen, (dataset or 1, time, state)."""
    belief = tables.initial
    laws = [belief]
    for _ in range(length):
        belief = np.einsum("bs,bst->bt", belief, tables.transition)
        laws.append(belief)
    return np.stack(laws, axis=1)


def averaged(draws: Tables, y: IntArray) -> Categorical:
    """The law of the next symbol after y (dataset, time) averaged over draws of the tables, which
    have the axes (dataset, draw) in front.
    """
    belief = draws.initial
    rows = np.arange(len(y))
    for t in range(y.shape[1]):
        likelihood = np.moveaxis(draws.emission, -1, 1)[rows, y[:, t]]  # (dataset, draw, state)
        joint = belief * likelihood
        filtered = joint / joint.sum(-1, keepdims=True)
        belief = np.einsum("bns,bnst->bnt", filtered, draws.transition)
    probs = np.einsum("bns,bnsk->bk", belief, draws.emission) / belief.shape[1]
    return Categorical(probs[:, None])
