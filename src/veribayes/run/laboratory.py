"""What claims measure with: tasks, data sets, answers, divergences and whole runs,
behind plain functions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from veribayes import registry
from veribayes.candidates import resolve
from veribayes.models import _spec
from veribayes.models._task import Task
from veribayes.predictive import Array
from veribayes.run import pipeline, probes
from veribayes.run.pipeline import Options
from veribayes.storage import store
from veribayes.tree import Branch, Data, Simulation
from veribayes.validation.probes import _maps

NETWORKS = Path("runs/claims/networks")
PRESET = "claim"
STREAM = "verify"  # training and tuning see other streams
OPTIONS = ("audit", "tests", "reference")  # of a run; every other option is the candidate's


@dataclass(frozen=True)
class Laboratory:
    """The lab of `validation.claims`.

    Attributes:
        full: whether the long form is asked for.
        seed: with it every number is determined.
        folder: where training leaves its networks, so that a second call finds or continues them.
    """

    full: bool
    seed: int
    folder: Path = NETWORKS

    def task(self, name: str, **design: Any) -> Task:
        """A shipped task by name, with other positions or queries where they are given."""
        task = _spec.load_task(name)
        return replace(task, design=replace(task.design, **design)) if design else task

    def model_task(self, kind: str, spec: Mapping[str, Any], **design: Any) -> Task:
        """A task around a model of a family, from its specification."""
        family = registry.load("family", kind)
        return _spec.task_of(family.from_spec(spec), **design)

    def simulate(self, task: Task, datasets: int) -> Simulation:
        """Data sets of a task, with outcomes and latents."""
        return task.simulate(range(datasets), seed=self.seed, stream=STREAM)

    def ask(self, task: Task, candidate: object, data: Data, **options: Any) -> Branch:
        """What an engine, a construction, a checkpoint or a callable answers."""
        words = {name: str(value) for name, value in options.items()}
        return resolve(candidate, task, words).infer(task, data, self.seed)

    def attention(
        self, task: Task, candidate: object, data: Data, *, trained: int | None = None
    ) -> list[tuple[list[Array], int]]:
        """The maps of a candidate at each position, and how many of the tokens that are read first
        are no observations.

        Args:
            trained: seed of the training, of a checkpoint with several networks; None: the first.

        Raises:
            InputError: it shows none.
        """
        call = probes.callable_of(candidate, task, trained)
        inputs = [task.model.inputs(data, k) for k in range(len(data.positions))]
        return [_maps.shown(call, context, query) for context, query in inputs]

    def truth(self, task: Task, data: Data) -> Branch:
        """The certified reference of the task.

        Raises:
            ReferenceRefused: it did not earn trust.
        """
        branch = self.ask(task, task.reference, data)
        branch.certificate.require(task.reference)
        return branch

    def score(self, metric: str, reference: Branch, candidate: Branch) -> Array:
        """A divergence by the metric's name, (dataset, position, query)."""
        exact = reference.predictive
        no_outcome = np.zeros(exact.shape)  # divergences between laws do not look at it
        scores: Array = registry.load("metric", metric).score(
            candidate.predictive, exact, no_outcome
        )
        return scores

    def verify(
        self, task: Task, candidate: object, datasets: int, **options: Any
    ) -> dict[str, Any]:
        """The entry of a run, as `veribayes verify --json` prints it.

        Args:
            options: `audit`, `tests` and `reference` are the run's;
                every other one is the candidate's.
        """
        plain = {field: options.pop(field) for field in OPTIONS if field in options}
        words = {name: str(value) for name, value in options.items()}
        settings = Options(datasets=datasets, seed=self.seed, candidate_options=words, **plain)
        tree = pipeline.run(task, candidate, settings)
        entry: dict[str, Any] = json.loads(tree.attrs["result"])
        return entry

    def train(self, task: Task, recipe: Mapping[str, Any], *, seed: int) -> Path:
        """Train a network on the processor; what is finished is found again,
        what was interrupted goes on.

        Args:
            recipe: entries as under `training:` in a task file.
            seed: of the training; independent networks have different ones.

        Returns:
            The checkpoint's folder, which is a candidate.
        """
        from veribayes.run.training import train_task

        identity = [task.model_hash, dict(recipe), seed]
        folder = self.folder / store.digest_of(identity)[:16]
        with_recipe = replace(task, training={PRESET: dict(recipe)})
        train_task(with_recipe, preset=PRESET, device="cpu", out=folder, seed=seed)
        return folder
