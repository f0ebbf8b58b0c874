"""Hidden Markov models: data follow the model, three exact routes agree,
rivals and defects are found, headers are read.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

import veribayes as vb
from veribayes import registry
from veribayes.errors import InputError, ModelError, ReferenceRefused
from veribayes.models import _spec
from veribayes.models._task import Task
from veribayes.models.hmm import HMM, Context
from veribayes.predictive import Array
from veribayes.tree import Branch, Data, Simulation

STICKY = [[0.8, 0.15, 0.05], [0.1, 0.8, 0.1], [0.05, 0.15, 0.8]]
GIVEN = {
    "initial": [0.5, 0.3, 0.2],
    "transition": STICKY,
    "emission": [[0.7, 0.2, 0.1, 0.0], [0.1, 0.6, 0.2, 0.1], [0.0, 0.2, 0.2, 0.6]],
}
NORMALS = {
    "initial": [0.5, 0.3, 0.2],
    "transition": STICKY,
    "means": [-2.0, 0.0, 1.0],
    "sds": [1.0, 0.5, 2.0],
}
MODELS = {
    "given": HMM(3, 4, **GIVEN),
    "seeded": HMM(2, 3, matrix_seed=4),
    "header": HMM(3, 4, parameters="header", concentration=0.5),
    "normal": HMM(3, **NORMALS),
    "unknown": HMM(2, 3, parameters="dirichlet", concentration=0.7),
}
EXACT = ("forward_filter", "hmm_junction_tree", "hmm_paths")
SHORT = (0, 1, 2, 5)


def task_of(name: str, *positions: int) -> Task:
    return _spec.task_of(MODELS[name], name=name, positions=positions or SHORT)


@cache
def drawn(name: str) -> Simulation:
    return task_of(name).simulate(range(40), seed=3)


def answer(engine: str, task: Task, data: Data, **options: Any) -> Branch:
    branch: Branch = registry.load("engine", engine)(**options)(task, data, seed=3)
    return branch


def divergences(exact: Branch, other: Branch) -> Array:
    nothing = np.zeros(exact.predictive.shape)
    scores: Array = registry.load("metric", "kl").score(other.predictive, exact.predictive, nothing)
    return scores


# -- the model -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_spec_round_trip(name: str) -> None:
    model = MODELS[name]
    again = _spec.model_from_spec({"kind": "hmm", **model.spec()})
    assert again == model
    assert hash(again) == hash(model)
    assert task_of(name).model_hash == replace(task_of(name), model=again).model_hash


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"states": 0}, "states"),
        ({"states": 2, "symbols": 1}, "two or more symbols"),
        ({"states": 2, "symbols": 3, "parameters": "guessed"}, "parameters"),
        ({"states": 2, "symbols": 3, "concentration": 0.0}, "concentration"),
        ({"states": 2, "symbols": 3, "initial": [0.5, 0.5]}, "either a matrix_seed"),
        ({"states": 3, "symbols": 4, **GIVEN, "matrix_seed": 1}, "either a matrix_seed"),
        ({"states": 3, "symbols": 4, **GIVEN, "initial": [0.5, 0.3, 0.3]}, "sum to one"),
        ({"states": 3, "symbols": 4, **GIVEN, "initial": [0.5, 0.5]}, "of shape"),
        ({"states": 3, "symbols": 4, **GIVEN, "initial": "abc"}, "numbers for 'initial'"),
        ({"states": 3, "symbols": 4, **GIVEN, "transition": [[np.nan] * 3] * 3}, "finite"),
        ({"states": 3, "symbols": 4, **GIVEN, "means": [0, 0, 0]}, "no 'means'"),
        ({"states": 3, **NORMALS, "sds": [1, 0, 1]}, "positive sds"),
        ({"states": 3, **NORMALS, "matrix_seed": 1}, "no 'matrix_seed'"),
        ({"states": 3, "parameters": "header"}, "symbols with parameters: header"),
        ({"states": 3, "symbols": 4, "parameters": "dirichlet", **GIVEN}, "no 'initial'"),
    ],
)
def test_what_is_no_model_is_refused(fields: dict[str, Any], word: str) -> None:
    with pytest.raises(ModelError, match=word):
        HMM(**fields)


def test_data_follow_the_model() -> None:
    """Frequencies of states, moves and symbols within four standard errors of 4,000 sequences."""
    simulation = task_of("given", 1, 4).simulate(range(4000), seed=1)
    state, y = simulation.latents["state"], simulation.data.arrays["y"]
    model = MODELS["given"]

    def agrees(found: Array, expected: Array, count: float) -> None:
        error = 4 * np.sqrt(np.maximum(expected * (1 - expected), 1e-9) / count)
        assert (np.abs(found - expected) <= error + 1e-12).all()

    agrees(np.bincount(state[:, 0], minlength=3) / 4000, model.tables.initial, 4000)
    for here in range(3):
        moves = np.bincount(state[:, 1:][state[:, :-1] == here], minlength=3)
        agrees(moves / moves.sum(), model.tables.transition[here], moves.sum())
        symbols = np.bincount(y[state == here], minlength=4)
        agrees(symbols / symbols.sum(), model.tables.emission[here], symbols.sum())


@pytest.mark.parametrize("name", ["header", "unknown"])
def test_rows_of_own_parameters_are_dirichlet(name: str) -> None:
    """Means and variances of an entry, within four standard errors of 4,000 sequences;
    unknown states stand in order.
    """
    simulation = task_of(name, 1).simulate(range(4000), seed=2)
    tables = simulation.data.arrays if name == "header" else simulation.latents
    alpha = MODELS[name].concentration
    for table in ("initial", "transition", "emission"):
        rows = tables[table]
        size = rows.shape[-1]
        mean, variance = 1 / size, (1 / size) * (1 - 1 / size) / (size * alpha + 1)
        if name == "header":
            entry = rows.reshape(4000, -1, size)[:, 0, 0]
            assert abs(entry.mean() - mean) < 4 * np.sqrt(variance / 4000)
            assert abs(entry.var() / variance - 1) < 0.15
        np.testing.assert_allclose(rows.sum(-1), 1.0, atol=1e-12)
    if name == "unknown":
        assert (np.diff(tables["emission"][:, :, 0]) >= 0).all()


def test_normal_numbers_have_the_moments_of_their_states() -> None:
    simulation = task_of("normal", 3).simulate(range(3000), seed=2)
    state, y = simulation.latents["state"], simulation.data.arrays["y"]
    for here, (mean, sd) in enumerate(zip(NORMALS["means"], NORMALS["sds"], strict=True)):
        own = y[state == here]
        assert abs(own.mean() - mean) < 4 * sd / np.sqrt(own.size)
        assert abs(own.std() / sd - 1) < 4 / np.sqrt(2 * own.size)


# -- exact routes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["given", "seeded", "header", "normal"])
def test_three_routes_agree(name: str) -> None:
    """Predictions and smoothed states of 40 sequences;
    largest differences measured: 4e-16 nats, 2e-15.
    """
    task, data = task_of(name), drawn(name).data
    first = answer(EXACT[0], task, data)
    for engine in EXACT[1:]:
        other = answer(engine, task, data)
        assert np.abs(divergences(first, other)).max() < 1e-14
        for moment, values in first.posterior["state"].items():
            np.testing.assert_allclose(other.posterior["state"][moment], values, atol=1e-13)


def test_unknown_parameters_by_the_urn_and_by_the_integral() -> None:
    """Two symbols: the sum over paths beside the mean over two million draws from the prior,
    weighted by the likelihood.
    """
    task = task_of("unknown", 2)
    y = np.array([[0, 0], [0, 1], [2, 1]])
    data = Data({"y": y}, np.array([2]), np.arange(3))
    exact = answer("hmm_paths", task, data).predictive.variables()["probs"][:, 0, 0]
    rng = np.random.default_rng(0)
    initial, (a, b) = (
        rng.dirichlet([0.7, 0.7], 200_000),
        (rng.dirichlet([0.7, 0.7], (200_000, 2)), rng.dirichlet([0.7] * 3, (200_000, 2))),
    )
    for row, (first, second) in enumerate(y):
        joint = np.einsum("ns,nst->nt", initial * b[:, :, first], a) * b[:, :, second]
        ahead = np.einsum("ns,nst,ntk->nk", joint, a, b)
        estimate = ahead.mean(0) / joint.sum(-1).mean()
        error = ahead.std(0).max() / joint.sum(-1).mean() / np.sqrt(200_000)
        assert np.abs(estimate - exact[row]).max() < 5 * error


def test_what_underflows_is_filtered_in_logarithms() -> None:
    """A state of weight 1e-330 is the only one that can emit the last symbol."""
    transition, emission = np.eye(2), np.array([[1 - 1e-6, 1e-6, 0.0], [1e-6, 1 - 2e-6, 1e-6]])
    model = HMM(2, 3, initial=[0.5, 0.5], transition=transition, emission=emission)
    task = _spec.task_of(model, name="faint", positions=(56,))
    y = np.array([[0] * 55 + [2], [0] * 56])
    data = Data({"y": y}, np.array([56]), np.arange(2))
    branch = answer("forward_filter", task, data)
    np.testing.assert_allclose(branch.predictive.variables()["probs"][0, 0, 0], emission[1])
    np.testing.assert_allclose(branch.predictive.variables()["probs"][1, 0, 0], emission[0])
    assert branch.posterior["state"]["probs"][0, 0, 0, 1] == pytest.approx(1.0)
    assert branch.certificate.diagnostics["in_logarithms"] == 0.5


@pytest.mark.parametrize("engine", EXACT)
def test_impossible_observations_are_refused(engine: str) -> None:
    model = HMM(2, 2, initial=[1, 0], transition=[[1, 0], [0, 1]], emission=[[1, 0], [0, 1]])
    task = _spec.task_of(model, name="fixed", positions=(2,))
    data = Data({"y": np.array([[0, 0], [0, 1]])}, np.array([2]), np.arange(2))
    with pytest.raises(ReferenceRefused, match="probability zero"):
        answer(engine, task, data)


def test_too_many_paths_are_refused() -> None:
    task = task_of("given", 40)
    with pytest.raises(ReferenceRefused, match="paths"):
        answer("hmm_paths", task, task.simulate(range(1), seed=0).data)


def test_unknown_parameters_have_no_filter_and_known_ones_no_sampler() -> None:
    for engine in EXACT[:2]:
        with pytest.raises(InputError, match="known or in a header"):
            answer(engine, task_of("unknown"), drawn("unknown").data)
    with pytest.raises(InputError, match="unknown parameters for a sampler"):
        answer("hmc", task_of("given"), drawn("given").data)


@pytest.mark.parametrize("name", ["given", "header", "normal"])
def test_draws_of_the_states_average_to_the_predictive(name: str) -> None:
    """The law given the last state, averaged over states by their probabilities as counts of
    4,000 draws.
    """
    task, data = task_of(name), drawn(name).data
    exact = answer("forward_filter", task, data)
    rng = np.random.default_rng(1)
    for k, length in enumerate(SHORT):
        states = np.zeros((40, 4000, data.arrays["y"].shape[1]))
        if length:
            probs = exact.posterior["state"]["probs"][:, k, length - 1]
            above = np.cumsum(probs, axis=-1)[:, None]
            states[:, :, length - 1] = (rng.random((40, 4000, 1)) > above[..., :-1]).sum(-1)
        averaged = task.model.conditional({"state": states}, data, k).expectation()
        expected = exact.predictive[:, k].expectation()
        np.testing.assert_allclose(averaged, expected, atol=0.2 if name == "normal" else 0.06)


def test_draws_of_the_parameters_average_to_the_predictive() -> None:
    """At one draw, the true tables, it is the filter under these tables."""
    simulation, task = drawn("unknown"), task_of("unknown")
    latents = {name: values[:, None] for name, values in simulation.latents.items()}
    headed = HMM(2, 3, parameters="header")
    data = simulation.data
    seen = replace(data, arrays={**data.arrays, **simulation.latents})
    exact = answer("forward_filter", _spec.task_of(headed, positions=SHORT), seen)
    for k in range(len(SHORT)):
        said = task.model.conditional(latents, data, k).variables()["probs"]
        np.testing.assert_allclose(said, exact.predictive[:, k].variables()["probs"], atol=1e-14)


@pytest.mark.parametrize(
    ("name", "array", "value", "word"),
    [
        ("given", "y", 4, "codes from 0 to 3"),
        ("given", "y", -1, "codes from 0 to 3"),
        ("normal", "y", np.nan, "finite numbers"),
        ("header", "transition", 0.7, "sum to one"),
        ("header", "emission", np.inf, "finite numbers"),
    ],
)
def test_data_that_the_model_cannot_have_are_refused(
    name: str, array: str, value: float, word: str
) -> None:
    data = drawn(name).data
    spoiled = np.array(data.arrays[array])
    spoiled[1].flat[0] = value
    bad = replace(data, arrays={**data.arrays, array: spoiled})
    for engine in (*EXACT, "prior_only", "stationary"):
        with pytest.raises(InputError, match=word):
            answer(engine, task_of(name), bad)


# -- rivals and defects ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["given", "header", "normal"])
def test_a_window_over_everything_is_exact_and_over_nothing_the_prior(name: str) -> None:
    task, data = task_of(name), drawn(name).data
    exact = answer("forward_filter", task, data)
    whole = answer("hmm_window", task, data, order=5)
    assert np.abs(divergences(exact, whole)).max() < 1e-14
    nothing, prior = answer("hmm_window", task, data, order=0), answer("prior_only", task, data)
    assert np.abs(divergences(prior, nothing)).max() < 1e-14
    two = divergences(exact, answer("hmm_window", task, data, order=2))
    assert np.abs(two[:, :3]).max() < 1e-14
    assert two[:, 3].mean() > 1e-5


def test_the_long_run_is_where_the_chain_ends() -> None:
    task = task_of("given", 400)
    data = task.simulate(range(2), seed=0).data
    prior, long_run = answer("prior_only", task, data), answer("stationary", task, data)
    assert np.abs(divergences(prior, long_run)).max() < 1e-14
    alternating = HMM(2, 2, initial=[1, 0], transition=[[0, 1], [1, 0]], emission=[[1, 0], [0, 1]])
    task = _spec.task_of(alternating, positions=(2,))
    said = answer("stationary", task, task.simulate(range(1), seed=0).data)
    np.testing.assert_allclose(said.predictive.variables()["probs"], 0.5, atol=1e-12)


def test_verdicts() -> None:
    task = task_of("given", 4)
    options: dict[str, Any] = {"datasets": 400, "audit": 0}
    assert vb.verify(task, "hmm_junction_tree", **options).verdict == "equivalent"
    for defect in ("permuted_classes", "still_belief", "filtered_as_smoothed", "hmm_window"):
        assert vb.verify(task, defect, **options).verdict == "different", defect


def test_a_permutation_of_classes_changes_no_entropy() -> None:
    task = _spec.load_task("hmm-3x4")
    simulation = task.simulate(range(200), seed=0)
    exact = answer("forward_filter", task, simulation.data)
    planted = answer("permuted_classes", task, simulation.data)
    blind = registry.load("metric", "entropy_error")
    errors = blind.score(planted.predictive, exact.predictive, simulation.outcome)
    assert np.abs(errors).max() < 1e-12
    assert divergences(exact, planted).mean() > 100 * task.tolerance.kl  # type: ignore[union-attr]


def test_filtered_beliefs_are_no_smoothed_ones() -> None:
    """The predictive is exact, the last state too, and earlier states are not."""
    task, data = task_of("given"), drawn("given").data
    exact = answer("forward_filter", task, data)
    planted = answer("filtered_as_smoothed", task, data)
    assert np.abs(divergences(exact, planted)).max() < 1e-14
    smoothed, filtered = (b.posterior["state"]["probs"] for b in (exact, planted))
    np.testing.assert_allclose(filtered[:, 3, 4], smoothed[:, 3, 4], atol=1e-13)
    assert np.abs(filtered[:, 3, :4] - smoothed[:, 3, :4]).max() > 0.05


# -- samplers --------------------------------------------------------------------------------------


@pytest.mark.study
def test_hmc_agrees_with_the_sum_over_paths() -> None:
    """Unknown parameters: certified, and the mean divergence of 40 sequences within the noise of
    the draws.
    """
    task = task_of("unknown", 2, 6)
    data = task.simulate(range(40), seed=3).data
    exact = answer("hmm_paths", task, data)
    sampled = answer("hmc", task, data)
    sampled.certificate.require("hmc")
    assert divergences(exact, sampled).mean() < 2e-4


# -- what a network reads --------------------------------------------------------------------------


def test_a_candidate_sees_the_header() -> None:
    data = drawn("header").data
    context, query = MODELS["header"].inputs(data, 2)
    assert query is None
    assert isinstance(context, Context)
    assert context.y.shape == (40, 2)
    np.testing.assert_array_equal(context.emission, data.arrays["emission"])


@pytest.mark.parametrize("name", ["header", "normal"])
def test_networks_read_every_prefix_as_they_would_alone(name: str) -> None:
    """Causal: the answer after a prefix is the same whatever follows it;
    and it depends on what was read.
    """
    import torch

    from veribayes.transformer._architectures import build, config_from, config_of
    from veribayes.transformer._candidates import NetworkCandidate

    task, data = task_of(name), drawn(name).data
    config = config_of(task, {"width": 16, "layers": 2, "heads": 2})
    assert config_from(config.to_dict()) == config
    network = build(config).initialise(0)
    with torch.no_grad():
        for weight in network.parameters():
            weight += 0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    candidate = NetworkCandidate(network.eval())
    arrays = candidate.tokens.arrays(*task.model.inputs(data, 3))
    with torch.inference_mode():
        after_every_prefix = network(*arrays)
    assert after_every_prefix.shape[1] == 6
    for k, length in enumerate(SHORT):
        alone = network(*candidate.tokens.arrays(*task.model.inputs(data, k)))[:, -1]
        np.testing.assert_allclose(
            alone.detach(), after_every_prefix[:, length], rtol=1e-4, atol=1e-5
        )
    changed = (arrays[0].roll(1, 0), *arrays[1:])
    with torch.inference_mode():
        assert (network(*changed) - after_every_prefix).abs().max() > 1e-3
        if name == "header":
            other = (arrays[0], arrays[1], arrays[2].roll(1, 0), arrays[3])
            assert (network(*other) - after_every_prefix).abs().max() > 1e-3


@pytest.mark.parametrize("name", MODELS)
def test_readers_are_told_what_is_there(name: str) -> None:
    model, data = MODELS[name], drawn(name).data
    assert "hidden Markov model" in model.sentence()
    groups = model.groups(data, {})
    assert len(groups) == model.symbols
    if groups:
        inside = sum(group.astype(int) for group in groups.values())
        np.testing.assert_array_equal(inside[:, 1:, 0], 1)
    far = model.distance(*model.inputs(data, 3))
    assert far.classes.shape[-1] == 5
