"""Who is judged: which kind of candidate a word of the command line or an object is.

Kinds are parts (`registry`, kind `candidate`): the plain modules of this folder, and what other
distributions add through the entry point `veribayes.candidate`. Names that somebody has listed come
first, then strangers' kinds, then whatever looks right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from veribayes import registry
from veribayes.candidates._adapter import STRANGER, require_no_options
from veribayes.candidates.checkpoints import shipped_for
from veribayes.candidates.objects import instance_of
from veribayes.errors import InputError
from veribayes.models._task import Task
from veribayes.validation.candidate import Candidate

NAMED = (
    "a checkpoint, an engine, a construction, a predictions file (.nc) or package.module:callable"
)


def resolve(candidate: object, task: Task, options: Mapping[str, str] | None = None) -> Candidate:
    """Find out what `candidate` is; None means the checkpoint that is shipped for the task.

    Raises:
        InputError: nothing of that name, a thing that cannot predict, or options for a thing that
            has none.
    """
    if candidate is None:
        return shipped_for(task, options)
    if isinstance(candidate, str | Path):
        return of_thing(str(candidate), task, options)
    return of_thing(instance_of(candidate), task, options)


def of_thing(thing: object, task: Task, options: Mapping[str, str] | None = None) -> Candidate:
    """The candidate that the first kind which accepts the thing makes of it; a candidate is one
    already.

    Raises:
        InputError: no kind accepts it, or options for a thing that has none.
    """
    if isinstance(thing, Candidate):
        require_no_options(thing, options or {})
        return thing
    for name, adapter in _adapters():
        accepted = registry.attempted("candidate", name, partial(adapter.accepts, thing))
        if accepted:
            return _candidate_of(adapter, thing, task, options or {})
    if isinstance(thing, str):
        raise InputError(NAMED, f"'{thing}'", "see 'veribayes list candidates'")
    raise InputError("a callable (context, query) -> predictive", type(thing).__name__)


def _adapters() -> Iterator[tuple[str, Any]]:
    """Every usable kind by its name, in the order in which they are asked."""
    names = registry.usable("candidate")
    parts = {name: registry.load("candidate", name) for name in names}

    def place(name: str) -> tuple[int, str]:
        own = registry.is_shipped("candidate", name)
        return (parts[name].order if own else STRANGER, name)

    for name in sorted(parts, key=place):
        yield name, parts[name]


def _candidate_of(adapter: Any, thing: object, task: Task, options: Mapping[str, str]) -> Candidate:
    """What an adapter makes of a thing; a stranger's need not know of options."""
    if hasattr(adapter, "configured"):
        candidate = adapter.configured(thing, task, options)
    else:
        candidate = adapter.candidate(thing, task)
        require_no_options(candidate, options)
    if not isinstance(candidate, Candidate):
        raise InputError("a Candidate from an adapter of candidates", type(candidate).__name__)
    return candidate
