"""Losses between what a network puts out and what is wanted.

divergence    mean KL(target || network) in nats, or what else the head measures; of a label that is the cross-entropy
distance      mean sum |target - network|, whose minimiser under doubt is a median and not a mean
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from veribayes.transformer._batches import Group
from veribayes.transformer._config import InContext
from veribayes.transformer.heads._masses import kl

Loss = Callable[[InContext, Group], Tensor]


def divergence(network: InContext, group: Group) -> Tensor:
    """Mean over data sets and queries of KL(exact || network), nats; and to it the KL of each latent."""
    if group.latents is None:
        return _apart(network(*group.arrays), group).mean()
    outputs, latents = network.with_latents(*group.arrays)
    assert latents is not None  # the config that asked for targets has made the head
    return _apart(outputs, group).mean() + kl(group.latents, latents).mean()


def distance(network: InContext, group: Group) -> Tensor:
    """Mean over data sets and queries of sum |target - network|, which is twice the total variation.

    Raises:
        InputError: a head without cells, which has no masses to compare.
    """
    outputs = network(*group.arrays)[:, group.at]
    return group.head.distance(outputs, group.target).mean()


def _apart(outputs: Tensor, group: Group) -> Tensor:
    """The head's loss at every query with a target, (B, Q)."""
    return group.head.divergence(outputs[:, group.at], group.target)


LOSSES: Mapping[str, Loss] = {"kl": divergence, "l1": distance}
