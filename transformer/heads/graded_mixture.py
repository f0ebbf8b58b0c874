"""A mixture of normals that begin from narrow to wide, so each keeps its part in every context.

Components that begin alike are told apart by the context: one is the narrow one here, another
there. A continuous network then has to pass from one naming to the other somewhere, and on that
seam it is wrong; few contexts lie there, which makes its mean divergence a matter of rare ones.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from veribayes.transformer.heads.mixture import MixtureHead

SPREAD = 1.5  # of first log sds on each side: more than first weights make of most contexts


class GradedMixtureHead(MixtureHead):
    """The mixture, with another beginning and the same answers and loss."""

    def start(self, config: Any, bias: Tensor) -> None:
        bias.zero_()
        if config.components > 1:
            log_sd = bias.chunk(3)[-1]
            log_sd.copy_(torch.linspace(-SPREAD, SPREAD, config.components))


PART = GradedMixtureHead()
