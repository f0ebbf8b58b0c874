"""What claims measure with: tasks, data sets, answers, divergences and whole runs, behind plain functions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from veribayes import registry
from veribayes.candidates import resolve
from veribayes.models import _spec
from veribayes.models._task import Task
from veribayes.predictive import Array
from veribayes.run import pipeline
from veribayes.run.pipeline import Options
from veribayes.tree import Branch, Data, Simulation

STREAM = "verify"  # training and tuning see other streams
OPTIONS = ("audit", "tests", "reference")  # of a run; every other option is the candidate's


@dataclass(frozen=True)
class Laboratory:
    """The lab of `validation.claims`.

    Attributes:
        full: whether the long form is asked for.
        seed: with it every number is determined.
    """

    full: bool
    seed: int

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
            options: `audit`, `tests` and `reference` are the run's; every other one is the candidate's.
        """
        plain = {field: options.pop(field) for field in OPTIONS if field in options}
        words = {name: str(value) for name, value in options.items()}
        settings = Options(datasets=datasets, seed=self.seed, candidate_options=words, **plain)
        tree = pipeline.run(task, candidate, settings)
        entry: dict[str, Any] = json.loads(tree.attrs["result"])
        return entry
