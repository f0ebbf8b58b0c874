"""Which fields a Markov chain has, and what each may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from veribayes.errors import ModelError
from veribayes.models._check import choice, integer, number, sequence, shown
from veribayes.models.markov import _chains, _pool

if TYPE_CHECKING:
    from veribayes.models.markov import Markov

DIRICHLET, POOL, KNOWN = "dirichlet", "pool", "known"
ROWS = (DIRICHLET, POOL, KNOWN)
STATIONARY = "stationary"
STARTS = ("uniform", STATIONARY, "first")
NAMES = (
    "symbols",
    "order",
    "rows",
    "concentration",
    "start",
    "order_weights",
    "pool",
    "matrix_seed",
    "matrix",
)
MOST_HISTORIES = 4096
MOST_CELLS = 2**26  # numbers in the tables of a pool: 512 MB


def checked(model: Markov) -> dict[str, Any]:
    """Every field in the form in which it is stored.

    Raises:
        ModelError: a value outside its range, or a field that such a model does not have.
    """
    symbols = integer("symbols", model.symbols, at_least=2, at_most=4096)
    order = _order(model.order, symbols)
    fields = {
        "symbols": symbols,
        "order": order,
        "rows": choice("rows", model.rows, ROWS),
        "concentration": number("concentration", model.concentration, above=0),
        "start": choice("start", model.start, STARTS),
        "order_weights": _order_weights(model.order_weights, order),
    }
    if isinstance(order, tuple) and (model.rows != DIRICHLET or model.start == STATIONARY):
        wanted = "Dirichlet rows and a start 'uniform' or 'first' with several orders"
        raise ModelError(wanted, f"rows '{model.rows}', start '{model.start}'")
    if order == 0 and model.start != "uniform":
        raise ModelError("start: uniform of an urn, whose order is 0", f"'{model.start}'")
    return {**fields, **_tables(model, symbols, order)}


def spec(model: Markov) -> dict[str, Any]:
    """Plain data; what says nothing of such a model is left out."""
    several = isinstance(model.order, tuple)
    plain: dict[str, Any] = {
        "symbols": model.symbols,
        "order": list(model.order) if several else model.order,
        "rows": model.rows,
        "start": model.start,
    }
    if model.rows != KNOWN:
        plain["concentration"] = model.concentration
    if model.order_weights is not None:
        plain["order_weights"] = list(model.order_weights)
    if model.pool is not None:
        plain["pool"] = dict(model.pool)
    if model.matrix_seed is not None:
        plain["matrix_seed"] = model.matrix_seed
    if model.matrix is not None:
        plain["matrix"] = [list(row) for row in model.matrix]
    return plain


def other_tables(model: Markov) -> dict[str, Any]:
    """The wrong prior of rows that are not drawn anew: other tables."""
    if model.matrix is not None:
        matrix = (np.array(model.matrix) + 1 / model.symbols) / 2
        return {"matrix": matrix.tolist()}
    if model.matrix_seed is not None:
        return {"matrix_seed": model.matrix_seed + 1}
    pool = dict(model.pool)
    if "size" in pool:
        return {"pool": {**pool, "seed": pool["seed"] + 1}}
    return {"pool": {"size": len(model.members[0]), "seed": 0}}


def require_ergodic(model: Markov) -> None:
    """Refuse tables without one long-run law, where the start is drawn from it.

    Raises:
        ModelError: there are some.
    """
    tables, _ = model.members  # reads a file, and refuses rows that are none
    if model.start != STATIONARY:
        return
    laws = _chains.stationary(tables, max(model.orders))
    wrong = ~np.isfinite(laws).all(-1)
    if wrong.any():
        wanted = "tables with one long-run law, which a stationary start is drawn from"
        raise ModelError(wanted, f"table {int(np.argmax(wrong))} without")


def _order(order: Any, symbols: int) -> Any:
    """A number, or several as an increasing tuple."""
    single = isinstance(order, int | np.integer)
    listed = (order,) if single else sequence("order", order)
    orders = tuple(integer("order", each, at_least=0, at_most=32) for each in listed)
    if not orders or list(orders) != sorted(set(orders)):
        raise ModelError("an order, or a list of increasing ones", shown(order))
    if symbols ** orders[-1] > MOST_HISTORIES:
        wanted = f"at most {MOST_HISTORIES} histories"
        raise ModelError(wanted, f"{symbols}^{orders[-1]}", "lower the order")
    return orders if len(orders) > 1 else orders[0]


def _order_weights(weights: Any, order: Any) -> Any:
    if weights is None:
        return None
    if not isinstance(order, tuple):
        raise ModelError("no order_weights of one order", shown(weights))
    listed = tuple(
        number("order_weights", weight, above=0) for weight in sequence("order_weights", weights)
    )
    if len(listed) != len(order) or abs(sum(listed) - 1) > 1e-9:
        raise ModelError(f"{len(order)} order_weights that sum to one", shown(weights))
    return listed


def _tables(model: Markov, symbols: int, order: Any) -> dict[str, Any]:
    """The fields of the tables: a pool, or known rows, or neither."""
    needless = {DIRICHLET: ("pool", "matrix_seed", "matrix"), POOL: ("matrix_seed", "matrix")}
    for name in needless.get(model.rows, ("pool",)):
        if getattr(model, name) is not None:
            raise ModelError(f"no '{name}' with rows: {model.rows}", "one")
    if model.rows == DIRICHLET:
        return {}
    if model.rows == POOL:
        described = _pool.checked({} if model.pool is None else dict(model.pool))
        cells = described.get("size", 1) * symbols ** (order + 1)
        if cells > MOST_CELLS:
            raise ModelError(f"at most {MOST_CELLS} numbers in a pool", f"{cells}")
        return {"pool": tuple(sorted(described.items()))}
    if model.matrix is None:
        seed = 0 if model.matrix_seed is None else model.matrix_seed
        return {"matrix_seed": integer("matrix_seed", seed, at_least=0)}
    if model.matrix_seed is not None:
        raise ModelError("either a matrix or a matrix_seed", "both")
    return {"matrix": _matrix(model.matrix, symbols, order)}


def _matrix(given: Any, symbols: int, order: int) -> tuple[tuple[float, ...], ...]:
    try:
        matrix = np.array(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise ModelError("numbers for 'matrix'", shown(given)) from None
    if matrix.shape != (symbols**order, symbols):
        raise ModelError(f"a matrix of shape ({symbols**order}, {symbols})", f"{matrix.shape}")
    _pool.require_rows(matrix)
    return tuple(tuple(row) for row in matrix.tolist())
