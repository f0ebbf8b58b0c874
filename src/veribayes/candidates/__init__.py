"""Who is judged: an engine, a construction, a shipped checkpoint, a checkpoint folder, a callable, or recorded predictions.

Whatever it is, it becomes a `Candidate`: a name, an identity that a stored shard can bind to, and a function from a batch
of data sets to predictives. A candidate sees `Data` or (context, query); neither holds outcomes, latents or references.
"""

from __future__ import annotations

import copy
import hashlib
import importlib
import inspect
import json
import os
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import xarray as xr

from veribayes import registry
from veribayes.errors import EntryError, InputError, ShapeError, VeribayesError
from veribayes.models._task import Task, Tolerance
from veribayes.predictive import Array, Predictive, as_predictive, concatenate, stack, to_float64
from veribayes.storage.store import by_labels, digest_of, predictive_of, read_tree, source_digest
from veribayes.tree import DATASET, POSITION, Branch, Certificate, Data, IntArray
from veribayes.validation.candidate import Candidate as Candidate

PROBE = np.arange(
    2
)  # data sets of the stream `replicate` that tell whether a callable is still the same


def resolve(candidate: object, task: Task, options: Mapping[str, str] | None = None) -> Candidate:
    """Find out what `candidate` is; None means the checkpoint that is shipped for the task.

    Raises:
        InputError: nothing of that name, a thing that cannot predict, or options for a thing that has none.
    """
    if candidate is None:
        found = _shipped_default(task)
    elif isinstance(candidate, str | Path):
        found, options = _named(str(candidate), task, options)
    else:
        found = _object(candidate)
    if options:
        given = f"{', '.join(options)} for the {found.kind} '{found.name}'"
        raise InputError("candidate options for an engine or a construction by name", given)
    return found


def _object(candidate: object) -> Candidate:
    """A candidate that is there already."""
    if isinstance(candidate, Candidate):
        return candidate
    if isinstance(candidate, xr.DataTree):
        return recorded(candidate, "predictions")
    made = _instance(candidate)
    if hasattr(made, "families") and callable(made):
        of = of_engine if hasattr(made, "method") else of_construction
        return of(type(made).__name__.lower(), made)
    return of_callable(made)


def of_engine(name: str, made: Any) -> Candidate:
    """An engine, in whatever role."""

    def infer(task: Task, data: Data, seed: int) -> Branch:
        return cast(Branch, made(task, data, seed=seed))

    return Candidate(
        name, _identity("engine", name, made), infer, "engine", takes_seed=True, exposes=True
    )


def of_construction(name: str, made: Any) -> Candidate:
    """A transformer whose weights are written down."""
    identity = _identity("construction", name, made)

    def infer(task: Task, data: Data, seed: int) -> Branch:
        return predict(searched(made, task, data.positions.tolist(), seed)(task), task, data)

    return Candidate(name, identity, infer, "construction")


def searched(made: Any, task: Task, positions: Sequence[int], seed: int) -> Any:
    """A construction that lacks an option gets the best from the engine that makes the same steps.

    Args:
        positions: context sizes: with several it is the best for each, with one alone the best there, for any size.
    """
    name = getattr(made, "searched_by", "")
    if not name or task.model.kind not in made.families:
        return made
    engine = registry.load("engine", name)(steps=made.steps)
    best = engine.best_options(task, positions, seed)
    alone = {option: next(iter(values.values())) for option, values in best.items()}
    return replace(made, **(best if len(positions) > 1 else alone))


def _identity(kind: str, name: str, made: Any) -> str:
    """Hash of a part: its options, the file that defines it, and the package."""
    return digest_of(
        {kind: name, "options": repr(made), "file": _file_digest(made), "source": source_digest()}
    )


def of_callable(function: object) -> Candidate:
    """A callable (context, query) -> one of the six forms, or a torch module; either may take a keyword `seed`."""
    call, name = _as_function(function)
    seeded = accepts_seed(
        getattr(function, "forward", function) if _is_module(function) else function
    )

    def infer(task: Task, data: Data, seed: int) -> Branch:
        return predict(call, task, data, seed if seeded else None)

    return Candidate(
        name, None, infer, "callable", takes_seed=seeded, exposes=hasattr(call, "posterior")
    )


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
    except (
        TypeError,
        ValueError,
    ):  # it has no signature, or `seed` is the place of the context or of the query
        return False
    return "seed" in signature.parameters


def request_seed(seed: int, data: Data, position: int) -> int:
    """The seed of one request, below 2^31: a function of the run's seed, the context size and the numbers of the data sets.

    One seed for all requests would give the first data sets of all batches the same noise, and they would not be independent.
    """
    index = zlib.crc32(np.ascontiguousarray(data.index).tobytes())
    state = np.random.SeedSequence([seed, int(data.positions[position]), index]).generate_state(1)
    return int(state[0]) >> 1


def predict(call: Callable[..., object], task: Task, data: Data, seed: int | None = None) -> Branch:
    """Ask a callable once for every design position and join its answers along `position`.

    Args:
        seed: of the run, where the callable takes one; each request gets its own (`request_seed`).

    Raises:
        InputError: the callable failed, or its answer is not one of the six forms in the expected shape.
    """
    places = range(len(data.positions))
    parts = [_answer(call, task, data, k, seed) for k in places]
    posterior = _posterior(call.posterior, task, data, seed) if hasattr(call, "posterior") else {}
    return Branch(stack(parts, axis=1), Certificate("trusted", "candidate", 0.0), posterior)


def _posterior(
    call: Callable[..., object], task: Task, data: Data, seed: int | None
) -> dict[str, dict[str, Array]]:
    """What is said about latents at each position -> latent -> moment -> (dataset, position, *event)."""
    seeded = seed is not None and accepts_seed(call)
    parts = [
        _latents(call, task, data, k, seed if seeded else None) for k in range(len(data.positions))
    ]
    names = {(latent, moment): values.shape for (latent, moment), values in parts[0].items()}
    if any({key: values.shape for key, values in part.items()} != names for part in parts):
        raise InputError(
            "the same latents in the same shapes at every context size", "others at some of them"
        )
    latents: dict[str, dict[str, Array]] = {}
    for latent, moment in names:
        latents.setdefault(latent, {})[moment] = np.stack(
            [part[latent, moment] for part in parts], axis=1
        )
    return latents


def _latents(
    call: Callable[..., object], task: Task, data: Data, position: int, seed: int | None
) -> dict[tuple[str, str], Array]:
    """What is said at one position: (latent, moment) -> (dataset, *event); numbers that are not finite stay what they are."""
    said = _called(call, task, data, position, seed, "the latents")
    wanted = "a dict {latent: {'mean': ..., 'sd': ...}} from the candidate's `posterior`"
    if not isinstance(said, Mapping) or not all(
        isinstance(moments, Mapping) for moments in said.values()
    ):
        raise InputError(wanted, type(said).__name__)
    arrays = {
        (str(n), str(k)): to_float64(v) for n, moments in said.items() for k, v in moments.items()
    }
    for (latent, moment), values in arrays.items():
        if values.shape[:1] != (len(data.index),):
            lead = (
                f"'{moment}' of the latent '{latent}' with the first axis dataset={len(data.index)}"
            )
            raise ShapeError(
                lead, f"shape {values.shape}", "answer for every data set of the batch"
            )
    return arrays


def _answer(
    call: Callable[..., object], task: Task, data: Data, position: int, seed: int | None
) -> Predictive:
    shape = (len(data.index), queries_of(task, data))
    said = _called(call, task, data, position, seed, "an answer")
    try:
        read = as_predictive(said, shape, task.model.n_categories)
    except EntryError as error:
        raise _located(error, len(shape), data, position) from None
    except VeribayesError:
        raise
    except Exception as error:  # whatever its arrays raise when they are read
        raise _failure("an answer", data, position, error) from error
    return concatenate([read])  # a copy: a candidate may use its buffers again


def _called(
    call: Callable[..., object], task: Task, data: Data, position: int, seed: int | None, what: str
) -> object:
    """What a user's function returns at one position."""
    context, query = copy.deepcopy(
        task.model.inputs(data, position)
    )  # a candidate may write into what it is given
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
    """The error with the number of its data set and the context size, where its index has the axes (dataset, query)."""
    if len(error.index) != axes:
        return error
    size = int(data.positions[position])
    return error.placed(
        lambda i: (
            f"in data set {int(data.index[i[0]])}, position {position} (n = {size}), query {i[1]}"
        )
    )


def queries_of(task: Task, data: Data) -> int:
    """Number of queries a data set."""
    return task.model.layout.queries(data.arrays)


def _shipped_default(task: Task) -> Candidate:
    if registry.checkpoint_path(task.name) is None:
        raise InputError(
            f"a candidate for the task '{task.name}'",
            "none",
            "no checkpoint is shipped for it; name one with --candidate",
        )
    return _checkpoint(task.name, task)


def _named(
    name: str, task: Task, options: Mapping[str, str] | None
) -> tuple[Candidate, Mapping[str, str] | None]:
    """The candidate and the options that it has not used."""
    part = name.replace("-", "_")
    if part in registry.names("engine"):
        return of_engine(part, registry.engine(part, options)), None
    if part in registry.names("construction"):
        return of_construction(part, registry.configured("construction", part, options)), None
    if registry.checkpoint_path(name) or (Path(name) / "card.json").is_file():
        return _checkpoint(name, task), options
    if name.endswith(".nc"):
        return recorded(read_tree(Path(name)), Path(name).stem), options
    if ":" in name:
        return of_object(name, task), options
    raise InputError(
        "a checkpoint, an engine, a construction, a predictions file (.nc) or package.module:callable",
        f"'{name}'",
        "see 'veribayes list candidates'",
    )


def _checkpoint(name: str, task: Task) -> Candidate:
    """A shipped checkpoint by its name, any other by its folder."""
    from veribayes.transformer import _checkpoint as checkpoint
    from veribayes.transformer._candidates import network_candidate

    folder = registry.checkpoint_path(name) or Path(name).resolve()
    card = checkpoint.read_card(folder)
    call = network_candidate(folder, task)
    identity = digest_of({"card": asdict(card), "source": source_digest()})

    def infer(task: Task, data: Data, seed: int) -> Branch:
        del seed  # a network is a function
        return predict(call, task, data)

    return Candidate(folder.name, identity, infer, "checkpoint", asdict(card), exposes=True)


def of_object(reference: str, task: Task) -> Candidate:
    """`package.module:object`, imported because it was named explicitly.

    The identity of a callable is its name, its file and what it answers to a probe: weights that it loads are in no source.
    """
    found = _instance(import_object(reference))
    made, file = _object(found), _file_digest(found)
    identity = made.identity
    if identity is None and file is not None:
        data = task.model.simulate(task.design, 0, "replicate", PROBE).data
        answers = _digest(made.infer(task, data, 0).predictive)
        identity = digest_of({"object": reference, "file": file, "answers": answers})
    return replace(made, name=reference, identity=identity)


def _instance(found: Any) -> Any:
    """The object itself; of a class, what it makes without arguments."""
    if not inspect.isclass(found):
        return found
    try:
        return found()
    except Exception as error:
        wanted = f"an object, or a class that needs no arguments, instead of '{found.__name__}'"
        raise InputError(wanted, f"{type(error).__name__}: {error}") from error


def _file_digest(thing: Any) -> str | None:
    """SHA-256 of the file that defines a function or the class of an object; None for what is in no file."""
    try:
        source = inspect.getsourcefile(thing if inspect.isfunction(thing) else type(thing))
    except (TypeError, OSError):  # built in, or typed in
        return None
    return (
        hashlib.sha256(Path(source).read_bytes()).hexdigest()
        if source and Path(source).is_file()
        else None
    )


def _digest(predictive: Predictive) -> str:
    """SHA-256 of a batch of predictives."""
    digest = hashlib.sha256(predictive.form.encode())
    for name, values in predictive.variables().items():
        digest.update(f"{name} {values.shape} ".encode() + values.tobytes())
    return digest.hexdigest()


def import_object(reference: str) -> Any:
    """The object behind `package.module:object`; modules in the working folder are found like installed ones.

    Raises:
        InputError: the module or the object is not there, or its import failed.
    """
    module, _, name = reference.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        with redirect_stdout(sys.stderr):  # a module may greet its importer
            found = importlib.import_module(module)
    except (
        Exception,
        SystemExit,
    ) as error:  # whatever a user's module raises on import is the user's to read
        raise InputError(
            f"an importable module '{module}'",
            f"{type(error).__name__}: {error}",
            "check PYTHONPATH and the name",
        ) from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise InputError(f"'{name}' in module '{module}'", "no such object")
        found = getattr(found, part)
    return found


def made_for(task: Task, seed: int) -> dict[str, Any]:
    """The data sets that recorded predictions answer; for others they mean nothing."""
    design = {"positions": list(task.design.positions), "queries": task.design.queries}
    return {"model_hash": task.model_hash, **design, "seed": seed}


def recorded(tree: xr.DataTree, name: str) -> Candidate:
    """Predictions stored by `--keep-predictions`, matched to data sets by their number.

    Raises:
        InputError: the tree holds no predictions, or (when they are asked for) holds them for other data sets.
    """
    if (
        not {"candidate", "observed_data"} <= set(tree.children)
        or "index" not in tree["observed_data"]
    ):
        raise InputError(
            "predictions with the groups 'candidate' and 'observed_data'",
            f"'{name}' without them",
            "write them with 'veribayes verify --keep-predictions'",
        )
    index, answered = _numbers(tree, name), _made_for(tree, name)
    labels = {
        DATASET: index,
        **({POSITION: answered["positions"]} if "positions" in answered else {}),
    }
    try:
        stored = predictive_of(by_labels(tree["candidate"].to_dataset(), labels, name))
    except EntryError as error:
        raise error.placed(lambda at: _recorded_place(at, index)) from None
    if stored.shape[0] != len(index):
        raise InputError(
            f"predictions for {len(index)} data sets in '{name}'", f"{stored.shape[0]}"
        )
    row = {int(number): i for i, number in enumerate(index)}

    def infer(task: Task, data: Data, seed: int) -> Branch:
        for key, wanted in made_for(task, seed).items():
            if answered.get(key) != wanted:
                raise InputError(
                    f"predictions made for {key} {wanted}",
                    f"those of '{name}' for {answered.get(key)}",
                )
        missing = [int(i) for i in data.index if int(i) not in row]
        if missing:
            raise InputError(
                f"predictions for data set {missing[0]}",
                f"{len(index)} recorded data sets",
                f"use --datasets {len(index)} at most and the seed they were made with",
            )
        shape = (len(data.index), len(data.positions), queries_of(task, data))
        said = as_predictive(
            stored[np.array([row[int(i)] for i in data.index])], shape, task.model.n_categories
        )
        return Branch(said, Certificate("trusted", "candidate", 0.0))

    identity = digest_of(
        {"answers": _digest(stored), "index": index.tolist(), "made_for": answered}
    )
    return Candidate(name, identity, infer, "predictions", askable=False)


def _numbers(tree: xr.DataTree, name: str) -> IntArray:
    """Numbers of the recorded data sets, (dataset,): whole and different."""
    index = tree["observed_data/index"].to_numpy()
    if index.ndim != 1 or index.dtype.kind not in "iu" or np.unique(index).size < index.size:
        raise InputError(
            f"whole and different numbers of data sets in '{name}'", f"{index.ravel()[:8].tolist()}"
        )
    return np.asarray(index, dtype=np.int64)


def _made_for(tree: xr.DataTree, name: str) -> dict[str, Any]:
    """What the predictions say they were made for."""
    text = str(tree["candidate"].attrs.get("made_for", "{}"))
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError):
        raise InputError(
            f"a JSON object as attribute 'made_for' in '{name}'", repr(text[:60])
        ) from None


def _recorded_place(at: tuple[int, ...], index: Any) -> str:
    """Where a recorded distribution stands, in the number of its data set."""
    if len(at) != 3 or at[0] >= len(index):
        return f"at index {at}"
    return f"in data set {int(index[at[0]])}, position {at[1]}, query {at[2]}"


def _is_module(value: object) -> bool:
    """Whether it is a torch module, said without torch."""
    return any(
        c.__module__.startswith("torch.") and c.__name__ == "Module" for c in type(value).__mro__
    )


def _as_function(value: object) -> tuple[Callable[..., object], str]:
    name = getattr(value, "__qualname__", type(value).__name__)
    if _is_module(value):
        from veribayes.transformer._candidates import module_candidate

        return module_candidate(cast(Any, value)), type(value).__name__
    if callable(value):
        return value, name
    raise InputError("a callable (context, query) -> predictive", type(value).__name__)


def with_tolerance(task: Task, kl: float | None) -> Task:
    """The task with another tolerance of its primary endpoint."""
    if kl is None:
        return task
    if not kl > 0:
        raise InputError("a positive tolerance", f"{kl}")
    given = Tolerance(kl, kl, quantiles=kl)
    return replace(
        task,
        tolerance=replace(task.tolerance, kl=kl, draws=kl, quantiles=kl)
        if task.tolerance
        else given,
    )
