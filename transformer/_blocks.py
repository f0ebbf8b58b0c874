"""Blocks of the common network: who may read whom.

Shapes: B data sets, N tokens that may be read, Q queries, D width, H heads.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROTARY_BASE = 1000.0  # contexts are at most some hundred tokens; with 10,000 the slow pairs idle


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, config: Any, causal: bool) -> None:
        super().__init__()
        self.norm_1, self.norm_2 = nn.LayerNorm(config.width), nn.LayerNorm(config.width)
        self.attention = Attention(config, causal)
        self.hidden = nn.Linear(config.width, config.expansion * config.width)
        self.out = nn.Linear(config.expansion * config.width, config.width)

    def forward(self, x: Tensor, readable: int, first: int = 0) -> Tensor:
        """Tokens from the `first` on; the ones before it are read and left out, when no block will read them again."""
        x = x[:, first:] + self.attention(self.norm_1(x), readable, first)
        hidden = F.gelu(self.hidden(self.norm_2(x)))
        changed: Tensor = x + self.out(hidden)
        return changed

    def read(self, x: Tensor, readable: int) -> tuple[Tensor, Tensor]:
        """What `forward` returns, and the attention on the way."""
        return self(x, readable), self.attention.maps(self.norm_1(x), readable)


class Attention(nn.Module):
    """Multi-head attention in which only the first `readable` tokens have keys and values."""

    def __init__(self, config: Any, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = config.heads, causal
        self.query = nn.Linear(config.width, config.width, bias=False)
        self.key_value = nn.Linear(config.width, 2 * config.width, bias=False)
        self.out = nn.Linear(config.width, config.width, bias=False)

    def forward(self, x: Tensor, readable: int, first: int = 0) -> Tensor:
        """(B, N + Q, D) -> what the tokens from the `first` on have read, (B, N + Q - first, D)."""
        q, k, v = self._heads(x, readable, first)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        joined: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return joined

    def maps(self, x: Tensor, readable: int) -> Tensor:
        """The weights themselves, (B, H, N + Q, N)."""
        q, k, _ = self._heads(x, readable)
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        if self.causal:
            later = torch.ones_like(scores, dtype=torch.bool).triu(1)
            scores = scores.masked_fill(later, -torch.inf)
        return scores.softmax(-1)

    def _heads(self, x: Tensor, readable: int, first: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        q = self._split(self.query(x[:, first:]))  # (B, H, N + Q - first, D / H)
        keys, values = self.key_value(x[:, :readable]).chunk(2, dim=-1)
        k, v = self._split(keys), self._split(values)  # (B, H, N, D / H)
        return (rotate(q), rotate(k), v) if self.causal else (q, k, v)

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)  # (B, T, D) -> (B, H, T, D / H)


def rotate(x: Tensor) -> Tensor:
    """Turn each pair of channels, as a complex number, by position times frequency (arXiv 2104.09864).

    Scores then depend on distance alone.
    """
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))  # (B, H, T, D / 2H)
    frequency = ROTARY_BASE ** (-torch.arange(pairs.shape[-1], device=x.device) / pairs.shape[-1])
    angle = torch.arange(x.shape[-2], device=x.device)[:, None] * frequency  # (T, D / 2H)
    turn = torch.polar(torch.ones_like(angle), angle)
    return torch.view_as_real(pairs * turn).flatten(-2)
