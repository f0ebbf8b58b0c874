"""Which tables a hidden Markov model has to be given, and which it must not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from veribayes.errors import ModelError
from veribayes.models._check import integer
from veribayes.models.hmm._parameters import (
    KNOWN,
    NORMALS,
    TABLES,
    checked_rows,
    nested,
    numbers,
    shapes,
)

if TYPE_CHECKING:
    from veribayes.models.hmm import HMM


def checked_tables(model: HMM) -> dict[str, Any]:
    """The fields of the model that hold its tables, each in the form in which it is stored.

    Raises:
        ModelError: a table that is missing or that such a model does not have,
            or rows that are no distributions.
    """
    if model.parameters != KNOWN:
        return _none(model)
    return _of_symbols(model) if model.symbols else _of_normals(model)


def _none(model: HMM) -> dict[str, Any]:
    """Sequences have tables of their own."""
    given = _given(model, ("matrix_seed", *TABLES, *NORMALS))
    if given:
        raise ModelError(f"no '{given[0]}' with parameters: {model.parameters}", "one")
    if not model.symbols:
        raise ModelError(f"symbols with parameters: {model.parameters}", "none")
    return {}


def _of_symbols(model: HMM) -> dict[str, Any]:
    """Given tables, or a seed for them."""
    _require_absent(model, NORMALS)
    given = _given(model, TABLES)
    if not given:
        seed = 0 if model.matrix_seed is None else model.matrix_seed
        return {"matrix_seed": integer("matrix_seed", seed, at_least=0)}
    if model.matrix_seed is not None or len(given) < len(TABLES):
        raise ModelError(f"either a matrix_seed or {', '.join(TABLES)}", ", ".join(given))
    sizes = shapes(model.states, model.symbols)
    return {name: checked_rows(name, getattr(model, name), sizes[name]) for name in TABLES}


def _of_normals(model: HMM) -> dict[str, Any]:
    """Rows of the chain, and a mean and an sd of each state."""
    _require_absent(model, ("emission", "matrix_seed"))
    sizes = shapes(model.states, 0)
    tables = {}
    for name in ("initial", "transition"):
        tables[name] = checked_rows(name, getattr(model, name), sizes[name])
    for name in NORMALS:
        tables[name] = nested(numbers(name, getattr(model, name), (model.states,)))
    if min(tables["sds"]) <= 0:
        raise ModelError("positive sds", f"{min(tables['sds']):g}")
    return tables


def _given(model: HMM, names: tuple[str, ...]) -> list[str]:
    return [name for name in names if getattr(model, name) is not None]


def _require_absent(model: HMM, names: tuple[str, ...]) -> None:
    for name in _given(model, names):
        emitted = "symbols" if model.symbols else "normal numbers"
        raise ModelError(f"no '{name}' where {emitted} are emitted", "one")
