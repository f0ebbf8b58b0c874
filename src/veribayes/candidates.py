"""Who is judged: an engine, a construction, a shipped checkpoint, a checkpoint folder, a callable, or recorded predictions.

Whatever it is, it becomes a `Candidate`: a name, an identity that a stored shard can bind to, and a function from a batch
of data sets to predictives. A candidate sees `Data` or (context, query); neither holds outcomes, latents or references.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from veribayes import registry
from veribayes.errors import InputError
from veribayes.models._task import Task, Tolerance
from veribayes.predictive import as_predictive, stack
from veribayes.store import digest_of, predictive_of, read_tree, source_digest
from veribayes.tree import Branch, Certificate, Data


@dataclass(frozen=True)
class Candidate:
    """What is compared with the truth.

    Attributes:
        name: shown to the reader.
        identity: hash of everything its answers depend on, or None for a bare callable, whose run never resumes.
        infer: (task, data, seed) -> branch with leading shape (dataset, position, query).
        kind: engine, construction, checkpoint, callable or predictions.
        card: a checkpoint's card.
    """

    name: str
    identity: str | None
    infer: Callable[[Task, Data, int], Branch]
    kind: str
    card: Mapping[str, Any] | None = None


def resolve(candidate: object, task: Task, options: Mapping[str, str] | None = None) -> Candidate:
    """Find out what `candidate` is; None means the checkpoint that is shipped for the task.

    Raises:
        InputError: nothing of that name, or a thing that cannot predict.
    """
    if candidate is None:
        return _shipped_default(task)
    if isinstance(candidate, Candidate):
        return candidate
    if isinstance(candidate, str | Path):
        return _named(str(candidate), task, dict(options or {}))
    if hasattr(candidate, "families") and callable(candidate):
        return of_engine(type(candidate).__name__.lower(), candidate)
    return of_callable(candidate, task)


def of_engine(name: str, made: Any) -> Candidate:
    """An engine in the role of the candidate."""
    identity = digest_of({"engine": name, "options": repr(made), "source": source_digest()})
    return Candidate(name, identity, lambda task, data, seed: made(task, data, seed=seed), "engine")


def of_construction(name: str, made: Any) -> Candidate:
    """A transformer whose weights are written down."""
    identity = digest_of({"construction": name, "options": repr(made), "source": source_digest()})

    def infer(task: Task, data: Data, seed: int) -> Branch:
        return predict(_with_step_size(made, task, data, seed)(task), task, data)

    return Candidate(name, identity, infer, "construction")


def _with_step_size(made: Any, task: Task, data: Data, seed: int) -> Any:
    """Mirror descent without a step size gets the best for each prefix length, by the search of the engine of that name."""
    if task.model.kind not in made.families or getattr(made, "searched_by", None) is None or made.eta is not None:
        return made
    engine = importlib.import_module(f"veribayes.inference.{made.searched_by}")
    positions = tuple(data.positions.tolist())
    return replace(made, eta=dict(zip(positions, engine.best_etas(task.model, positions, made.steps, seed), strict=True)))


def of_callable(function: object, task: Task, name: str | None = None, identity: str | None = None) -> Candidate:
    """A callable (context, query) -> one of the six forms, or an object with `predict_proba` or `predict`."""
    call, label = _as_function(function)
    return Candidate(name or label, identity, lambda task, data, seed: predict(call, task, data), "callable")


def predict(call: Callable[[Any, Any], object], task: Task, data: Data) -> Branch:
    """Ask a callable once for every design position and join its answers along `position`."""
    parts = []
    for k in range(len(data.positions)):
        context, query = task.model.inputs(data, k)
        parts.append(
            as_predictive(call(context, query), (len(data.index), queries_of(task, data)), task.model.n_categories)
        )
    return Branch(stack(parts, axis=1), Certificate("trusted", "candidate", 0.0))


def queries_of(task: Task, data: Data) -> int:
    """Number of queries a data set: the length of `target` or of `x_query`, one for a sequence."""
    if "target" in data.arrays:
        return len(data.arrays["target"])
    return int(data.arrays["x_query"].shape[1]) if "x_query" in data.arrays else 1


def _shipped_default(task: Task) -> Candidate:
    if registry.checkpoint_path(task.name) is None:
        raise InputError(
            f"a candidate for the task '{task.name}'",
            "none",
            "no checkpoint is shipped for it; name one with --candidate",
        )
    return _named(task.name, task, {})


def _named(name: str, task: Task, options: dict[str, str]) -> Candidate:
    folder = registry.checkpoint_path(name) or Path(name)
    if (folder / "card.json").is_file() or registry.checkpoint_path(name):
        return _checkpoint(name if registry.checkpoint_path(name) else folder.name, folder, task)
    if name.replace("-", "_") in registry.names("engine"):
        return of_engine(name, registry.engine(name, options))
    if name.replace("-", "_") in registry.names("construction"):
        return of_construction(name, registry.configured("construction", name, options))
    if name.endswith(".nc"):
        return _recorded(Path(name))
    if ":" in name:
        return of_object(name, task)
    raise InputError(
        "a checkpoint, an engine, a construction, a predictions file (.nc) or package.module:callable",
        f"'{name}'",
        "see 'veribayes list candidates'",
    )


def _checkpoint(name: str, folder: Path, task: Task) -> Candidate:
    from veribayes.transformer import _checkpoint as checkpoint
    from veribayes.transformer._candidates import network_candidate

    card = checkpoint.read_card(folder)
    call = network_candidate(folder, task)
    identity = digest_of({"card": asdict(card), "source": source_digest()})
    return Candidate(name, identity, lambda task, data, seed: predict(call, task, data), "checkpoint", asdict(card))


def of_object(reference: str, task: Task) -> Candidate:
    """`package.module:callable`, imported because it was named explicitly."""
    found = import_object(reference)
    source = inspect.getsourcefile(found) if inspect.isroutine(found) or inspect.isclass(found) else None
    identity = hashlib.sha256(Path(source).read_bytes()).hexdigest() if source else None
    if inspect.isclass(found):
        found = found()
    return of_callable(found, task, reference, identity)


def import_object(reference: str) -> Any:
    """The object behind `package.module:object`.

    Raises:
        InputError: the module or the object is not there, or its import failed.
    """
    module, _, name = reference.partition(":")
    try:
        found = importlib.import_module(module)
    except Exception as error:  # whatever a user's module raises on import is the user's to read
        raise InputError(
            f"an importable module '{module}'", f"{type(error).__name__}: {error}", "check PYTHONPATH and the name"
        ) from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise InputError(f"'{name}' in module '{module}'", "no such object")
        found = getattr(found, part)
    return found


def _recorded(path: Path) -> Candidate:
    """Predictions stored by `--keep-predictions`, matched to data sets by their number."""
    tree = read_tree(path)
    if not {"candidate", "observed_data"} <= set(tree.children) or "index" not in tree["observed_data"]:
        raise InputError(
            "a predictions file with the groups 'candidate' and 'observed_data'",
            f"'{path.name}' without them",
            "write one with 'veribayes verify --keep-predictions'",
        )
    stored, index = predictive_of(tree["candidate"].to_dataset()), tree["observed_data/index"].to_numpy()
    row = {int(number): i for i, number in enumerate(index)}

    def infer(task: Task, data: Data, seed: int) -> Branch:
        missing = [int(i) for i in data.index if int(i) not in row]
        if missing:
            raise InputError(
                f"predictions for data set {missing[0]}",
                f"{len(index)} recorded data sets",
                f"use --datasets {len(index)} at most and the seed they were made with",
            )
        return Branch(stored[np.array([row[int(i)] for i in data.index])], Certificate("trusted", "candidate", 0.0))

    return Candidate(path.stem, hashlib.sha256(path.read_bytes()).hexdigest(), infer, "predictions")


def _as_function(value: object) -> tuple[Callable[[Any, Any], object], str]:
    name = getattr(value, "__qualname__", type(value).__name__)
    if any(c.__module__.startswith("torch.") and c.__name__ == "Module" for c in type(value).__mro__):
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
    given = Tolerance(kl, kl)
    return replace(task, tolerance=replace(task.tolerance, kl=kl, draws=kl) if task.tolerance else given)
