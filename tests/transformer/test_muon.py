"""Matrices orthogonalised together give torch's own updates, and its state."""

from __future__ import annotations

import pytest
import torch

from veribayes.transformer._muon import Muon, orthogonalised

SHAPES = [(12, 4), (4, 4), (4, 12), (6, 4), (4, 6), (4, 4)]


def test_steps_are_those_of_torch() -> None:
    """Up to the rounding of bfloat16, in which torch does it."""
    settings = {"lr": 0.01, "weight_decay": 0.1}
    ours, theirs = ([torch.nn.Parameter(torch.ones(shape)) for shape in SHAPES] for _ in range(2))
    one, other = (
        Muon(ours, **settings),
        torch.optim.Muon(theirs, **settings, adjust_lr_fn="match_rms_adamw"),
    )
    for step in range(3):
        generator = torch.Generator().manual_seed(step)
        for p, q in zip(ours, theirs, strict=True):
            p.grad = torch.randn(p.shape, generator=generator)
            q.grad = p.grad.clone()
        one.step()
        other.step()
    for p, q in zip(ours, theirs, strict=True):
        assert (p - q).abs().max() < 0.02 * (1 - q).abs().max()
    assert one.state_dict()["param_groups"] == other.state_dict()["param_groups"]
    for i, slots in other.state_dict()["state"].items():
        torch.testing.assert_close(one.state_dict()["state"][i], slots)


def test_singular_values_become_alike() -> None:
    generator = torch.Generator().manual_seed(0)
    found = orthogonalised(
        torch.randn(5, 8, 16, generator=generator), (3.4445, -4.7750, 2.0315), 5, 1e-7
    )
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.4
    assert values.max() < 1.3


def test_a_parameter_without_gradient_stays() -> None:
    kept, moved = (torch.nn.Parameter(torch.ones(3, 3)) for _ in range(2))
    moved.grad = torch.eye(3)
    Muon([kept, moved], lr=0.1, weight_decay=0.0).step()
    assert torch.equal(kept, torch.ones(3, 3))
    assert not torch.equal(moved, torch.ones(3, 3))


@pytest.mark.parametrize("shape", [(4,), (2, 3, 4)])
def test_only_matrices(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="2D"):
        Muon([torch.nn.Parameter(torch.ones(shape))], lr=0.1, weight_decay=0.0)
