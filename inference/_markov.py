"""What engines of Markov chains share: posteriors of rows and orders, and refusals."""

from __future__ import annotations

import numpy as np

from veribayes.errors import InputError
from veribayes.inference._engine import Engine, moments, name_of
from veribayes.models.markov import Markov
from veribayes.models.markov._fields import DIRICHLET
from veribayes.predictive import Array


def require_conjugate(engine: Engine, model: Markov) -> None:
    """Refuse rows that counts do not say all of.

    Raises:
        InputError: a pool, known rows, or a start that tells of the rows.
    """
    require_dirichlet(engine, model)
    if not model.conjugate:
        wanted = f"a start that tells nothing of the rows for the engine '{name_of(engine)}'"
        raise InputError(wanted, f"'{model.start}'", "use 'markov_importance'")


def require_dirichlet(engine: Engine, model: Markov) -> None:
    """Refuse a pool and known rows.

    Raises:
        InputError: the rows are not Dirichlet.
    """
    if model.rows != DIRICHLET:
        wanted = f"Dirichlet rows for the engine '{name_of(engine)}'"
        raise InputError(wanted, f"rows: {model.rows}", "use 'markov_pool'")


def require_tables(engine: Engine, model: Markov) -> None:
    """Refuse Dirichlet rows.

    Raises:
        InputError: there are no tables to sum over.
    """
    if model.rows == DIRICHLET:
        wanted = f"a pool of tables, or known rows, for the engine '{name_of(engine)}'"
        raise InputError(wanted, "Dirichlet rows", "use 'markov_counts'")


def beta_moments(counts: Array) -> dict[str, Array]:
    """Mean and sd of the entries of Dirichlet(counts) rows."""
    total = counts.sum(-1, keepdims=True)
    mean = counts / total
    return {"mean": mean, "sd": np.sqrt(mean * (1 - mean) / (total + 1))}


def order_moments(model: Markov, weights: Array) -> dict[str, Array]:
    """Posterior of the order, whose probabilities are (dataset, position, order)."""
    orders = np.array(model.orders, dtype=np.float64)
    return {**moments(weights @ orders, weights @ orders**2), "probs": weights}
