"""What the engines of mixture-of-transition chains share:
the likelihood terms of all prefixes and the next symbol.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np

from veribayes.errors import InputError
from veribayes.inference._engine import Engine, name_of, require_served
from veribayes.inference._wrapped import inner, spoiled
from veribayes.models._task import Task
from veribayes.models.mtd import MTD
from veribayes.predictive import Array, Categorical
from veribayes.tree import Branch, Data


def terms(model: MTD, data: Data) -> Array:
    """a[t, g] = pi_g(y_{t-g}, y_t) up to the longest prefix, (dataset, time, lag);
    ones for the first m symbols.
    """
    longest = int(data.positions.max())
    return model.likelihood_terms(data.arrays["y"][:, :longest])


def next_symbol(model: MTD, data: Data, weights: Array) -> Categorical:
    """sum_g weights_g pi_g(y_{n-g}, .) after each prefix, for weights (dataset, position, lag).

    A prefix shorter than the number of lags is followed by a uniform symbol whatever the weights
    are.
    """
    lag = np.arange(model.m)
    n = data.positions
    steps_back = np.maximum(n[:, None] - 1 - lag, 0)
    past = data.arrays["y"][:, steps_back]  # (dataset, position, lag)
    probs = np.einsum("bpg,bpgk->bpk", weights, model.matrices[lag, past])
    probs[:, n < model.m] = 1 / model.q
    return Categorical(probs[:, :, None])


def reweighted(
    engine: Engine,
    of: str | None,
    task: Task,
    data: Data,
    seed: int,
    change: Callable[[Array], Array],
) -> Branch:
    """The inner engine's mean lag weights, (dataset, position, lag),
    changed and read as a predictive of the next symbol.
    """
    require_served(engine, task, data)
    branch = inner(of, task, data, seed)
    if "weights" not in branch.posterior:
        wanted = f"an engine that says the weights for '{name_of(engine)}'"
        raise InputError(wanted, f"'{of}'")
    weights = change(branch.posterior["weights"]["mean"])
    return spoiled(branch, next_symbol(cast(MTD, task.model), data, weights))
