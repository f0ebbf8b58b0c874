"""The frame of an engine: a frozen dataclass of its options that turns (task, data, seed) into a certified branch.

A reference and a candidate are the same kind of thing. Trust is the role that a run gives to an engine, and its
certificate says whether the output has earned it. An engine never sees outcomes or latents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, ClassVar, Protocol

import numpy as np

from veribayes.errors import InputError
from veribayes.models._model import Model
from veribayes.models._task import Task
from veribayes.predictive import Array
from veribayes.tree import Branch, Certificate, Data, IntArray

EPS = float(np.finfo(np.float64).eps)
# An estimator that `identify` holds against a candidate may say what else it can be: settings that make it another algorithm,
# and the range of the one number that is fitted to the candidate, on data sets of its own, before the two are compared.
Variants = tuple[Mapping[str, Any], ...]
Fitted = Mapping[str, tuple[float, float]]


class Engine(Protocol):
    """What every part of this folder provides as `PART`."""

    method: ClassVar[str]  # exact, quadrature, mcmc, rival or defect
    families: ClassVar[tuple[str, ...]]  # model kinds that it serves; empty: all of them
    # and where it says so, `needs`: names in `NEEDS` of what a model must have

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        """Posterior predictive with leading shape (dataset, position, query) for `data.positions`.

        Raises:
            InputError: the engine does not serve this family or this model.
            ReferenceRefused: nothing can be computed within the stated limits.
        """


def name_of(engine: Engine) -> str:
    """The part's name: the file that defines it."""
    return type(engine).__module__.rpartition(".")[2]


BOUNDED = ("simplex", "unit_interval")
NEEDS: Mapping[str, tuple[Callable[[Model], bool], str]] = {
    "list": (lambda model: bool(model.layout.listed), "a context that is a list"),
    "set": (
        lambda model: bool(model.layout.listed) and model.layout.order == "set",
        "exchangeable observations",
    ),
    "categories": (lambda model: model.n_categories is not None, "predictions of categories"),
    "reals": (lambda model: model.n_categories is None, "predictions of real values"),
    "bounded latents": (
        lambda model: any(v.support in BOUNDED for v in model.latents),
        "latents between bounds",
    ),
}


def serves(engine: Any, model: Model) -> bool:
    """Whether an engine, or its class, serves models of this kind that have what it needs."""
    known = not engine.families or model.kind in engine.families
    return known and all(NEEDS[need][0](model) for need in needs_of(engine))


def needs_of(engine: Any) -> tuple[str, ...]:
    """What the engine says that a model must have."""
    return tuple(getattr(engine, "needs", ()))


def require_family(engine: Engine, task: Task) -> None:
    """Refuse a model of a family that the engine does not serve, or without what the engine needs."""
    if engine.families and task.model.kind not in engine.families:
        wanted = (
            f"a model of kind {' or '.join(engine.families)} for the engine '{name_of(engine)}'"
        )
        raise InputError(
            wanted, f"'{task.model.kind}' in the task '{task.name}'", "see 'veribayes list engines'"
        )
    for need in needs_of(engine):
        has, words = NEEDS[need]
        if not has(task.model):
            raise InputError(
                f"{words} for the engine '{name_of(engine)}'", f"the task '{task.name}'"
            )


def require_served(engine: Engine, task: Task, data: Data) -> None:
    """Refuse a family that the engine does not serve, and data that the model cannot have: every engine begins with this."""
    require_family(engine, task)
    task.model.require_data(data)


def require_positive(engine: Engine, **options: float) -> None:
    """Refuse options that are not positive finite numbers."""
    for option, value in options.items():
        if not (isinstance(value, int | float) and np.isfinite(value) and value > 0):
            raise InputError(f"a positive {option} for the engine '{name_of(engine)}'", f"{value}")


def require_choice(engine: Engine, option: str, value: str, choices: Sequence[str]) -> None:
    """Refuse an option that is none of the words it may be."""
    if value not in choices:
        raise InputError(
            f"{option} of the engine '{name_of(engine)}' among {', '.join(choices)}", f"'{value}'"
        )


def certify(method: str, error_bound: float, *, kind: Any = "bound", limit: float = 1e-6, reasons: tuple[str, ...] = (),
            **diagnostics: float) -> Certificate:  # fmt: skip
    """A certificate that is trusted when the error bound is a number below `limit` and there is no other reason."""
    if not error_bound <= limit:  # also true for NaN
        reasons = (*reasons, f"the error bound {error_bound:.2g} is not below {limit:.0e}")
    verdict: Any = "refused" if reasons else "trusted"
    return Certificate(verdict, method, float(error_bound), kind, reasons, diagnostics)


@contextmanager
def float64() -> Iterator[None]:
    """JAX in float64 and BLAS on one thread; both are as before afterwards.

    Threads cost more than they give on many small matrices: 19 times on 100 systems of 64 equations, two cores, loaded.
    """
    import jax

    with jax.enable_x64(True), _thread_pools().limit(limits=1):
        yield


@cache
def _thread_pools() -> Any:
    """Those of the libraries that are loaded, BLAS among them: looking for them took half as long as a batch's posteriors."""
    import scipy.linalg  # noqa: F401  brings its own BLAS
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def equal_chunks(datasets: int, size: int) -> list[IntArray]:
    """Data set numbers in chunks of at most `size`, all of one length so that one compilation serves them.

    The last chunk repeats its last data set; results are cut at `datasets`.
    """
    count = -(-datasets // max(size, 1))
    length = -(-datasets // count)
    return list(np.minimum(np.arange(count * length), datasets - 1).reshape(count, length))


def moments(mean: Array, second: Array) -> dict[str, Array]:
    """Mean and standard deviation from the first two raw moments; rounding below zero is zero."""
    return {"mean": mean, "sd": np.sqrt(np.maximum(second - mean * mean, 0.0))}
