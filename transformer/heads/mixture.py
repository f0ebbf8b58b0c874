"""A mixture of `components` normals: logit, mean and log sd of each."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from veribayes.checked import integer
from veribayes.predictive import Array, Predictive
from veribayes.transformer._config import LARGEST
from veribayes.transformer.heads._masses import softmax
from veribayes.transformer.heads._nodes import Nodes, shifted_nodes
from veribayes.transformer.heads._normals import NormalsHead


class MixtureHead(NormalsHead):
    """Trained at nodes that are shifted at random: it would learn to be narrow at nodes that stay where they are."""

    settings: ClassVar[tuple[str, ...]] = ("components",)

    def check(self, config: Any) -> None:
        integer("components", config.components, at_least=1, at_most=LARGEST)

    def targets(self, config: Any, law: Predictive, rng: np.random.Generator) -> Nodes:
        return shifted_nodes(law, rng)

    def form(self, config: Any, outputs: Array) -> dict[str, Array]:
        logits, mean, log_sd = np.split(outputs, 3, axis=-1)
        return {"weights": softmax(logits), "mean": mean, "sd": np.exp(log_sd)}


PART = MixtureHead()
