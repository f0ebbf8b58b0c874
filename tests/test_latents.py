"""What is not a number never passes: latents, draws of latents and joints,
against padding that only the reference can say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from veribayes import candidates, registry
from veribayes.candidates import Candidate
from veribayes.errors import InputError, ShapeError
from veribayes.models import _spec
from veribayes.models._task import Design, Task
from veribayes.predictive import Array
from veribayes.predictive.joint import Joint
from veribayes.run import results
from veribayes.tree import Branch, Data
from veribayes.validation import evidence, joint_scores, questions
from veribayes.validation.case import Case
from veribayes.validation.endpoints import Size
from veribayes.validation.endpoints.joint_kl import PART as JOINT
from veribayes.validation.endpoints.latent_kl import PART as LATENTS
from veribayes.validation.endpoints.leaked_mass import PART as LEAKED
from veribayes.validation.latents import leaked_mass, normal_kl, probability_kl

DATASETS = 60
Spoil = Callable[[Branch], Branch]


@cache
def task_of(name: str) -> Task:
    positions = {"gp-rbf-1d": (4, 8), "bn-sachs": (5,), "bn-general5": (5, 10)}[name]
    return replace(
        _spec.load_task(name), design=Design(positions, 3, 60), rivals=(), wrong_prior={}
    )


@cache
def truth(name: str) -> tuple[Candidate, Branch]:
    options = {"joint": "true"} if name == "gp-rbf-1d" else {}
    engine = candidates.of_engine("reference", registry.engine(task_of(name).reference, options))
    data = task_of(name).simulate(range(DATASETS), seed=0).data
    branch = engine.infer(task_of(name), data, 0)
    return replace(engine, infer=lambda task, data, seed: branch), branch


def case(name: str, spoil: Spoil) -> Case:
    """The exact engine with another posterior or joint."""
    reference, branch = truth(name)

    def infer(task: Task, data: Data, seed: int) -> Branch:
        return spoil(branch)

    simulation = task_of(name).simulate(range(DATASETS), seed=0)
    judged = Candidate("spoilt", None, infer, "callable", exposes_latents=True, askable=False)
    primary = results.endpoint(task_of(name), branch.predictive.form)
    return Case(task_of(name), judged, reference, primary, {}, simulation, 0)


def with_latents(change: Callable[[Mapping[str, Array]], Mapping[str, Array]]) -> Spoil:
    return lambda branch: replace(
        branch, posterior={n: change(m) for n, m in branch.posterior.items()}
    )


def mostly_nan(values: Array) -> Array:
    spoilt = values.copy()
    spoilt[3:] = np.nan  # 95 % of the data sets
    return spoilt


def different(endpoint: Size | None) -> bool:
    return endpoint is not None and endpoint.p_value(0) <= 0.01


@pytest.mark.parametrize("name", ["bn-general5", "bn-sachs"])
def test_three_sds_off_with_nan_elsewhere_is_different(name: str) -> None:
    """It was equivalent: NaN was taken for padding.
    `bn-sachs` has padding of its own where nodes have fewer states.
    """
    shifted = with_latents(lambda m: {"mean": m["mean"] + 3 * m["sd"], "sd": m["sd"]})
    partly = with_latents(lambda m: {"mean": mostly_nan(m["mean"] + 3 * m["sd"]), "sd": m["sd"]})
    assert different(LATENTS.ask(case(name, shifted)))
    found = LATENTS.ask(case(name, partly))
    assert different(found)
    assert found is not None
    assert np.isposinf(found.values[3:]).all()
    assert np.isfinite(found.values[:3]).all()


@pytest.mark.parametrize("sd", [0.0, -1.0, np.nan, np.inf])
def test_an_sd_that_cannot_be_is_infinitely_wrong(sd: float) -> None:
    found = LATENTS.ask(
        case("bn-general5", with_latents(lambda m: {"mean": m["mean"], "sd": 0 * m["sd"] + sd}))
    )
    assert found is not None
    assert np.isposinf(found.values).all()


def test_padding_of_the_reference_stays_out() -> None:
    found = LATENTS.ask(case("bn-general5", lambda branch: branch))
    assert found is not None
    assert found.values.size == DATASETS
    assert not found.values.any()
    padded = {"mean": np.full((1, 1, 2), [0.0, np.nan]), "sd": np.ones((1, 1, 2))}
    said = {"mean": np.full((1, 1, 2), [np.nan, 0.0]), "sd": np.ones((1, 1, 2))}
    assert np.isposinf(normal_kl(padded, said)[0, 0, 0])
    assert np.isnan(normal_kl(padded, said)[0, 0, 1])


def test_draws_that_are_no_numbers_have_leaked() -> None:
    def drawn(m: Mapping[str, Array]) -> Mapping[str, Array]:
        draws = np.repeat(m["mean"][:, :, None, None], 20, axis=3)
        draws[:, :, :, 10:] = np.nan
        return {**m, "draws": draws}

    found = LEAKED.ask(case("bn-general5", with_latents(drawn)))
    assert different(found)
    assert found is not None
    assert found.values == pytest.approx(np.full(DATASETS, 0.5))
    for value, support in (
        (np.inf, "real"),
        (np.nan, "positive"),
        (-1.0, "positive"),
        (2.0, "simplex"),
    ):
        assert leaked_mass(np.full((1, 1, 1, 4), value), support).item() == 1.0
    assert np.isnan(
        leaked_mass(np.full((1, 1, 1, 4), np.nan), "real", np.zeros((1, 1), dtype=bool))
    ).all()


def test_latents_of_another_shape_are_named() -> None:
    with pytest.raises(ShapeError, match="theta"):
        LATENTS.ask(
            case("bn-general5", with_latents(lambda m: {k: v[..., 0] for k, v in m.items()}))
        )
    with pytest.raises(ShapeError, match="theta"):
        LEAKED.ask(
            case(
                "bn-general5",
                with_latents(lambda m: {**m, "draws": np.zeros((DATASETS, 2, 1, 9, 2))}),
            )
        )


def test_latents_that_are_missing_are_said() -> None:
    without = case(
        "bn-general5",
        lambda branch: replace(branch, posterior={"other": branch.posterior["theta"]}),
    )
    assert LATENTS.ask(without) is None
    notes = {note["name"]: note["text"] for note in questions.examine(without, "standard").notes}
    assert "theta" in notes["latents_missing"]


def test_probabilities_of_values() -> None:
    exact = np.array([[[[0.5, 0.5], [np.nan, np.nan]]]])
    assert np.isposinf(probability_kl(exact, np.array([[[[np.nan, 1.0], [0.5, 0.5]]]]))[0, 0, 0])
    assert np.isnan(probability_kl(exact, np.array([[[[0.5, 0.5], [0.5, 0.5]]]]))[0, 0, 1])
    for wrong in ([0.5, 0.6], [-0.1, 1.1]):
        with pytest.raises(InputError):
            probability_kl(exact, np.array([[[wrong, [0.5, 0.5]]]]))
    with pytest.raises(ShapeError, match="probs"):
        probability_kl(exact, exact[..., :1])


def spoilt_joint(change: Callable[[Joint], Joint]) -> Case:
    return case("gp-rbf-1d", lambda branch: replace(branch, joint=change(branch.joint)))  # type: ignore[arg-type]


@pytest.mark.parametrize("part", ["mean", "covariance", "weights"])
def test_a_joint_that_is_no_law_is_infinitely_wrong(part: str) -> None:
    def change(joint: Joint) -> Joint:
        return replace(joint, **{part: mostly_nan(getattr(joint, part))})

    made = spoilt_joint(change)
    found = JOINT.ask(made)
    assert found is not None
    assert np.isposinf(found.values[3:]).all()
    assert np.abs(found.values[:3]).max() < 1e-9
    assert evidence.whitened(made) is None
    assert joint_scores.joint_scores(made) == {}
    assert different(found)


def test_a_covariance_that_is_not_positive_definite_is_no_law() -> None:
    found = JOINT.ask(spoilt_joint(lambda joint: replace(joint, covariance=-joint.covariance)))
    assert found is not None
    assert np.isposinf(found.values).all()


def test_a_joint_of_other_queries_is_refused() -> None:
    def fewer(joint: Joint) -> Joint:
        return Joint(joint.weights, joint.mean[..., :2], joint.covariance[..., :2, :2])

    with pytest.raises(ShapeError, match="a joint of 3 queries"):
        JOINT.ask(spoilt_joint(fewer))


# -- a callable that offers a posterior ------------------------------------------------------------


class Speaks:
    """Exact predictions would need no class; this one also offers latents."""

    def __init__(self, latents: Any) -> None:
        self.latents = latents

    def __call__(self, context: Any, query: Any) -> dict[str, Array]:
        return {"probs": np.full((len(context), len(query.target), 2), 0.5)}

    def posterior(self, context: Any, query: Any) -> Any:
        return self.latents(context) if callable(self.latents) else self.latents


def asked(latents: Any) -> Branch:
    data = task_of("bn-general5").simulate(range(4), seed=0).data
    made = candidates.of_callable(Speaks(latents))
    assert made.exposes
    return made.infer(task_of("bn-general5"), data, 0)


def test_the_latents_of_a_callable_are_read_and_checked() -> None:
    good = asked(
        lambda context: {
            "theta": {"mean": np.zeros((len(context), 3)), "sd": np.ones((len(context), 3))}
        }
    )
    assert good.posterior["theta"]["mean"].shape == (4, 2, 3)
    for wrong, message in (
        ([1], "a dict"),
        ({"theta": 3}, "a dict"),
        ({"theta": {"mean": np.zeros(3)}}, "'mean' of the latent 'theta'"),
        (lambda context: 1 / 0, "ZeroDivisionError"),
        (
            lambda context: {"theta": {"mean": np.zeros((len(context), context.shape[1]))}},
            "every context size",
        ),
        (lambda context: {"theta": {"mean": ["a"] * 4}}, "array of numbers"),
    ):
        with pytest.raises(InputError, match=message):
            asked(wrong)
