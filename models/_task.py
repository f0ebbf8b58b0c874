"""The frame of a task: a model with a design, its engines and its frozen tolerance.

A model is a frozen dataclass that checks itself and derives from `Model`. A task adds what a
comparison needs and nothing else: where predictions are wanted, which engine is the truth, which
second route audits it, who the rivals are, and the tolerance of the primary endpoint. Both
round-trip through YAML; a checkpoint binds to the hash of the model.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from veribayes.checked import integer, mapping, number, sequence, shown, text
from veribayes.errors import InputError
from veribayes.models._model import Model
from veribayes.tree import Simulation

if TYPE_CHECKING:
    from veribayes.models._contexts import Contexts

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")  # names become folders
POSITIONS = 12  # that a task may have unless its design says more


@dataclass(frozen=True)
class Design:
    """Where predictions are wanted.

    Attributes:
        positions: context sizes, increasing; a task has at most `budget`, training may ask for
            every prefix.
        queries: queries a data set (families with one query, or one query a node, ignore it).
        shard: data sets a shard; fixed in the task, never by free memory.
        budget: positions that a task may have: each costs a reference and a request of every data
            set.
    """

    positions: tuple[int, ...]
    queries: int = 1
    shard: int = 100
    budget: int = POSITIONS

    def __post_init__(self) -> None:
        listed = sequence("positions", self.positions)
        positions = tuple(integer("positions", position, at_least=0) for position in listed)
        if not positions or any(b <= a for a, b in pairwise(positions)):
            raise InputError("increasing positions, at least one", f"{positions}")
        object.__setattr__(self, "positions", positions)
        object.__setattr__(self, "queries", integer("queries", self.queries, at_least=1))
        object.__setattr__(self, "shard", integer("shard", self.shard, at_least=1))
        object.__setattr__(self, "budget", integer("budget", self.budget, at_least=1))


@dataclass(frozen=True)
class Tolerance:
    """Frozen tolerance of the primary endpoint: 1 % of the mean divergence of the prior predictive
    from exact.

    Attributes:
        kl: nats, for candidates with a density.
        draws: for candidates that give draws: half the chi-square divergence for categories, with
            the number of `kl`; CRPS divergence in the unit of the observation otherwise.
        seed, datasets: how both were computed (`make tolerances` does it again).
        quantiles: quantile divergence in the unit of the observation, for candidates that give
            quantiles. It depends on their levels and is computed at the start of a run; no file and
            no hash holds it.
        point: squared error of the mean in the squared unit of the observation, for candidates that
            give a mean alone; computed at the start of a run as well.
    """

    kl: float
    draws: float
    seed: int = 0
    datasets: int = 2000
    quantiles: float | None = None
    point: float | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for name in ("kl", "draws"):
            object.__setattr__(self, name, number(name, getattr(self, name), above=0))
        integer("seed", self.seed, at_least=0)
        integer("datasets", self.datasets, at_least=1)


@dataclass(frozen=True)
class Task:
    """A model with a design, a reference engine and a tolerance. See the module's docstring.

    Attributes:
        contexts: data sets that somebody has; they are compared in the place of those that the
            model would draw, and are no part of the task's hash.
    """

    name: str
    model: Model
    design: Design
    reference: str
    second_route: str
    rivals: tuple[str, ...] = ()
    # fields of the model's spec that the wrong prior replaces
    wrong_prior: Mapping[str, Any] = field(default_factory=dict)
    tolerance: Tolerance | None = None  # None: computed by the pipeline before the first comparison
    training: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""
    citation: str = ""
    contexts: Contexts | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        for key in ("name", "reference", "second_route", "description", "citation"):
            text(key, getattr(self, key))
        rivals = tuple(text("rivals", rival) for rival in sequence("rivals", self.rivals))
        object.__setattr__(self, "rivals", rivals)
        mapping("wrong_prior", self.wrong_prior, allowed=list(self.model.spec()))
        if not isinstance(self.training, Mapping):
            raise InputError("a mapping for 'training'", shown(self.training))
        if not NAME.fullmatch(self.name):
            wanted = "a task name of letters, digits and . _ + -, at most 64"
            raise InputError(wanted, repr(self.name))
        positions, budget = len(self.design.positions), self.design.budget
        if positions > budget:
            remedy = f"each costs a reference and a request: 'budget: {positions}' allows them"
            raise InputError(f"at most {budget} positions in a task", f"{positions}", remedy)

    def simulate(self, datasets: range, *, seed: int, stream: str = "verify") -> Simulation:
        """Draw the data sets with these numbers; a pure function of its arguments.

        Those of a comparison (stream `verify`) are the given contexts, where there are some.
        """
        index = np.asarray(datasets, dtype=np.int64)
        if self.contexts is not None and stream == "verify":
            return self.contexts.simulation(index)
        return self.model.simulate(self.design, seed, stream, index)

    @property
    def model_hash(self) -> str:
        """Identifies the model alone: what a checkpoint was trained for."""
        return hash_of({"kind": self.model.kind, **self.model.spec()})

    @property
    def hash(self) -> str:
        """Identifies the comparison: model, design, engines and tolerance."""
        return hash_of(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as stored in YAML."""
        design, tolerance = self.design, self.tolerance
        plain: dict[str, Any] = {
            "name": self.name,
            "description": self.description,
            "citation": self.citation,
        }
        plain["model"] = {"kind": self.model.kind, **self.model.spec()}
        plain["design"] = {
            "positions": list(design.positions),
            "queries": design.queries,
            "shard": design.shard,
        }
        if design.budget != POSITIONS:
            plain["design"]["budget"] = design.budget
        plain["reference"] = self.reference
        plain["second_route"] = self.second_route
        plain["rivals"] = list(self.rivals)
        plain["wrong_prior"] = dict(self.wrong_prior)
        if tolerance is not None:
            plain["tolerance"] = {
                "kl": tolerance.kl,
                "draws": tolerance.draws,
                "seed": tolerance.seed,
                "datasets": tolerance.datasets,
            }
        if self.training:
            plain["training"] = dict(self.training)
        return plain


def with_tolerance(task: Task, kl: float | None) -> Task:
    """The task with another tolerance of its primary endpoint, whatever that is;
    the same where none is given.

    Raises:
        InputError: a tolerance that is not positive.
    """
    if kl is None:
        return task
    if not kl > 0:
        raise InputError("a positive tolerance", f"{kl}")
    if task.tolerance is None:
        return replace(task, tolerance=Tolerance(kl, kl, quantiles=kl, point=kl))
    given = replace(task.tolerance, kl=kl, draws=kl, quantiles=kl, point=kl)
    return replace(task, tolerance=given)


def hash_of(spec: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of plain data; floats by their shortest round-trip text."""
    canonical = json.dumps(spec, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
