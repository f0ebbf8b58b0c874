"""An engine as a candidate, by its name or as an object; in every other role of a run as well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from veribayes import registry
from veribayes.candidates._adapter import BY_NAME, Adapter, require_no_options
from veribayes.candidates._identity import part_identity
from veribayes.models._task import Task
from veribayes.tree import Branch, Data
from veribayes.validation.candidate import Candidate


def of_engine(name: str, engine: Any) -> Candidate:
    """An engine, in whatever role."""

    def infer(task: Task, data: Data, seed: int) -> Branch:
        return cast(Branch, engine(task, data, seed=seed))

    return Candidate(
        name,
        part_identity("engine", name, engine),
        infer,
        "engine",
        takes_seed=True,
        exposes_latents=True,
        exposes_joint=True,
    )


class Engines(Adapter):
    """The name of an engine, or an object like one: it has families and a method."""

    order = BY_NAME

    def accepts(self, thing: object) -> bool:
        if isinstance(thing, str):
            return thing.replace("-", "_") in registry.names("engine")
        return hasattr(thing, "families") and hasattr(thing, "method") and callable(thing)

    def candidate(self, thing: object, task: Task) -> Candidate:
        return self.configured(thing, task, {})

    def configured(self, thing: object, task: Task, options: Mapping[str, str]) -> Candidate:
        del task  # an engine says itself which tasks it serves, when it is asked
        if isinstance(thing, str):
            name = thing.replace("-", "_")
            return of_engine(name, registry.engine(name, options))
        candidate = of_engine(type(thing).__name__.lower(), thing)
        require_no_options(candidate, options)
        return candidate


PART = Engines()
