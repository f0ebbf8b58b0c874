"""What the heads of normals share: logit, mean and log sd of each component, K = 3 G.

They are trained by their log density at nodes of the exact law, with no cells between.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from veribayes.predictive import Array
from veribayes.transformer.heads._head import Head
from veribayes.transformer.heads._nodes import divergence_at, nodes_at


class NormalsHead(Head):
    """A mixture of `config.components` normals. Targets are nodes."""

    values: ClassVar[Literal["category", "real"]] = "real"

    def outputs(self, config: Any) -> int:
        return 3 * int(config.components)

    def labels(self, config: Any, outcome: Array) -> Any:
        return nodes_at(outcome)

    def divergence(self, outputs: Tensor, target: Any) -> Tensor:
        """KL(exact || network), nats; from a label, minus the log density."""
        return divergence_at(outputs, target)

    def finished(self, config: Any, raw: Tensor) -> Tensor:
        centre, spread = config.unit
        if (centre, spread) == (0.0, 1.0):
            return raw
        logits, mean, log_sd = raw.chunk(3, dim=-1)
        log_spread = torch.tensor(spread, device=raw.device).log()
        return torch.cat([logits, centre + spread * mean, log_sd + log_spread], dim=-1)
