"""Looking inside: who is asked, and the probes that are asked of it (`validation/probes/`).

    attention      of every layer: sink and diagonal mass, tokens read, head diversity, mass by
                   distance
    construction   how far the nearest head of every layer is from each layer that theory writes
                   down
    tables         mixtures of transitions and networks with known tables: the tables that the
                   answers imply
    context_used   how much an answer to the latest observations alone differs from the one to all
                   of them
    sink_mass      of sets: what queries leave on what is no observation
    belief_state   whether the exact posterior of a finite latent can be read off the residual
                   stream

Attention is there where the candidate exposes it: an object with `attention(context, query) ->
(maps, leading)`, one map (dataset, head, reader, read) a layer, the answering readers last,
`leading` of whose tokens are no observations. The networks of this package and the constructions
do. Intervals are 95 %, over data sets; nothing is decided here.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from veribayes import registry
from veribayes.candidates import import_object, searched
from veribayes.errors import InputError
from veribayes.models._task import Task
from veribayes.predictive import Predictive, as_predictive
from veribayes.tree import Data, Posterior
from veribayes.validation.probes._maps import SHOWS
from veribayes.validation.probes._probe import Call, Constructed, Subject

SCHEMA = "veribayes.probe/1"
DATASETS = 64  # on the stream `replicate`: nothing is decided here


def probe(
    task: Task,
    candidate: object,
    *,
    against: str | None = None,
    datasets: int = DATASETS,
    seed: int = 0,
) -> dict[str, Any]:
    """Everything that can be asked of this candidate, as plain data of schema `veribayes.probe/1`.

    Args:
        candidate: a checkpoint by name or folder, a construction, `package.module:object`, or an
            object.
        against: construction to hold it against; None: the first that serves the task, if any does.

    Raises:
        InputError: fewer than two data sets, nothing of that name, no attention, or a construction
            for another family.
    """
    if not 2 <= datasets < 2**32:
        wanted = "datasets: at least two, for intervals over them"
        raise InputError(wanted, f"{datasets}", "set --datasets")
    call = callable_of(candidate, task)
    data = task.simulate(range(datasets), seed=seed, stream="replicate").data
    asked = subject(task, call, data, against=against, seed=seed)
    named = isinstance(candidate, str | Path)
    entry: dict[str, Any] = {
        "schema": SCHEMA,
        "task": task.name,
        "candidate": str(candidate) if named else type(candidate).__name__,
        "datasets": datasets,
        "seed": seed,
        "context": int(data.positions[-1]),
    }
    return {**entry, **_answers(asked)}


def subject(
    task: Task, call: Call, data: Data, *, against: str | None = None, seed: int = 0
) -> Subject:
    """Who is probed; arguments as in `probe`, `call` answers (context, query)."""

    def read(answer: Any, shape: tuple[int, int]) -> Predictive:
        return as_predictive(answer, shape, task.model.n_categories)

    engine = registry.engine(task.reference)

    def exact(part: Data) -> Predictive:
        answer: Predictive = engine(task, part, seed=seed).predictive
        return answer[:, 0]

    def posterior(part: Data) -> Posterior:
        return engine(task, part, seed=seed).posterior

    return Subject(
        task=task,
        call=call,
        data=data,
        seed=seed,
        read=read,
        exact=exact,
        posterior=posterior,
        construction=partial(_serving, task, against, seed),
        named=against is not None,
    )


def _answers(asked: Subject) -> dict[str, Any]:
    """What every probe finds, in the order of their places; `shown` has tables for readers."""
    parts = {name: registry.load("probe", name) for name in registry.usable("probe")}
    answers = {}
    shown = []
    for name in sorted(parts, key=lambda name: (parts[name].place, name)):
        ask = partial(parts[name].ask, asked)
        answers[name] = registry.attempted("probe", name, ask)
        shown += _shown(name, parts[name], answers[name])
    return {**answers, "shown": shown}


def _shown(name: str, part: Any, found: Any) -> list[dict[str, Any]]:
    """Words and table of a probe that brings a table, for a report that does not know it."""
    if found is None or getattr(part, "rows", None) is None:
        return []
    rows = registry.attempted("probe", name, partial(part.rows, found))
    if rows is None:
        return []
    return [{"name": name, "label": part.label, "about": part.about, "rows": rows}]


# -- who is asked ----------------------------------------------------------------------------------


def task_name(candidate: str) -> str:
    """The shipped task that a checkpoint was trained for.

    Raises:
        InputError: no checkpoint, or one whose card names no shipped task: a card's word is never
            read as a file or imported.
    """
    folder = registry.checkpoint_path(candidate) or Path(candidate)
    if not (folder / "card.json").is_file():
        wanted = "--task for what is no checkpoint"
        raise InputError(wanted, f"'{candidate}' alone", "name the task with --task")
    from veribayes.transformer._checkpoint import read_card

    name = read_card(folder).task
    if registry.task_path(name) is None:
        wanted = "--task for a checkpoint of a task that is not shipped"
        raise InputError(wanted, f"a card that says {name!r}")
    return name


def callable_of(candidate: object, task: Task, trained: int | None = None) -> Call:
    """What answers (context, query) and may show its attention.

    Args:
        trained: seed of the training, of a checkpoint with several networks; None: the first.
    """
    named = isinstance(candidate, str | Path)
    resolved = _named(str(candidate), task, trained) if named else candidate
    if not callable(resolved):
        wanted = "a callable, or the name of a checkpoint or a construction"
        raise InputError(wanted, type(resolved).__name__)
    return resolved


def _named(name: str, task: Task, trained: int | None) -> object:
    folder = registry.checkpoint_path(name) or Path(name)
    part = name.replace("-", "_")
    if (folder / "card.json").is_file():
        from veribayes.transformer._candidates import network_candidate

        return network_candidate(folder, task, trained)
    if part in registry.names("construction"):
        return construction(part, task, task.design.positions[-1])
    if ":" in name:
        return import_object(name)
    shown = part in registry.names("engine")
    wanted = SHOWS if shown else "a checkpoint, a construction or package.module:object"
    raise InputError(wanted, f"'{name}'", "see 'veribayes list candidates'")


def construction(name: str, task: Task, length: int, seed: int = 0) -> Call:
    """A construction for contexts of one length; mirror descent takes the step size that is best
    there.
    """
    part = registry.load("construction", name)()
    call: Call = searched(part, task, (length,), seed)(task)
    return call


def _serving(task: Task, against: str | None, seed: int) -> Constructed:
    """The construction of this name, or the first for the family."""
    kind = task.model.kind
    named = [against.replace("-", "_")] if against else []
    name = next(iter(named or _constructions_for(kind)), "")
    if not name:
        raise InputError("a family for which theory writes weights down", f"'{kind}'")
    return Constructed(name, construction(name, task, task.design.positions[-1], seed))


def _constructions_for(kind: str) -> list[str]:
    names = registry.usable("construction")
    return [name for name in names if kind in registry.load("construction", name).families]
