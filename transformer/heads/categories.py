"""Probabilities of the states of a variable: a logit for each state of the widest one."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from veribayes.errors import InputError
from veribayes.predictive import Array, Categorical, Predictive
from veribayes.transformer.heads._masses import MassHead, softmax


class Categories(MassHead):
    """A softmax over states. States that a target lacks have been given minus infinity by the network."""

    values: ClassVar[Literal["category", "real"]] = "category"

    def outputs(self, config: Any) -> int:
        return int(max(config.states))

    def masses(self, config: Any, law: Predictive) -> Array:
        if not isinstance(law, Categorical):
            raise InputError("probabilities of categories as target", f"'{law.form}'")
        return law.probs

    def numbers(self, config: Any, outcome: Array) -> Array:
        return outcome

    def form(self, config: Any, outputs: Array) -> dict[str, Array]:
        return {"probs": softmax(outputs)}


PART = Categories()
