"""Heads: what they put out is what a candidate says,
and a short training moves each to the exact posterior.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import ndtr

from veribayes import registry
from veribayes.candidates import of_callable
from veribayes.errors import InputError
from veribayes.models import _spec
from veribayes.predictive import Normal, NormalMixture, as_predictive
from veribayes.run.training import latent_scores
from veribayes.transformer._architectures import build, config_of
from veribayes.transformer._batches import make_batch, stretched
from veribayes.transformer._candidates import NetworkCandidate
from veribayes.transformer._checkpoint import WEIGHTS, load
from veribayes.transformer._latents import exact_latents
from veribayes.transformer._losses import distance, divergence
from veribayes.transformer._training import train
from veribayes.transformer.architectures.network import NetworkConfig
from veribayes.transformer.heads._nodes import Nodes, divergence_at, nodes_of, shifted_nodes
from veribayes.transformer.heads.bins import log_masses

CELLS = {"cells": 60, "reach": 4.0, "tail_scale": 0.4}
GRIDS = {
    "kernel": {
        "kind": "rbf",
        "amplitude": 1.0,
        "lengthscale": {"kind": "grid", "values": [0.3, 1.2]},
    },
    "noise_sd": {"kind": "grid", "values": [0.1, 0.3, 0.9]},
}
SETTINGS: dict[str, dict[str, Any]] = {  # of the network, and of the recipe
    "normal": {"network": {"head": "normal"}},
    "mixture": {"network": {"head": "mixture", "components": 3}},
    "stretched": {"network": {"head": "normal"}, "stretch": 1.8},
    "labels": {"network": {}, "targets": "labels", "steps": 120},
    "average": {"network": {}, "average": 0.9},
    "latents": {"network": {"latents": True}},
}
FALL = {  # measured .015 .015 .26 .15 .18 .13
    "normal": 0.05,
    "stretched": 0.05,
    "mixture": 0.5,
    "labels": 0.3,
    "average": 0.4,
    "latents": 0.3,
}


def case_of(name: str, make_case: Callable[..., Any], **changes: Any) -> Any:
    """A small task with points; with hyperparameters on grids where latents are asked for."""
    given = {**SETTINGS[name], **changes}
    settings = given.pop("network")
    case = make_case("gaussian_process", **{"steps": 60, **given})
    recipe = replace(case.recipe, network={**case.recipe.network, **CELLS, **settings})
    if name != "latents":
        return replace(case, recipe=recipe, targets=None if name == "labels" else case.targets)
    task = _spec.task_of(
        _spec.model_from_spec({"kind": "gaussian_process", **GRIDS}),
        name="grids",
        positions=(1, 4, 8),
    )
    engine = registry.engine(task.reference, {"latents": "false"})
    return replace(
        case, task=task, recipe=recipe, targets=lambda data: engine(task, data, seed=0).predictive
    )


def run(case: Any, out: Path, **changes: Any) -> Any:
    options = {
        "targets": case.targets,
        "evaluate": lambda candidate: {},
        "device": "cpu",
        "progress": False,
        **changes,
    }
    return train(case.task, case.recipe, out=out, **options)


@pytest.mark.parametrize("name", SETTINGS)
def test_training_moves_it_to_the_exact_posterior(
    name: str, make_case: Callable[..., Any], tmp_path: Path
) -> None:
    case = case_of(name, make_case)
    run(case, tmp_path)
    network, _ = load(tmp_path, case.task)
    exact = registry.engine(case.task.reference)
    fresh = make_batch(
        case.task,
        case.recipe,
        network.config,
        lambda data: exact(case.task, data, seed=0).predictive,
        1,
        0,
    )
    untrained = build(network.config).initialise(0)
    with torch.no_grad():
        before, after = (
            sum(float(divergence(net, group)) for group in fresh) for net in (untrained, network)
        )
    assert after < FALL[name] * before, (before, after)


@pytest.mark.parametrize("name", ["mixture", "labels", "average", "latents"])
def test_a_killed_run_continues_to_the_same_bits(
    name: str, make_case: Callable[..., Any], tmp_path: Path
) -> None:
    case = case_of(name, make_case, steps=6)
    run(case, tmp_path / "whole")
    seen = []

    def killing(candidate: Any) -> dict[str, Any]:
        seen.append(candidate)
        if len(seen) == 2:  # of three measurements, after step 4
            raise KeyboardInterrupt
        return {}

    with pytest.raises(KeyboardInterrupt):
        run(case, tmp_path / "killed", evaluate=killing, save_seconds=0.0)
    run(case, tmp_path / "killed")
    assert (tmp_path / "killed" / WEIGHTS).read_bytes() == (
        tmp_path / "whole" / WEIGHTS
    ).read_bytes()


@pytest.mark.parametrize("name", ["normal", "mixture"])
def test_a_candidate_says_what_the_loss_measures(name: str, make_case: Callable[..., Any]) -> None:
    """The loss is the divergence of what the candidate says,
    as the metric that judges it computes it.
    """
    case = case_of(name, make_case)
    config = config_of(case.task, case.recipe.network)
    network = build(config).initialise(0)
    data = replace(
        case.task.simulate(range(8), seed=0, stream="train").data, positions=np.array([8])
    )
    context, query = case.task.model.inputs(data, 0)
    predictive = as_predictive(NetworkCandidate(network)(context, query), query.shape[:2], None)
    assert predictive.form == name
    exact = case.targets(data)[:, 0]
    scores = registry.load("metric", "kl").score(
        predictive[:, None], exact[:, None], np.zeros((8, 1, query.shape[1]))
    )
    recipe = replace(case.recipe, groups=1, sizes="between")
    narrow = replace(case.task, design=replace(case.task.design, positions=(8,)))
    (group,) = make_batch(narrow, recipe, config, case.targets, 0, 0)
    with torch.no_grad():
        assert float(divergence(network, group)) == pytest.approx(scores.mean(), rel=1e-3)  # 2e-5


def test_a_mixture_does_not_learn_where_its_nodes_are(make_case: Callable[..., Any]) -> None:
    """Components narrower than the nodes are apart cost what they cost:
    the loss is the divergence over many shifts.
    """
    normal = Normal(np.zeros((1, 1)), np.ones((1, 1)))
    rng, narrow = np.random.default_rng(0), 0.1
    nodes = nodes_of(normal)
    weights, centres = nodes.weights[0, 0].double(), nodes.points[0, 0].double()
    fixed = torch.cat([weights.log(), centres, torch.full_like(centres, np.log(narrow))])[
        None, None
    ]
    spikes = NormalMixture(
        weights[None, None].numpy(),
        centres[None, None].numpy(),
        np.full((1, 1, len(centres)), narrow),
    )
    exact = float(
        registry.load("metric", "kl")
        .score(spikes[:, None], normal[:, None], np.zeros((1, 1, 1)))
        .mean()
    )
    many = np.mean([float(divergence_at(fixed, shifted_nodes(normal, rng))) for _ in range(400)])
    assert many == pytest.approx(exact, rel=0.02)  # .2 % measured
    assert float(divergence_at(fixed, nodes)) < 0  # what fixed nodes would have made of it


def test_a_loss_of_masses_needs_cells(make_case: Callable[..., Any]) -> None:
    case = case_of("normal", make_case)
    config = config_of(case.task, case.recipe.network)
    group = make_batch(case.task, case.recipe, config, case.targets, 0, 0)[0]
    assert isinstance(group.target, Nodes)
    with pytest.raises(InputError, match="without cells"):
        distance(build(config).initialise(0), group)


def test_stretched_contexts_have_exact_targets(make_case: Callable[..., Any]) -> None:
    """Half of the contexts are longer by a factor up to the recipe's,
    and the targets are those of what they then are.
    """
    case = make_case("gaussian_process")
    drawn = case.task.simulate(range(400), seed=0, stream="train")
    longer = stretched(drawn, ("y",), 1.8, 0, 0)
    ratio = longer.data.arrays["y"] / drawn.data.arrays["y"]
    factor = ratio[:, 0]
    np.testing.assert_allclose(ratio, np.broadcast_to(factor[:, None], ratio.shape), rtol=1e-12)
    assert 0.42 < np.mean(factor == 1) < 0.58  # 3 standard errors of a half
    assert factor.min() == 1
    assert 1.7 < factor.max() <= 1.8
    assert (
        stretched(drawn, ("y",), 1.8, 0, 0).data.arrays["y"].tolist()
        == longer.data.arrays["y"].tolist()
    )
    recipe = replace(
        case.recipe, stretch=1.8, groups=1, network={**case.recipe.network, "head": "normal"}
    )
    (group,) = make_batch(
        case.task, recipe, config_of(case.task, recipe.network), case.targets, 0, 0
    )
    x, y = (array.numpy() for array in group.arrays[:2])
    simulated = case.task.simulate(range(8), seed=0, stream="train").data
    n = x.shape[1]
    arrays = {**simulated.arrays, "x": x.astype(float), "y": y.astype(float)}
    exact = case.targets(replace(simulated, arrays=arrays, positions=np.array([n])))[:, 0]
    centre = (group.target.weights * group.target.points).sum(-1).numpy()
    np.testing.assert_allclose(centre, exact.expectation(), rtol=0, atol=1e-5)  # float32


@pytest.mark.parametrize(
    "changes", [{"stretch": 0.5}, {"stretch": "2"}, {"stretch": 1.8, "targets": "labels"}]
)
def test_what_is_no_stretch(changes: dict[str, Any], make_case: Callable[..., Any]) -> None:
    with pytest.raises(InputError, match="stretch"):
        make_case("gaussian_process", **changes)


def test_only_real_outcomes_are_stretched(make_case: Callable[..., Any]) -> None:
    case = make_case("mtd", stretch=1.8)
    with pytest.raises(InputError, match="without real outcomes"):
        make_batch(
            case.task, case.recipe, config_of(case.task, case.recipe.network), case.targets, 0, 0
        )


def test_masses_of_cells_are_those_of_normals() -> None:
    edges, mean, sd = (
        torch.linspace(-4, 4, 61).double(),
        torch.tensor([0.3, -3.9]).double(),
        torch.tensor([0.7, 0.5]).double(),
    )
    exact = np.diff(
        ndtr((edges.numpy() - mean.numpy()[:, None]) / sd.numpy()[:, None]), prepend=0, append=1
    )
    np.testing.assert_allclose(
        log_masses(mean, sd, edges).exp(), exact, rtol=0, atol=4e-4
    )  # 2.4e-4: midpoints


def test_latents_of_the_engine_and_of_the_network(make_case: Callable[..., Any]) -> None:
    case = case_of("latents", make_case)
    simulation = case.task.simulate(range(6), seed=0)
    branch = registry.engine(case.task.reference)(case.task, simulation.data, seed=0)
    network = build(config_of(case.task, case.recipe.network)).initialise(0)
    candidate = NetworkCandidate(network)
    exact = exact_latents(case.task, network.config, branch.predictive)
    assert exact.shape == (6, 3, 5)
    np.testing.assert_allclose(
        exact[..., 2:], branch.posterior["noise_sd"]["probs"], rtol=0, atol=1e-12
    )
    np.testing.assert_allclose(
        exact[..., 2:] @ [0.1, 0.3, 0.9], branch.posterior["noise_sd"]["mean"], rtol=0, atol=1e-12
    )
    said = of_callable(candidate).infer(case.task, simulation.data, 0).posterior
    assert {n: {k: v.shape for k, v in p.items()} for n, p in said.items()} == {
        "kernel.lengthscale": {"mean": (6, 3), "sd": (6, 3), "probs": (6, 3, 2)},
        "noise_sd": {"mean": (6, 3), "sd": (6, 3), "probs": (6, 3, 3)},
    }
    np.testing.assert_allclose(said["noise_sd"]["probs"].sum(-1), 1, atol=1e-12)
    assert (
        latent_scores(case.task, simulation.data, branch.predictive, candidate)["latent_kl"] > 0.01
    )
    assert NetworkCandidate(build(config_of(case.task, CELLS))).posterior(None, None) == {}


def test_labels_are_what_was_drawn(each: Any) -> None:
    """In every family the label is the outcome of the simulator,
    and nothing where a query does not apply.
    """
    config = config_of(each.task, each.recipe.network)
    recipe = replace(each.recipe, groups=1)
    (group,) = make_batch(each.task, recipe, config, None, 0, 0)
    sums = group.target.sum(-1)
    if config.family == "nodes":
        assert torch.equal(sums == 0, group.arrays[0] >= 0)
    else:
        assert torch.all(sums == 1)
    if config.family == "symbols":  # the label of a prefix is the first symbol of the next one
        assert torch.equal(
            group.target[:, :-1].argmax(-1), group.arrays[0][:, each.task.design.positions[0] :]
        )


def test_weights_of_another_checkpoint_are_a_start(
    make_case: Callable[..., Any], tmp_path: Path, monkeypatch: Any
) -> None:
    """Its predictions before the first step; another network, or no such checkpoint, is refused."""
    case = case_of("average", make_case, steps=2)
    run(case, tmp_path / "first")
    monkeypatch.setattr(
        registry, "checkpoint_path", lambda name: tmp_path / "first" if name == "first" else None
    )
    further = replace(
        case, recipe=replace(case.recipe, start="first", learning_rate=1e-12, steps=1)
    )
    run(further, tmp_path / "further")
    first, second = (load(tmp_path / name)[0].state_dict() for name in ("first", "further"))
    assert max(float((first[k] - second[k]).abs().max()) for k in first) < 1e-6
    for changes in ({"start": "second"}, {"network": {**case.recipe.network, "width": 32}}):
        with pytest.raises(InputError, match=r"to start from|with the tensors"):
            run(replace(further, recipe=replace(further.recipe, **changes)), tmp_path / "refused")


@pytest.mark.parametrize(
    "changes",
    [
        {"head": "normals"},
        {"head": "normal", "components": 2},
        {"head": "mixture", "components": 0},
        {"latents": {"a": []}},
        {"latents": {"a": ["b"]}},
        {"latents": True},
        {"family": "symbols", "states": [3], "head": "normal"},
        {"family": "symbols", "states": [3], "latents": {"a": [1.0]}},
    ],
)
def test_what_is_no_head(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        NetworkConfig.from_dict({"family": "points", "inputs": 1, **CELLS, **changes})


def test_latents_need_grids_and_targets_that_know_them(make_case: Callable[..., Any]) -> None:
    with pytest.raises(InputError, match="grids of values"):
        config_of(make_case("gaussian_process").task, {**CELLS, "latents": True})
    case = case_of("latents", make_case)
    one = NormalMixture(*np.ones((3, 2, 1, 1)))
    with pytest.raises(InputError, match="how probable"):
        exact_latents(case.task, config_of(case.task, case.recipe.network), one)


def test_settings_that_came_later_are_left_out(make_case: Callable[..., Any]) -> None:
    case = make_case("gaussian_process")
    plain = config_of(case.task, case.recipe.network).to_dict()
    assert not {"head", "components", "latents"} & set(plain)
    assert not {"start", "average", "bf16"} & set(case.recipe.to_dict())
    latents = {"noise_sd": [0.1, 0.2]}
    config = NetworkConfig.from_dict({**plain, "latents": latents})
    assert config.to_dict() == {**plain, "latents": latents}
    assert NetworkConfig.from_dict(config.to_dict()) == config
