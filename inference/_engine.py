"""The frame of an engine: a frozen dataclass of its options that turns (task, data,
seed) into a certified branch.

A reference and a candidate are the same kind of thing. Trust is the role that a run gives to an
engine, and its certificate says whether the output has earned it.
An engine never sees outcomes or latents.
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
from veribayes.tree.method import Method

EPS = float(np.finfo(np.float64).eps)
# An estimator that `identify` holds against a candidate may say what else it can be: settings that
# make it another algorithm, and the range of the one number that is fitted to the candidate, on
# data sets of its own, before the two are compared.
Variants = tuple[Mapping[str, Any], ...]
Fitted = Mapping[str, tuple[float, float]]


class Engine(Protocol):
    """What every part of this folder provides as `PART`."""

    method: ClassVar[Method]
    families: ClassVar[tuple[str, ...]]  # model kinds that it serves; empty: all of them
    # and where it says so, `needs`: names in `NEEDS` of what a model must have; and `label` and
    # `about`, the words of a report for it where it is a rival.
    # They are literals: a report reads them without importing the engine

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        """Posterior predictive with leading shape (dataset, position, query) for `data.positions`.

        Raises:
            InputError: the engine does not serve this family or this model.
            ReferenceRefused: nothing can be computed within the stated limits.
        """


def name_of(engine: Engine) -> str:
    """The part's name: the file that defines it."""
    return type(engine).__module__.rpartition(".")[2]


# -- what an engine needs --------------------------------------------------------------------------

BOUNDED = ("simplex", "unit_interval")


def _has_list(model: Model) -> bool:
    return bool(model.layout.listed)


def _has_set(model: Model) -> bool:
    return _has_list(model) and model.layout.order == "set"


def _has_categories(model: Model) -> bool:
    return model.n_categories is not None


def _has_reals(model: Model) -> bool:
    return model.n_categories is None


def _has_symbols(model: Model) -> bool:
    columns = [column for column in model.layout.columns if column.role == "observation"]
    one = len(columns) == 1 and columns[0].values == "category" and len(columns[0].dims) == 1
    return model.layout.order == "sequence" and one and not model.layout.names("query")


def _has_bounded_latents(model: Model) -> bool:
    return any(latent.support in BOUNDED for latent in model.latents)


NEEDS: Mapping[str, tuple[Callable[[Model], bool], str]] = {
    "list": (_has_list, "a context that is a list"),
    "set": (_has_set, "exchangeable observations"),
    "symbols": (_has_symbols, "a sequence of one symbol a step"),
    "categories": (_has_categories, "predictions of categories"),
    "reals": (_has_reals, "predictions of real values"),
    "bounded latents": (_has_bounded_latents, "latents between bounds"),
}


def serves(engine: Any, model: Model) -> bool:
    """Whether an engine, or its class, serves models of this kind that have what it needs."""
    if engine.families and model.kind not in engine.families:
        return False
    return all(NEEDS[need][0](model) for need in needs_of(engine))


def needs_of(engine: Any) -> tuple[str, ...]:
    """What the engine says that a model must have."""
    return tuple(getattr(engine, "needs", ()))


def require_family(engine: Engine, task: Task) -> None:
    """Refuse a model of a family that the engine does not serve,
    or without what the engine needs.
    """
    engine_name = name_of(engine)
    kind = task.model.kind
    if engine.families and kind not in engine.families:
        served_kinds = " or ".join(engine.families)
        wanted = f"a model of kind {served_kinds} for the engine '{engine_name}'"
        raise InputError(
            wanted, f"'{kind}' in the task '{task.name}'", "see 'veribayes list engines'"
        )
    for need in needs_of(engine):
        has, words = NEEDS[need]
        if not has(task.model):
            raise InputError(f"{words} for the engine '{engine_name}'", f"the task '{task.name}'")


def require_served(engine: Engine, task: Task, data: Data) -> None:
    """Refuse a family that the engine does not serve, and data that the model cannot have:
    every engine begins with this.
    """
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
        listed_choices = ", ".join(choices)
        wanted = f"{option} of the engine '{name_of(engine)}' among {listed_choices}"
        raise InputError(wanted, f"'{value}'")


# -- what an engine returns ------------------------------------------------------------------------


def certify(
    method: str,
    error_bound: float,
    *,
    kind: Any = "bound",
    limit: float = 1e-6,
    reasons: tuple[str, ...] = (),
    **diagnostics: float,
) -> Certificate:
    """A certificate that is trusted when the error bound is a number below `limit` and there is
    no other reason.
    """
    if not error_bound <= limit:  # also true for NaN
        too_wide = f"the error bound {error_bound:.2g} is not below {limit:.0e}"
        reasons = (*reasons, too_wide)
    verdict: Any = "refused" if reasons else "trusted"
    return Certificate(verdict, str(method), float(error_bound), kind, reasons, diagnostics)


def certify_by_draws(
    method: str, error_bound: float, reasons: tuple[str, ...], diagnostics: Mapping[str, float]
) -> Certificate:
    """A certificate whose bound is a Monte Carlo error:
    gates decide, and it is trusted where they give no reason.
    """
    verdict: Any = "refused" if reasons else "trusted"
    return Certificate(verdict, str(method), error_bound, "montecarlo", reasons, diagnostics)


def moments(mean: Array, second: Array) -> dict[str, Array]:
    """Mean and standard deviation from the first two raw moments; rounding below zero is zero."""
    variance = np.maximum(second - mean * mean, 0.0)
    return {"mean": mean, "sd": np.sqrt(variance)}


# -- how an engine computes ------------------------------------------------------------------------


@contextmanager
def float64() -> Iterator[None]:
    """JAX in float64 and BLAS on one thread; both are as before afterwards.

    Threads cost more than they give on many small matrices:
    19 times on 100 systems of 64 equations, two cores, loaded.
    """
    import jax

    with jax.enable_x64(True), _thread_pools().limit(limits=1):
        yield


@cache
def _thread_pools() -> Any:
    """Those of the libraries that are loaded, BLAS among them:
    looking for them took half as long as a batch's posteriors.
    """
    import scipy.linalg  # noqa: F401  brings its own BLAS
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def equal_chunks(datasets: int, size: int) -> list[IntArray]:
    """Data set numbers in chunks of at most `size`,
    all of one length so that one compilation serves them.

    The last chunk repeats its last data set; results are cut at `datasets`.
    """
    count = -(-datasets // max(size, 1))
    length = -(-datasets // count)
    numbers = np.minimum(np.arange(count * length), datasets - 1)
    return list(numbers.reshape(count, length))


def successive_chunks(datasets: int, size: int) -> list[IntArray]:
    """Data set numbers in chunks of `size`, of which the last may be shorter."""
    starts = range(0, datasets, size)
    return [np.arange(start, min(start + size, datasets)) for start in starts]
