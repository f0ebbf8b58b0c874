"""A construction as a candidate: a transformer whose weights are written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from veribayes import registry
from veribayes.candidates._adapter import BY_NAME, Adapter, require_no_options
from veribayes.candidates._asking import predict
from veribayes.candidates._identity import part_identity
from veribayes.models._task import Task
from veribayes.tree import Branch, Data
from veribayes.validation.candidate import Candidate


def of_construction(name: str, construction: Any) -> Candidate:
    """A transformer whose weights are written down."""

    def infer(task: Task, data: Data, seed: int) -> Branch:
        best = searched(construction, task, data.positions.tolist(), seed)
        return predict(best(task), task, data)

    identity = part_identity("construction", name, construction)
    return Candidate(name, identity, infer, "construction")


def searched(construction: Any, task: Task, positions: Sequence[int], seed: int) -> Any:
    """A construction that lacks an option gets the best from the engine that makes the same steps.

    Args:
        positions: context sizes: with several it is the best for each, with one alone the best
            there, for any size.
    """
    name = getattr(construction, "searched_by", "")
    if not name or task.model.kind not in construction.families:
        return construction
    engine = registry.load("engine", name)(steps=construction.steps)
    best = engine.best_options(task, positions, seed)
    if len(positions) > 1:
        return replace(construction, **best)
    alone = {option: next(iter(values.values())) for option, values in best.items()}
    return replace(construction, **alone)


class Constructions(Adapter):
    """The name of a construction, or an object like one: it has families and no method."""

    order = BY_NAME + 1

    def accepts(self, thing: object) -> bool:
        if isinstance(thing, str):
            return thing.replace("-", "_") in registry.names("construction")
        return hasattr(thing, "families") and not hasattr(thing, "method") and callable(thing)

    def candidate(self, thing: object, task: Task) -> Candidate:
        return self.configured(thing, task, {})

    def configured(self, thing: object, task: Task, options: Mapping[str, str]) -> Candidate:
        del task  # a construction says itself which tasks it serves, when it is asked
        if isinstance(thing, str):
            name = thing.replace("-", "_")
            return of_construction(name, registry.configured("construction", name, options))
        candidate = of_construction(type(thing).__name__.lower(), thing)
        require_no_options(candidate, options)
        return candidate


PART = Constructions()
