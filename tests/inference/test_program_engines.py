"""Engines of predicted programs against closed forms, and against each other;
a run from a task file to its verdict.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from examples.programs import (
    dirichlet_chain,
    finite_pool,
    hidden_markov,
    linear_regression,
    urn,
)
from numpyro import distributions as dist
from numpyro.contrib.control_flow import scan
from scipy.special import softmax

import veribayes as vb
from veribayes import registry
from veribayes.errors import InputError, ModelError, ReferenceRefused
from veribayes.models import _spec
from veribayes.predictive import Array
from veribayes.tree import Branch, Data

EXAMPLES = Path(__file__).parents[2] / "examples" / "programs"


def answer(engine: str, task: Any, data: Data, **options: str) -> Branch:
    branch: Branch = registry.engine(engine, options)(task, data, seed=0)
    branch.certificate.require(engine)
    return branch


def succession(data: Data, a: float = 1.0) -> Array:
    """(ones + a) / (draws + 2 a), (dataset, position)."""
    ones = np.stack([data.arrays["y"][:, :n].sum(1) for n in data.positions], axis=1)
    return (ones + a) / (data.positions + 2 * a)


def add_one(data: Data) -> Array:
    """Counts of what followed the last symbol, plus one, over their sum;
    the chain starts behind symbol 0.
    """
    y = data.arrays["y"]
    probs = np.empty((len(y), len(data.positions), 3))
    for i, path in enumerate(y):
        previous = np.concatenate([[0], path])
        for j, n in enumerate(data.positions):
            followers = path[:n][previous[:n] == previous[n]]
            counts = np.bincount(followers, minlength=3) + 1
            probs[i, j] = counts / counts.sum()
    return probs


def ridge(data: Data, noise: float = 0.5) -> tuple[Array, Array]:
    """Mean and sd of the next outcome, (dataset, position)."""
    x, y = data.arrays["x"], data.arrays["y"]
    mean, sd = np.empty((2, len(y), len(data.positions)))
    for i in range(len(y)):
        for j, n in enumerate(data.positions):
            precision = np.eye(x.shape[2]) + x[i, :n].T @ x[i, :n] / noise**2
            covariance = np.linalg.inv(precision)
            w = covariance @ x[i, :n].T @ y[i, :n] / noise**2
            mean[i, j] = x[i, n] @ w
            sd[i, j] = np.sqrt(noise**2 + x[i, n] @ covariance @ x[i, n])
    return mean, sd


def test_counts_are_the_rule_of_succession() -> None:
    task = vb.task(urn.program, predict="y", positions=[0, 1, 5, 32])
    data = task.simulate(range(20), seed=0).data
    branch = answer("program_counts", task, data)
    np.testing.assert_allclose(branch.predictive.probs[:, :, 0, 1], succession(data), atol=1e-11)
    np.testing.assert_allclose(branch.posterior["share"]["mean"], succession(data), atol=1e-11)


@pytest.mark.study
def test_counts_of_a_chain_are_add_one() -> None:
    task = vb.task(dirichlet_chain.program, predict="y", positions=[0, 1, 12], data={"n": 13})
    data = task.simulate(range(20), seed=0).data
    branch = answer("program_counts", task, data)
    np.testing.assert_allclose(branch.predictive.probs[:, :, 0], add_one(data), atol=1e-10)


def test_a_linear_gaussian_program_is_ridge_regression() -> None:
    task = vb.task(linear_regression.program, predict="y", positions=[0, 2, 8], data={"n": 9})
    data = task.simulate(range(20), seed=0).data
    law = answer("program_gaussian", task, data).predictive
    mean, sd = ridge(data)
    np.testing.assert_allclose(law.mean[..., 0], mean, atol=1e-10)
    np.testing.assert_allclose(law.sd[..., 0], sd, rtol=1e-10)


@pytest.mark.study
def test_spikes_and_slabs_are_a_mixture_of_ridge_regressions() -> None:
    """By hand: evidence and ridge prediction of every subset of the weights."""
    given = {"weights": "spike-and-slab", "n": 5, "d": 2}
    task = vb.task(linear_regression.program, predict="y", positions=[0, 4], data=given)
    data = task.simulate(range(10), seed=0).data
    law = answer("program_gaussian", task, data).predictive
    x, y = data.arrays["x"][:, :4], data.arrays["y"][:, :4]
    asked = data.arrays["x"][:, 4]
    for i in range(10):
        evidence, means = [], []
        for subset in np.ndindex(2, 2):
            kept = x[i] * np.array(subset)
            spread = kept @ kept.T + 0.25 * np.eye(4)
            prior = np.prod(np.where(subset, 0.3, 0.7))
            solved = np.linalg.solve(spread, y[i])
            determinant = np.linalg.slogdet(spread)[1]
            evidence.append(np.log(prior) - 0.5 * (y[i] @ solved + determinant))
            means.append(asked[i] @ (np.array(subset) * (kept.T @ solved)))
        wanted = softmax(evidence) @ np.array(means)
        np.testing.assert_allclose(law.expectation()[i, 1, 0], wanted, atol=1e-10)


def test_a_finite_pool_is_summed() -> None:
    """The posterior over the pool by hand; importance sampling, which sums nothing, agrees."""
    task = vb.task(finite_pool.program, predict="y", positions=[0, 2, 6], data={"n": 7, "tasks": 4})
    data = task.simulate(range(20), seed=0).data
    branch = answer("program_enumeration", task, data)
    with jax.enable_x64(True):
        pool = np.asarray(jax.random.normal(jax.random.key(0), (4, 3)))
    x, y = data.arrays["x"], data.arrays["y"]
    misses = (y[:, :, None] - x @ pool.T) ** 2
    for j, n in enumerate(data.positions):
        weights = softmax(-misses[:, :n].sum(1) / (2 * 0.25), axis=1)
        found = branch.posterior["task"]["probabilities"][:, j]
        np.testing.assert_allclose(found, weights, atol=1e-11)
        mean = (weights * (x[:, n] @ pool.T)).sum(1)
        np.testing.assert_allclose(branch.predictive.expectation()[:, j, 0], mean, atol=1e-11)
    other = answer("program_importance", task, data, draws="3000").predictive
    spread = branch.predictive.standard_deviation()
    error = (other.expectation() - branch.predictive.expectation()) / spread
    assert np.abs(error).max() < 0.15  # 500 components and 6,000 draws; .06 here


@pytest.mark.study
def test_hmc_errs_as_its_two_halves_say() -> None:
    """sd of (answer - exact) over the error that the halves state,
    60 data sets at three prefixes: within [.8, 1.2].
    """
    task = vb.task(urn.program, predict="y", positions=[0, 1, 6], data={"n": 7})
    data = task.simulate(range(60), seed=0).data
    branch = answer("hmc", task, data, draws="500")
    assert branch.replicates is not None
    first, second = (half.probs[:, :, 0, 1] for half in branch.replicates)
    error = branch.predictive.probs[:, :, 0, 1] - succession(data)
    stated = (first - second) / 2
    assert 0.8 < np.sqrt((error**2).mean() / (stated**2).mean()) < 1.2


@pytest.mark.study
@pytest.mark.parametrize(
    ("engine", "program", "words"),
    [
        ("program_gaussian", urn.program, "not linear and Gaussian: its entries are discrete"),
        ("program_counts", linear_regression.program, "not one of counts"),
        ("program_enumeration", urn.program, "the latents share have infinitely many values"),
    ],
)
def test_an_exact_engine_refuses_what_it_is_not_for(engine: str, program: Any, words: str) -> None:
    task = vb.task(program, predict="y", positions=[2])
    data = task.simulate(range(2), seed=0).data
    with pytest.raises(ReferenceRefused, match=words):
        registry.engine(engine)(task, data, seed=0)


@pytest.mark.study
def test_a_heavy_tail_is_not_taken_for_a_normal_prior() -> None:
    given = {"weights": "laplace", "n": 5}
    task = vb.task(linear_regression.program, predict="y", positions=[3], data=given)
    with pytest.raises(ReferenceRefused, match="its density is off by"):
        registry.engine("program_gaussian")(task, task.simulate(range(2), seed=0).data, seed=0)


@pytest.mark.study
def test_exact_engines_are_for_programs_that_predict() -> None:
    task = vb.task(urn.program, data={"y": np.ones(3), "n": 3}, simulated=True)
    with pytest.raises(InputError, match="a program with 'predict' for the engine"):
        registry.engine("program_counts")(task, task.simulate(range(2), seed=0).data, seed=0)


def rule_of_succession(context: Any, query: Any) -> dict[str, Array]:
    ones = (context.y.sum(1) + 1) / (context.position + 2)
    return {"probs": np.stack([1 - ones, ones], axis=-1)[:, None]}


@pytest.mark.study
def test_the_closed_form_is_equivalent_and_the_wrong_prior_different() -> None:
    task = _spec.load_task(EXAMPLES / "urn.yaml")
    right = vb.verify(task, rule_of_succession, datasets=400, audit=0)
    assert right.verdict == "equivalent"
    assert vb.verify(task, "wrong_prior", datasets=400, audit=0).verdict == "different"


def forward(data: Data) -> tuple[Array, Array]:
    """Probabilities of the next symbol, and of the last state that is behind it, (dataset,
    position, …).
    """
    moves, symbols = np.asarray(hidden_markov.MOVES), np.asarray(hidden_markov.SYMBOLS)
    y = data.arrays["y"]
    shape = (len(y), len(data.positions))
    ahead, belief = np.empty((*shape, 4)), np.empty((*shape, 3))
    for i in range(len(y)):
        for j, n in enumerate(data.positions):
            state = np.array([1.0, 0.0, 0.0])
            for symbol in y[i, :n]:
                state = (state @ moves) * symbols[:, symbol]
                state /= state.sum()
            belief[i, j] = state
            ahead[i, j] = state @ moves @ symbols
    return ahead, belief


def test_a_known_hidden_markov_model_is_filtered() -> None:
    """Against the recursion by hand (float32 tables of the example: 1e-7 of them)."""
    task = vb.task(hidden_markov.program, predict="y", positions=[0, 1, 7], data={"n": 8})
    data = task.simulate(range(20), seed=0).data
    branch = answer("program_enumeration", task, data)
    ahead, belief = forward(data)
    np.testing.assert_allclose(branch.predictive.probs[:, :, 0], ahead, atol=1e-6)
    states = branch.posterior["state"]["probabilities"]
    np.testing.assert_allclose(states[:, 2, 6], belief[:, 2], atol=1e-6)
    np.testing.assert_allclose(states.sum(-1), 1.0, atol=1e-12)


@pytest.mark.study
def test_a_chain_that_remembers_more_is_refused() -> None:
    def second_order(y: Any = None) -> None:
        def step(last: Any, now: Any) -> tuple[Any, None]:
            share = 0.2 + 0.3 * last[0] + 0.3 * last[1]
            state = numpyro.sample("state", dist.Bernoulli(share))
            numpyro.sample("y", dist.Normal(state, 1.0), obs=now)
            return (state, last[0]), None

        scan(step, (0, 0), y, length=5)

    task = vb.task(second_order, predict="y", positions=[2])
    with pytest.raises(ModelError, match="hands on nothing of 'state' but its last value"):
        task.model.layout  # noqa: B018


@pytest.mark.study
def test_an_unknown_hidden_markov_model_agrees_with_weighted_prior_draws() -> None:
    """HMC with the states summed out against importance sampling that sums nothing:
    largest difference .01.
    """

    def sticky(n: int = 6, y: Any = None) -> None:
        stay = numpyro.sample("stay", dist.Beta(2.0, 1.0))

        def step(last: Any, now: Any) -> tuple[Any, None]:
            move = jnp.where(last, stay, 1 - stay)
            state = numpyro.sample("state", dist.Bernoulli(move))
            numpyro.sample("y", dist.Bernoulli(0.1 + 0.8 * state), obs=now)
            return state, None

        scan(step, 0, y, length=n)

    task = vb.task(sticky, predict="y", positions=[1, 5])
    data = task.simulate(range(10), seed=0).data
    by_chains = answer("hmc", task, data).predictive.probs
    by_weights = answer("program_importance", task, data).predictive.probs
    np.testing.assert_allclose(by_chains, by_weights, atol=0.03)
