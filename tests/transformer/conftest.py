"""Small tasks of every family, and a recipe for each that runs in a second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from veribayes import registry
from veribayes.models import _spec
from veribayes.models._task import Task
from veribayes.predictive import Predictive
from veribayes.transformer._candidates import Candidate
from veribayes.transformer._recipe import Recipe
from veribayes.tree import Data

MODELS: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "bayesian_network": (
        {
            "nodes": ["a", "b", "c"],
            "parents": {"b": ["a"], "c": ["a", "b"]},
            "states": {"a": ["x", "y"], "b": ["x", "y", "z"], "c": ["x", "y"]},
            "prior": {"kind": "dirichlet", "concentration": 1.0},
        },
        (1, 4, 8),
    ),
    "known_tables": (
        {
            "kind": "bayesian_network",
            "nodes": ["a", "b", "c"],
            "parents": {"b": ["a"], "c": ["b"]},
            "states": {"a": ["x", "y"], "b": ["x", "y", "z"], "c": ["x", "y"]},
            "cpts": {
                "a": [[0.3, 0.7]],
                "b": [[0.2, 0.3, 0.5], [0.6, 0.4, 0.0]],
                "c": [[0.9, 0.1], [0.4, 0.6], [1.0, 0.0]],
            },
        },
        (0,),
    ),
    "mtd": ({"q": 3, "m": 2, "matrix_seed": 0}, (2, 4, 8)),
    "gaussian_process": (
        {"kernel": {"kind": "rbf", "amplitude": 1.0, "lengthscale": 0.8}, "noise_sd": 0.2},
        (1, 4, 8),
    ),
}
FAMILIES = list(MODELS)
# simulators and engines compile for a shape:
# four data sets and the design's own queries everywhere keep the tests quick
SMALL = {"width": 16, "layers": 2, "heads": 2}
CELLS = {"cells": 12, "reach": 3.0, "tail_scale": 0.4}


@dataclass(frozen=True)
class Case:
    """A task with what its training needs."""

    task: Task
    recipe: Recipe
    targets: Callable[[Data], Predictive]

    def evaluate(self, candidate: Candidate) -> dict[str, Any]:
        """The mean of every number the candidate gives on four data sets:
        different weights, different mean square.
        """
        data = self.task.simulate(range(4), seed=0, stream="replicate").data
        probs = np.asarray(candidate(*self.task.model.inputs(data, 1))["probs"])
        return {"square": float((probs**2).mean())}


def case(family: str, **changes: Any) -> Case:
    spec, positions = MODELS[family]
    task = _spec.task_of(
        _spec.model_from_spec({"kind": family, **spec}), name=f"small-{family}", positions=positions
    )
    engine = registry.load("engine", task.reference)()
    network = {**SMALL, **(CELLS if family == "gaussian_process" else {})}
    settings: dict[str, Any] = {
        "steps": 12,
        "batch": 8,
        "groups": 2,
        "queries": task.design.queries,
        "learning_rate": 0.01,
        "evaluations": 3,
    }
    return Case(
        task,
        Recipe(network=network, **{**settings, **changes}),
        lambda data: engine(task, data, seed=0).predictive,
    )


@pytest.fixture(params=FAMILIES)
def each(request: pytest.FixtureRequest) -> Case:
    """One small task of each family."""
    return case(request.param)


@pytest.fixture
def make_case() -> Callable[..., Case]:
    return case
