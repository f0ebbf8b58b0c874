"""A normal: its mean and log sd, and an idle logit, which makes it a mixture of one."""

from __future__ import annotations

from typing import Any

import numpy as np

from veribayes.predictive import Array, Predictive
from veribayes.transformer.heads._nodes import Nodes, nodes_of
from veribayes.transformer.heads._normals import NormalsHead


class NormalHead(NormalsHead):
    """Trained at the nodes of Gauss and Hermite: the log density of one normal is a square, for which few are exact."""

    def targets(self, config: Any, law: Predictive, rng: np.random.Generator) -> Nodes:
        del rng  # the nodes lie where the law says
        return nodes_of(law)

    def form(self, config: Any, outputs: Array) -> dict[str, Array]:
        _, mean, log_sd = np.split(outputs, 3, axis=-1)
        return {"mean": mean[..., 0], "sd": np.exp(log_sd[..., 0])}


PART = NormalHead()
