"""Muon with matrices of one shape orthogonalised together: networks of this size are dozens of
small matrices.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor


class Muon(torch.optim.Muon):
    """torch's Muon (Jordan et al. 2024; arXiv 2502.16982) for matrices alone, its updates scaled to
    AdamW's size.

    The update and its state are torch's. Matrices of one shape, up to transposition, go through the
    iteration in one batch, and on a processor in single precision: there bfloat16 is slower.
    """

    def __init__(self, params: list[torch.nn.Parameter], *, lr: float, weight_decay: float) -> None:
        super().__init__(params, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step; parameters without a gradient stay. A closure is not called."""
        del closure
        for group in self.param_groups:
            alike: dict[tuple[int, int], list[Tensor]] = defaultdict(list)
            for param in group["params"]:
                if param.grad is not None:
                    alike[min(param.shape), max(param.shape)].append(param)
            for params in alike.values():
                self._together(params, group)

    def _together(self, params: list[Tensor], group: dict[str, Any]) -> None:
        """Matrices of one shape, lying or standing."""
        grads = [p.grad for p in params if p.grad is not None]
        for p in params:
            if "momentum_buffer" not in self.state[p]:
                self.state[p]["momentum_buffer"] = torch.zeros_like(p)
        buffers = [self.state[p]["momentum_buffer"] for p in params]
        torch._foreach_lerp_(buffers, grads, 1 - group["momentum"])
        updates = (
            torch._foreach_lerp(grads, buffers, group["momentum"]) if group["nesterov"] else buffers
        )
        lying = torch.stack([u if u.shape[0] <= u.shape[1] else u.T for u in updates])
        lying = lying if lying.is_cpu else lying.bfloat16()
        turned = orthogonalised(
            lying, group["ns_coefficients"], group["ns_steps"], group["eps"]
        ).to(params[0].dtype)
        rate = group["lr"] * 0.2 * math.sqrt(max(params[0].shape))
        torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
        standing = [u if u.shape == p.shape else u.T for u, p in zip(turned, params, strict=True)]
        torch._foreach_add_(params, standing, alpha=-rate)


def orthogonalised(
    matrices: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float
) -> Tensor:
    """Newton and Schulz' quintic iteration towards U V^T of each matrix (B, R, C), R <= C: singular
    values of .5 to 1.5.
    """
    a, b, c = coefficients
    x = matrices / matrices.norm(dim=(1, 2), keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x
