"""A callable (context, query) -> one of the seven forms as a candidate, or a torch module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from veribayes.candidates._adapter import BY_SHAPE, Adapter
from veribayes.candidates._asking import accepts_seed, predict
from veribayes.errors import InputError
from veribayes.models._task import Task
from veribayes.tree import Branch, Data
from veribayes.validation.candidate import Candidate


def of_callable(function: object) -> Candidate:
    """A callable (context, query) -> one of the seven forms, or a torch module; either may take a
    keyword `seed`.

    Raises:
        InputError: nothing that can be called.
    """
    call, name = _as_function(function)
    signed = getattr(function, "forward", function) if is_module(function) else function
    seeded = accepts_seed(signed)

    def infer(task: Task, data: Data, seed: int) -> Branch:
        return predict(call, task, data, seed if seeded else None)

    return Candidate(
        name,
        None,
        infer,
        "callable",
        takes_seed=seeded,
        exposes_latents=hasattr(call, "posterior"),
    )


def is_module(value: object) -> bool:
    """Whether it is a torch module, said without torch."""
    classes = type(value).__mro__
    return any(c.__module__.startswith("torch.") and c.__name__ == "Module" for c in classes)


def _as_function(value: object) -> tuple[Callable[..., object], str]:
    """The function and its name."""
    if is_module(value):
        from veribayes.transformer._candidates import module_candidate

        return module_candidate(cast(Any, value)), type(value).__name__
    if callable(value):
        return value, getattr(value, "__qualname__", type(value).__name__)
    raise InputError("a callable (context, query) -> predictive", type(value).__name__)


class Callables(Adapter):
    """Whatever can be called, when no other kind has taken it."""

    order = BY_SHAPE + 1

    def accepts(self, thing: object) -> bool:
        return not isinstance(thing, str) and (callable(thing) or is_module(thing))

    def candidate(self, thing: object, task: Task) -> Candidate:
        del task  # what it can answer is seen when it is asked
        return of_callable(thing)


PART = Callables()
