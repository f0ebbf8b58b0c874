"""What was compared with what: the head of the entry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from veribayes.candidates import Candidate
from veribayes.models._model import Model
from veribayes.models._task import Task
from veribayes.run.comparison import Comparison
from veribayes.storage import store
from veribayes.tree import Certificate


@dataclass(frozen=True, eq=False)
class About:
    """Task, candidate, reference and size of a run."""

    task: Task
    judged: Candidate
    reference: Candidate
    certificate: Certificate
    datasets: int
    seed: int

    def entry(self) -> dict[str, Any]:
        """For the result's JSON, whose first keys these are."""
        certificate = store.certificate_json(self.certificate)
        return {
            "task": self.task.name,
            "task_hash": self.task.hash,
            "description": self.task.description,
            "model": {"kind": self.task.model.kind, **self.task.model.spec()},
            "words": _words(self.task.model),
            "candidate": self.judged.name,
            "candidate_kind": self.judged.kind,
            "datasets": self.datasets,
            "seed": self.seed,
            "reference": {"engine": self.reference.name, "certificate": certificate},
        }


def about_of(comparison: Comparison) -> About:
    """The head of a comparison."""
    return About(
        comparison.task,
        comparison.judged,
        comparison.roles.truth,
        comparison.scored.certificate,
        comparison.datasets,
        comparison.seed,
    )


def _words(model: Model) -> dict[str, Any]:
    """What a report says of the family, which it does not know."""
    layout = model.layout
    return {
        "model": model.sentence(),
        "observation": [layout.one, layout.several],
        "moments": model.moments,
    }
