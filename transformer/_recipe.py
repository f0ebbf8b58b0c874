"""A recipe: everything that decides the weights of a network, apart from the task and the seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from veribayes.checked import choice, integer, mapping, number, text
from veribayes.errors import InputError
from veribayes.models._task import Task

SIZES = ("logarithmic", "uniform", "between")
LOSSES = ("kl", "l1")
LABELS = "labels"  # instead of an engine's name: what was drawn
# settings that older cards do not have, and what they mean there
LATER = {
    "loss": "kl",
    "targets": "",
    "start": "",
    "average": 0.0,
    "bf16": False,
    "temper": 1.0,
    "sizes": "logarithmic",
    "stretch": 1.0,
}
REQUIRED = ("steps", "batch", "learning_rate", "network")
COUNTS = ("steps", "batch", "groups", "queries", "evaluations")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, apart from the task and the seed; stored in the task's
    YAML.

    Attributes:
        steps, batch: number of steps and data sets a step; data set number = step * batch + i in
            the stream `train`.
        groups: context sizes a step (sets); each group of batch / groups data sets has one.
        sizes: law of the context sizes of sets: `logarithmic` or `uniform` from none on, or
            `between`, uniform from the design's first position to its last.
        queries: queries a data set, as `Design.queries`.
        learning_rate, warmup, weight_decay, clip: of the optimisers; warm-up over this share of the
            steps, then cosine to zero.
        evaluations: points of the curve measured during training.
        network: settings of the network's config that the task leaves open; `architecture` names
            another than the common one.
        loss: `kl` or `l1`.
        targets: engine that is imitated; empty: the task's reference. `mle` with `l1` makes a
            network that estimates. `labels`: no engine, but the outcome (and the latents) that were
            drawn.
        start: shipped checkpoint whose weights are the first ones; what it does not have begins as
            usual. Empty: none.
        average: decay a step of the moving average of the weights that is measured and kept; zero:
            the weights themselves.
        bf16: matrix products in bfloat16 on a GPU; a processor ignores it.
        temper: contexts are drawn from known tables raised to this power; below 1, rare evidence is
            met more often.
        stretch: the real outcomes of half of the contexts are multiplied by a factor that is
            uniform from 1 to this one, so that training meets what lies far out; targets are exact
            for the contexts as they then are.
    """

    steps: int
    batch: int
    learning_rate: float
    network: Mapping[str, Any]
    groups: int = 1
    queries: int = 1
    warmup: float = 0.03
    weight_decay: float = 0.01
    clip: float = 1.0
    evaluations: int = 10
    loss: str = "kl"
    targets: str = ""
    start: str = ""
    average: float = 0.0
    bf16: bool = False
    temper: float = 1.0
    sizes: str = "logarithmic"
    stretch: float = 1.0

    def __post_init__(self) -> None:
        for name in COUNTS:
            integer(name, getattr(self, name), at_least=1)
        for name in ("learning_rate", "clip"):
            number(name, getattr(self, name), above=0)
        for name in ("weight_decay", "warmup", "average"):
            number(name, getattr(self, name), above=-1e-9, below=1)
        choice("loss", self.loss, LOSSES)
        choice("sizes", self.sizes, SIZES)
        text("targets", self.targets)
        text("start", self.start)
        if not isinstance(self.bf16, bool):
            raise InputError("bf16: true or false", repr(self.bf16))
        self._check_contexts()
        if self.batch % self.groups:
            got = f"{self.batch} data sets in {self.groups} groups"
            raise InputError("groups that divide the batch", got)

    def _check_contexts(self) -> None:
        """Labels are those of contexts as they were drawn."""
        labels = self.targets == LABELS
        if not 0 < self.temper <= 1 or (self.temper < 1 and labels):
            wanted = "temper: above 0, at most 1, and 1 where targets are labels"
            raise InputError(wanted, f"{self.temper}")
        number("stretch", self.stretch)
        if self.stretch < 1 or (self.stretch > 1 and labels):
            wanted = "stretch: at least 1, and 1 where targets are labels"
            raise InputError(wanted, f"{self.stretch}")

    @classmethod
    def of(cls, task: Task, preset: str) -> Recipe:
        """The recipe under `training:` in the task's YAML.

        Raises:
            InputError: no such preset, or a key that is not a setting.
        """
        if preset not in task.training:
            known = ", ".join(task.training) or "none"
            wanted = f"a preset of task '{task.name}': {known}"
            raise InputError(wanted, f"'{preset}'", "choose one with --preset")
        where, given = f"preset '{preset}'", task.training[preset]
        allowed = [f.name for f in fields(cls)]
        return cls(**mapping(where, given, allowed=allowed, required=REQUIRED))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for cards and hashes; settings that came later are left out where they change
        nothing.
        """
        return {k: v for k, v in asdict(self).items() if k not in LATER or v != LATER[k]}
