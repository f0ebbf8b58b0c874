"""Architectures beside the common one: what they compute, that they train,
and that their checkpoints come back.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from veribayes import registry
from veribayes.errors import InputError
from veribayes.models._task import Design, Task
from veribayes.models.gaussian_process import GaussianProcess
from veribayes.models.gaussian_process._kernels import RBF, Linear
from veribayes.models.mtd import MTD
from veribayes.transformer._architectures import build, config_from, config_of
from veribayes.transformer._batches import make_batch
from veribayes.transformer._candidates import NetworkCandidate
from veribayes.transformer._checkpoint import load
from veribayes.transformer._losses import divergence
from veribayes.transformer._training import train
from veribayes.transformer.architectures.disentangled import Disentangled, DisentangledConfig
from veribayes.transformer.architectures.kernel_solver import KernelSolver, KernelSolverConfig
from veribayes.transformer.constructions import mtd_mirror_descent

CELLS: dict[str, Any] = {"cells": 60, "reach": 4.0, "tail_scale": 0.4}
SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "start": ("mtd", {"architecture": "disentangled", "near": 2, "values": 2, "start": True}),
    "disentangled": ("mtd", {"architecture": "disentangled", "near": 2, "values": 2}),
    "kernel_solver": ("gaussian_process", {"architecture": "kernel_solver", "layers": 4, **CELLS}),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_they_train_and_come_back(name: str, make_case: Callable[..., Any], tmp_path: Path) -> None:
    family, settings = SETTINGS[name]
    case = make_case(family, steps=40, learning_rate=0.03)
    recipe = replace(case.recipe, network=settings)
    config = config_of(case.task, settings)
    card = train(
        case.task,
        recipe,
        targets=case.targets,
        evaluate=case.evaluate,
        out=tmp_path,
        device="cpu",
        progress=False,
    )
    network, again = load(tmp_path, case.task)
    assert again == card
    assert network.config == config == config_from(config.to_dict())
    fresh = make_batch(case.task, recipe, config, case.targets, 1, 0)
    with torch.no_grad():
        before, after = (
            sum(float(divergence(net, g)) for g in fresh)
            for net in (build(config).initialise(0), network)
        )
    assert after < 0.8 * before  # measured .37 and .60


def test_one_step_of_mirror_descent_is_among_its_weights() -> None:
    """The construction's first layer, written into the trainable one,
    attends as the construction does.
    """
    model = MTD(3, 2, matrix_seed=1)
    task = Task("lags", model, Design((9,)), "simplex_quadrature", "lag_counts")
    written = mtd_mirror_descent.PART(eta=0.1)(task).network(9)
    assert isinstance(written, mtd_mirror_descent.OneStepNetwork)
    network = Disentangled(DisentangledConfig((3,), 9, values=2)).double()
    first: Any = network.layers[0]
    first.load_state_dict(written.responsibilities.state_dict())
    y = torch.tensor(np.random.default_rng(0).integers(3, size=(4, 9)))
    torch.testing.assert_close(network.attention(y)[0], written.attention(y)[0], rtol=0, atol=1e-15)
    assert [a.shape for a in network.attention(y)] == [(4, 9, 9)] * 3


@pytest.mark.parametrize("start", [False, True])
def test_a_prefix_is_answered_from_its_past(start: bool) -> None:
    network = Disentangled(DisentangledConfig((4,), 12, start=start)).initialise(3)
    y = torch.tensor(np.random.default_rng(0).integers(4, size=(5, 12)))
    with torch.no_grad():
        whole, part = network(y), network(y[:, :7])
    torch.testing.assert_close(whole[:, :8], part, rtol=0, atol=2e-6)  # 4e-7
    torch.testing.assert_close(whole.exp().sum(-1), torch.ones(5, 13), rtol=0, atol=1e-5)
    if start:  # the answer before any symbol is learned
        assert torch.equal(whole[:1, 0].expand(5, -1), whole[:, 0])
    else:
        assert torch.allclose(whole[:, 0].exp(), torch.full((4,), 0.25))
    assert [a.shape for a in network.attention(y)] == [(5, 12 + start, 12 + start)] * 3


@pytest.mark.parametrize("normalised", [True, False])
def test_the_solver_is_gradient_descent(normalised: bool) -> None:
    """With the model's own kernel, ridge and one step size in all layers it is the engine of the
    same name.
    """
    model = GaussianProcess(RBF(1.2, 0.8), 0.2, 2)
    task = Task("points", model, Design((1, 20), queries=3), "cholesky", "sequential")
    data, eta = task.simulate(range(5), seed=0).data, 0.7 if normalised else 0.03
    engine = registry.engine(
        "preconditioned_descent" if normalised else "kernel_descent",
        {"steps": "5", "eta": str(eta)},
    )
    exact = engine(task, data, seed=0).predictive
    solver = KernelSolver(KernelSolverConfig(2, layers=6, normalised=normalised, **CELLS)).double()
    with torch.no_grad():
        for name, weight in solver.named_parameters():
            values = {
                "log_scale": -math.log(0.8),
                "log_amplitude": math.log(1.2),
                "log_step": math.log(eta),
                "log_ridge": math.log(0.04),
                "log_noise": math.log(0.04 - 1e-4),
            }
            weight.fill_(values[name.rpartition(".")[2]])
        for position in range(2):
            context, query = model.inputs(data, position)
            mean, variance = solver.moments(
                *(torch.tensor(a) for a in (context.x, context.y, query))
            )
            np.testing.assert_allclose(mean, exact.mean[:, position], rtol=0, atol=1e-13)  # 2e-15
            np.testing.assert_allclose(variance, exact.sd[:, position] ** 2, rtol=0, atol=1e-13)


def test_the_solver_knows_a_linear_kernel() -> None:
    model = GaussianProcess(Linear((2.0, 0.5)), 0.2, 2)
    task = Task("points", model, Design((1, 20), queries=3), "cholesky", "sequential")
    data = task.simulate(range(5), seed=0).data
    exact = registry.engine("kernel_descent", {"steps": "5", "eta": "0.02"})(
        task, data, seed=0
    ).predictive
    solver = KernelSolver(
        KernelSolverConfig(2, layers=6, kernel="linear", normalised=False, **CELLS)
    ).double()
    with torch.no_grad():
        for name, weight in solver.named_parameters():
            values = {
                "log_scale": torch.tensor([2.0, 0.5]).log() / 2,
                "log_amplitude": torch.tensor(0.0),
                "log_step": torch.tensor(0.02).log(),
                "log_ridge": torch.tensor(0.04).log(),
                "log_noise": torch.tensor(0.04 - 1e-4).log(),
            }
            weight.copy_(values[name.rpartition(".")[2]])
        context, query = model.inputs(data, 1)
        mean, variance = solver.moments(*(torch.tensor(a) for a in (context.x, context.y, query)))
    np.testing.assert_allclose(
        mean, exact.mean[:, 1], rtol=0, atol=1e-6
    )  # scales in single precision: 1e-7
    np.testing.assert_allclose(variance, exact.sd[:, 1] ** 2, rtol=0, atol=1e-6)


def test_cells_of_the_solver_are_those_of_a_normal() -> None:
    solver = KernelSolver(KernelSolverConfig(1, **CELLS)).double()
    mean, variance = torch.tensor([[0.3, -3.9]]).double(), torch.tensor([[0.5, 0.3]]).double()
    mass = solver.log_masses(mean, variance).exp()[0]
    edges = torch.linspace(-4, 4, 61).double()
    below = torch.special.ndtr((edges - mean[0, :, None]) / variance[0, :, None].sqrt())
    exact = torch.diff(below, prepend=torch.zeros(2, 1), append=torch.ones(2, 1))
    torch.testing.assert_close(
        mass, exact, rtol=0, atol=4e-4
    )  # 2.4e-4: the density at the midpoint for its mean


def test_points_have_no_order_and_queries_do_not_meet(make_case: Callable[..., Any]) -> None:
    case = make_case("gaussian_process")
    candidate = NetworkCandidate(build(config_of(case.task, SETTINGS["kernel_solver"][1])))
    context, query = case.task.model.inputs(case.task.simulate(range(4), seed=0).data, 2)
    said = candidate(context, query)["probs"]
    turned = type(context)(context.x[:, ::-1], context.y[:, ::-1])
    np.testing.assert_allclose(candidate(turned, query)["probs"], said, rtol=0, atol=1e-5)
    np.testing.assert_allclose(
        candidate(context, query[:, :1])["probs"], said[:, :1], rtol=0, atol=1e-5
    )
    with pytest.raises(InputError, match="softmax"):
        candidate.attention(context, query)


@pytest.mark.parametrize(
    "plain",
    [
        {"architecture": "perceptron"},
        {"architecture": "disentangled", "states": [3]},
        {"architecture": "disentangled", "states": [3, 3], "length": 8},
        {"architecture": "disentangled", "states": [4000], "length": 8},
        {"architecture": "disentangled", "states": [3], "length": 10**9},
        {"architecture": "disentangled", "states": [3], "length": 8, "layers": 2},
        {"architecture": "disentangled", "states": [3], "length": 8, "start": 1},
        {"architecture": "disentangled", "states": [3], "length": 8, "family": "points"},
        {"architecture": "kernel_solver", "inputs": 1},
        {"architecture": "kernel_solver", "inputs": 1, **CELLS, "layers": 1},
        {"architecture": "kernel_solver", "inputs": 1, **CELLS, "normalised": 1},
        {"architecture": "kernel_solver", "inputs": 1, **CELLS, "width": 8},
        {"architecture": "kernel_solver", "inputs": 1, **CELLS, "kernel": "cosine"},
        {"architecture": "kernel_solver", "inputs": 1, **CELLS, "kernel": "linear"},
        [1],
    ],
)
def test_what_is_no_architecture(plain: Any) -> None:
    with pytest.raises(InputError):
        config_from(plain)
