"""How a callable is asked: once for every design position, with a seed where it takes one, and what
it must answer.
"""

from __future__ import annotations

import copy
import inspect
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import numpy as np

from veribayes.errors import EntryError, InputError, ShapeError, VeribayesError
from veribayes.models._task import Task
from veribayes.predictive import Array, Predictive, as_predictive, concatenate, stack, to_float64
from veribayes.tree import Branch, Certificate, Data

TRUSTED = Certificate("trusted", "candidate", 0.0)  # a candidate is judged, and certifies nothing
Latents = dict[tuple[str, str], Array]  # (latent, moment) -> values


def predict(call: Callable[..., object], task: Task, data: Data, seed: int | None = None) -> Branch:
    """Ask a callable once for every design position and join its answers along `position`.

    Args:
        seed: of the run, where the callable takes one; each request gets its own (`request_seed`).

    Raises:
        InputError: the callable failed, or its answer is not one of the seven forms in the expected
            shape.
    """
    positions = range(len(data.positions))
    answers = [_answer(call, task, data, position, seed) for position in positions]
    posterior = _posterior(call.posterior, task, data, seed) if hasattr(call, "posterior") else {}
    return Branch(stack(answers, axis=1), TRUSTED, posterior)


def accepts_seed(function: object) -> bool:
    """Whether a callable (context, query) also takes a keyword that is called `seed`.

    What a partial has bound already is its own; `**keywords` alone promise nothing.
    """
    step = function
    while step is not None:
        if isinstance(step, partial) and "seed" in step.keywords:
            return False
        step = step.func if isinstance(step, partial) else getattr(step, "__wrapped__", None)
    try:
        signature = inspect.signature(cast(Callable[..., object], function))
        signature.bind(None, None, seed=0)
    except (TypeError, ValueError):  # no signature, or `seed` is the place of the context or query
        return False
    return "seed" in signature.parameters


def request_seed(seed: int, data: Data, position: int) -> int:
    """The seed of one request, below 2^31: a function of the run's seed, the context size and the
    numbers of the data sets.

    One seed for all requests would give the first data sets of all batches the same noise, and they
    would not be independent.
    """
    index = zlib.crc32(np.ascontiguousarray(data.index).tobytes())
    sequence = np.random.SeedSequence([seed, int(data.positions[position]), index])
    state = sequence.generate_state(1)
    return int(state[0]) >> 1


def queries_of(task: Task, data: Data) -> int:
    """Number of queries a data set."""
    return task.model.layout.queries(data.arrays)


def _answer(
    call: Callable[..., object], task: Task, data: Data, position: int, seed: int | None
) -> Predictive:
    """What is said at one position, (dataset, query)."""
    shape = (len(data.index), queries_of(task, data))
    output = _called(call, task, data, position, seed, "an answer")
    try:
        predictive = as_predictive(output, shape, task.model.n_categories)
    except EntryError as error:
        raise _located(error, len(shape), data, position) from None
    except VeribayesError:
        raise
    except Exception as error:  # whatever its arrays raise when they are read
        raise _failure("an answer", data, position, error) from error
    return concatenate([predictive])  # a copy: a candidate may use its buffers again


def _posterior(
    call: Callable[..., object], task: Task, data: Data, seed: int | None
) -> dict[str, dict[str, Array]]:
    """What is said about latents at each position -> latent -> moment -> (dataset, position,
    *event).
    """
    own_seed = seed if seed is not None and accepts_seed(call) else None
    positions = range(len(data.positions))
    parts = [_latents(call, task, data, position, own_seed) for position in positions]
    shapes = [_shapes(part) for part in parts]
    if any(shape != shapes[0] for shape in shapes):
        wanted = "the same latents in the same shapes at every context size"
        raise InputError(wanted, "others at some of them")
    posterior: dict[str, dict[str, Array]] = {}
    for latent, moment in shapes[0]:
        values = np.stack([part[latent, moment] for part in parts], axis=1)
        posterior.setdefault(latent, {})[moment] = values
    return posterior


def _shapes(part: Mapping[tuple[str, str], Array]) -> dict[tuple[str, str], tuple[int, ...]]:
    return {key: values.shape for key, values in part.items()}


def _latents(
    call: Callable[..., object], task: Task, data: Data, position: int, seed: int | None
) -> Latents:
    """What is said at one position: (latent, moment) -> (dataset, *event); numbers that are not
    finite stay what they are.
    """
    output = _called(call, task, data, position, seed, "the latents")
    moments_of = _mapping_of_mappings(output)
    latents: Latents = {}
    for latent, moments in moments_of.items():
        for moment, values in moments.items():
            latents[str(latent), str(moment)] = to_float64(values)
    for (latent, moment), values in latents.items():
        if values.shape[:1] == (len(data.index),):
            continue
        axis = f"with the first axis dataset={len(data.index)}"
        wanted = f"'{moment}' of the latent '{latent}' {axis}"
        remedy = "answer for every data set of the batch"
        raise ShapeError(wanted, f"shape {values.shape}", remedy)
    return latents


def _mapping_of_mappings(output: object) -> Mapping[Any, Mapping[Any, Any]]:
    wanted = "a dict {latent: {'mean': ..., 'sd': ...}} from the candidate's `posterior`"
    if not isinstance(output, Mapping):
        raise InputError(wanted, type(output).__name__)
    if not all(isinstance(moments, Mapping) for moments in output.values()):
        raise InputError(wanted, type(output).__name__)
    return output


def _called(
    call: Callable[..., object], task: Task, data: Data, position: int, seed: int | None, what: str
) -> object:
    """What a user's function returns at one position."""
    inputs = task.model.inputs(data, position)
    context, query = copy.deepcopy(inputs)  # a candidate may write into what it is given
    options = {} if seed is None else {"seed": request_seed(seed, data, position)}
    try:
        return call(context, query, **options)
    except EntryError as error:  # it builds predictives itself, for a batch (dataset, query)
        raise _located(error, 2, data, position) from None
    except VeribayesError:
        raise
    except (Exception, SystemExit) as error:  # whatever a user's code raises is the user's to read
        raise _failure(what, data, position, error) from error


def _failure(what: str, data: Data, position: int, error: BaseException) -> InputError:
    wanted = f"{what} of the candidate at position {data.positions[position]}"
    return InputError(wanted, f"{type(error).__name__}: {error}", "--debug shows where")


def _located(error: EntryError, axes: int, data: Data, position: int) -> EntryError:
    """The error with the number of its data set and the context size, where its index has the axes
    (dataset, query).
    """
    if len(error.index) != axes:
        return error
    size = int(data.positions[position])

    def place(at: tuple[int, ...]) -> str:
        number = int(data.index[at[0]])
        return f"in data set {number}, position {position} (n = {size}), query {at[1]}"

    return error.placed(place)
