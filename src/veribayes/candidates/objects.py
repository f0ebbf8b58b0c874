"""`package.module:object` as a candidate: imported because it was named, whatever kind it is."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from typing import Any

import numpy as np

from veribayes.candidates._adapter import BY_SHAPE, Adapter
from veribayes.candidates._identity import file_digest, predictive_digest
from veribayes.errors import InputError
from veribayes.models._task import Task
from veribayes.storage.store import digest_of
from veribayes.validation.candidate import Candidate

# data sets of the stream `replicate` that tell whether a callable is still the same
PROBE = np.arange(2)


def of_object(reference: str, task: Task) -> Candidate:
    """`package.module:object`, imported because it was named explicitly.

    The identity of a callable is its name, its file and what it answers to a probe: weights that it
    loads are in no source.
    """
    from veribayes.candidates._resolve import of_thing

    thing = instance_of(import_object(reference))
    candidate = of_thing(thing, task)
    file = file_digest(thing)
    identity = candidate.identity
    if identity is None and file is not None:
        data = task.model.simulate(task.design, 0, "replicate", PROBE).data
        answers = predictive_digest(candidate.infer(task, data, 0).predictive)
        identity = digest_of({"object": reference, "file": file, "answers": answers})
    return replace(candidate, name=reference, identity=identity)


def instance_of(thing: Any) -> Any:
    """The object itself; of a class, what it makes without arguments.

    Raises:
        InputError: the class needs arguments, or failed.
    """
    if not inspect.isclass(thing):
        return thing
    try:
        return thing()
    except Exception as error:
        wanted = f"an object, or a class that needs no arguments, instead of '{thing.__name__}'"
        raise InputError(wanted, f"{type(error).__name__}: {error}") from error


def import_object(reference: str) -> Any:
    """The object behind `package.module:object`; modules in the working folder are found like
    installed ones.

    Raises:
        InputError: the module or the object is not there, or its import failed.
    """
    module, _, name = reference.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        with redirect_stdout(sys.stderr):  # a module may greet its importer
            thing = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # what a user's module raises is the user's to read
        reason = f"{type(error).__name__}: {error}"
        remedy = "check PYTHONPATH and the name"
        raise InputError(f"an importable module '{module}'", reason, remedy) from error
    for part in name.split("."):
        if not hasattr(thing, part):
            raise InputError(f"'{name}' in module '{module}'", "no such object")
        thing = getattr(thing, part)
    return thing


class Objects(Adapter):
    """A word with a colon that nobody else has taken."""

    order = BY_SHAPE

    def accepts(self, thing: object) -> bool:
        return isinstance(thing, str) and ":" in thing

    def candidate(self, thing: object, task: Task) -> Candidate:
        return of_object(str(thing), task)


PART = Objects()
