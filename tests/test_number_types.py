"""What the numbers of an answer can hold:
zeros that are rounding, logarithms, and entries that cannot be, by their place.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

import veribayes as vb
from veribayes import candidates, registry
from veribayes.errors import EntryError, InputError
from veribayes.models import _spec
from veribayes.models._task import Task
from veribayes.models.bayesian_network import BayesianNetwork
from veribayes.predictive import (
    FLOAT64_LIMIT,
    Array,
    Bins,
    Categorical,
    Normal,
    NormalMixture,
    Predictive,
    as_predictive,
    concatenate,
    stack,
    zero_limit_of,
)
from veribayes.run import pipeline
from veribayes.storage import store
from veribayes.validation import decision

ONE = (1, 1, 1)
EDGES = np.linspace(-3.0, 3.0, 13)


def score(name: str, candidate: Predictive, reference: Predictive) -> float:
    """Of one distribution, the outcome being 0."""
    return float(registry.load("metric", name).score(candidate, reference, np.zeros(ONE)).item())


def one(probs: object, dtype: Any = np.float64) -> Categorical:
    return Categorical(np.asarray(probs, dtype=dtype).reshape(*ONE, -1))


# -- logarithms ------------------------------------------------------------------------------------


def test_logarithms_hold_what_probabilities_cannot() -> None:
    """Half of the exact mass where the candidate says 1e-400: .5 log(.5 / 1e-400) + .5 log .5."""
    exact = one([0.5, 0.5])
    logs = np.array([-400 * np.log(10), 0.0]).reshape(*ONE, 2)
    said = as_predictive({"log_probs": logs[0]}, (1, 1), 2)
    assert isinstance(said, Categorical)
    wanted = 0.5 * (400 * np.log(10)) + np.log(0.5)
    answer = stack([said], axis=1)
    assert score("kl", answer, exact) == pytest.approx(wanted, rel=1e-14)
    assert score("kl_density", answer, exact) == pytest.approx(wanted, rel=1e-14)
    assert score("log_score_regret", answer, exact) == pytest.approx(
        np.log(0.5) + 400 * np.log(10), rel=1e-14
    )
    assert answer.log_prob(np.zeros((*ONE, 1))).item() == pytest.approx(
        -400 * np.log(10), rel=1e-14
    )
    assert np.isfinite(
        [
            score(name, answer, exact)
            for name in ("kl_reverse", "js", "hellinger", "total_variation")
        ]
    ).all()
    assert score("missed_mass", answer, exact) == 0
    assert score("kl", one([0.0, 1.0]), exact) == np.inf


def test_logarithms_of_bins() -> None:
    reference = Normal(np.zeros(ONE), np.full(ONE, 0.05))
    probs = np.full(14, 1e-300)
    probs[[6, 7]] = 0.5
    with np.errstate(under="ignore"):
        logs = np.where(probs < 1e-200, -2000.0, np.log(probs)).reshape(*ONE, 14)
    plain, given = (
        Bins(probs.reshape(*ONE, 14), EDGES, np.ones(2)),
        Bins(np.exp(logs), EDGES, np.ones(2), logs),
    )
    assert score("kl", given, reference) == pytest.approx(score("kl", plain, reference), abs=1e-12)
    wide = Normal(np.zeros(ONE), np.ones(ONE))
    assert score("kl", given, wide) > 600  # -2000 nats where the exact mass is .3
    outside = np.array([-4.0, -1.0, 0.1, 5.0]).reshape(*ONE, 4)
    np.testing.assert_allclose(
        given.log_prob(outside)[..., 2], plain.log_prob(outside)[..., 2], rtol=1e-12
    )
    assert np.all(np.isfinite(given.log_prob(outside)))


def test_logarithms_survive_being_cut_joined_and_stored() -> None:
    logs = np.log(np.random.default_rng(0).dirichlet(np.ones(3), (4, 2, 5)))
    logs[0, 0, 0] = [0.0, -1000.0, -np.inf]
    said = Categorical(np.exp(logs), logs)
    for law in (
        said[:],
        concatenate([said[:2], said[2:]]),
        store.predictive_of(store.predictive_dataset(said)),
    ):
        assert isinstance(law, Categorical)
        np.testing.assert_allclose(law.log_masses, said.log_masses, rtol=1e-12)
    mixed = concatenate([said[:1], Categorical(np.exp(logs[1:]).astype(np.float32))])
    assert isinstance(mixed, Categorical)
    assert mixed.log_masses[0, 0, 0, 1] == pytest.approx(-1000.0)
    assert set(np.unique(mixed.zero_limits)) == {FLOAT64_LIMIT, 2.0**-24}


REFUSED: Mapping[str, tuple[dict[str, Any], str]] = {
    "both": (
        {"probs": np.full((2, 3, 2), 0.5), "log_probs": np.log(np.full((2, 3, 2), 0.5))},
        "both",
    ),
    "logits": ({"logits": np.zeros((2, 3, 2))}, "log-softmax"),
    "logarithms that are no distribution": (
        {"log_probs": np.zeros((2, 3, 2))},
        r"sum to 1, got 2 in 6 of 6",
    ),
    "nothing possible": ({"log_probs": np.full((2, 3, 2), -np.inf)}, r"sum to 1, got 0 in 6 of 6"),
    "NaN": ({"log_probs": np.full((2, 3, 2), np.nan)}, "NaN in 6 of 6"),
    "plus infinity": ({"log_probs": np.tile([np.inf, 0.0], (2, 3, 1))}, "got inf in 6 of 6"),
    "large logits": ({"log_probs": np.full((2, 3, 2), 5000.0)}, "log-softmax"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_logarithms_that_are_refused(case: str) -> None:
    output, message = REFUSED[case]
    with pytest.raises(InputError, match=message):
        as_predictive(output, (2, 3), 2)


# -- zeros -----------------------------------------------------------------------------------------


def arrays_of_types() -> list[tuple[Any, float]]:
    import jax.numpy as jnp
    import torch

    return [
        (np.zeros(2, np.float64), 2.0**-53),
        (np.zeros(2, np.float32), 2.0**-24),
        (np.zeros(2, np.float16), 2.0**-11),
        (torch.zeros(2), 2.0**-24),
        (torch.zeros(2, dtype=torch.bfloat16), 2.0**-8),
        (torch.zeros(2, dtype=torch.float64), 2.0**-53),
        (jnp.zeros(2, dtype=jnp.bfloat16), 2.0**-8),
        (jnp.zeros(2, dtype=jnp.float16), 2.0**-11),
        ([0.0, 1.0], 2.0**-53),
        (np.zeros(2, np.int64), 2.0**-53),
    ]


def test_the_limit_of_each_type_is_half_an_ulp_of_one() -> None:
    for array, limit in arrays_of_types():
        assert zero_limit_of(array) == limit
    for dtype in (
        np.float64,
        np.float32,
        np.float16,
    ):  # the largest mass that 1 - p loses, rounding to even
        limit, just_above = dtype(zero_limit_of(np.zeros(1, dtype))), dtype(1.0)
        assert dtype(1) + limit == just_above
        assert dtype(1) + dtype(1.1) * limit > just_above


@pytest.mark.parametrize(
    ("mass", "dtype", "held"),
    [
        (1e-9, np.float32, False),
        (5.9e-8, np.float32, False),
        (6.1e-8, np.float32, True),
        (1e-3, np.float32, True),
        (1e-9, np.float64, True),
        (1e-17, np.float64, False),
        (4e-4, np.float16, False),
        (1e-3, np.float16, True),
    ],
)
def test_a_zero_is_a_statement_where_the_type_could_have_held_the_mass(
    mass: float, dtype: Any, held: bool
) -> None:
    exact, said = one([1 - mass, mass]), one([1.0, 0.0], dtype)
    assert np.isinf(score("kl", said, exact)) == held
    found, other = score("missed_mass", said, exact), score("unheld_mass", said, exact)
    assert (found, other) == pytest.approx((mass, 0.0) if held else (0.0, mass))


def test_zeros_of_float32_bins_far_out_are_rounding() -> None:
    """Cells of exact mass 1e-40 under a float32 softmax; a zero in the middle stays what it is."""
    reference = Normal(np.zeros(ONE), np.full(ONE, 0.2))
    exact = registry.load("metric", "kl")  # loads the algebra of cells
    from veribayes.validation.metrics._cells import log_masses

    fine = Bins(np.full((*ONE, 14), 1 / 14), EDGES, np.ones(2))
    masses = np.exp(log_masses(reference[0, 0], fine[0, 0]))[0]
    rounded = np.where(masses < 1e-45, 0.0, masses).astype(np.float32)
    assert (rounded == 0).any()
    for dtype, finite in ((np.float32, True), (np.float64, True)):
        said = Bins(np.asarray(rounded, dtype).reshape(*ONE, 14), EDGES, np.ones(2))
        assert np.isfinite(exact.score(said, reference, np.zeros(ONE))).all() == finite
        assert np.isfinite(score("kl_density", said, reference))
    holed = np.where(np.arange(14) == 7, 0.0, rounded)
    said = Bins((holed / holed.sum()).astype(np.float32).reshape(*ONE, 14), EDGES, np.ones(2))
    assert score("kl", said, reference) == np.inf


def test_half_precision_may_be_off_by_what_it_rounds() -> None:
    import torch

    probs = torch.softmax(torch.randn(200, 1, 50, generator=torch.Generator().manual_seed(0)), -1)
    for dtype in (torch.float16, torch.bfloat16):
        said = as_predictive({"probs": probs.to(dtype)}, (200, 1), 50)
        np.testing.assert_allclose(said.total_mass(), 1, atol=1e-12)
    with pytest.raises(EntryError, match=r"sum to 1, got 0\.99"):
        as_predictive({"probs": probs.double() * 0.99}, (200, 1), 50)
    with pytest.raises(EntryError, match=r"sum to 1, got 0\.996"):  # in float64 that is a statement
        as_predictive({"probs": probs.double() * 0.9965}, (200, 1), 50)


def network(rare: float) -> Task:
    """a -> b, where b = 1 is rare unless a = 1."""
    tables = {"a": [[0.5, 0.5]], "b": [[1 - rare, rare], [0.5, 0.5]]}
    model = BayesianNetwork(["a", "b"], {"b": ["a"]}, cpts=tables)
    return candidates.with_tolerance(vb.task(model), 1e-3)


def rounding(rare: float, answer: Callable[[Array], object]) -> dict[str, Any]:
    """A run of a candidate that knows the tables and writes P(first state) as it likes."""
    joint = 0.5 * np.array([[1 - rare, rare], [0.5, 0.5]])

    def candidate(evidence: Array, target: Array) -> object:
        del target
        a, b = evidence[:, :1], evidence[:, 1:]
        possible = (
            joint[None]
            * ((a[..., None] == -1) | (a[..., None] == [[[0], [1]]]))
            * ((b[..., None] == -1) | (b[..., None] == [[[0, 1]]]))
        )
        both = np.stack([possible.sum(2), possible.sum(1)], axis=1)  # (dataset, node, state)
        return answer(both / both.sum(-1, keepdims=True))

    options = pipeline.Options(datasets=decision.FEWEST_EQUIVALENT, audit=0, tests="none")
    tree = pipeline.run(network(rare), candidate, options)
    return dict(json.loads(tree.attrs["result"]))


def sigmoid(dtype: Any) -> Callable[[Array], object]:
    """One number for two states, as a binary network writes it."""

    def answer(probs: Array) -> object:
        first = probs[..., 0].astype(dtype)
        return {"probs": np.stack([first, dtype(1) - first], axis=-1)}

    return answer


def test_saturation_of_a_number_type_is_not_called_different() -> None:
    entry = rounding(1e-9, sigmoid(np.float32))
    findings = {f["name"]: f for f in entry["findings"]}
    assert entry["verdict"] == "equivalent"
    assert entry["primary"]["infinite_share"] == 0
    assert findings["number_type"]["limit"] == 2.0**-24
    assert findings["number_type"]["mass"] == pytest.approx(1e-9, rel=0.9)
    assert "log_probs" in findings["number_type"]["text"]
    assert "zero_limit" not in entry["scores"]


def test_a_real_zero_stays_different() -> None:
    def none(probs: Array) -> object:
        return {"probs": (probs > 2e-3) * probs / ((probs > 2e-3) * probs).sum(-1, keepdims=True)}

    def none32(probs: Array) -> object:
        return {"probs": np.asarray(dict(none(probs))["probs"], dtype=np.float32)}  # type: ignore[call-overload]

    for answer in (none, none32):
        entry = rounding(1e-3, answer)
        assert entry["verdict"] == "different"
        assert {"zero_probability"} <= {f["name"] for f in entry["findings"]}
    entry = rounding(1e-9, none)  # float64 holds 1e-9
    assert entry["verdict"] == "different"


def test_what_half_precision_may_hide_is_not_called_equivalent() -> None:
    """Zeros at 3e-3 in bfloat16 could cost .2 nats each: neither different nor equivalent."""
    import torch

    def answer(probs: Array) -> object:
        first = torch.tensor(probs[..., 0]).to(torch.bfloat16)
        return {"probs": torch.stack([first, 1 - first], -1)}

    entry = rounding(1.5e-3, answer)
    assert entry["verdict"] == "undecided"
    assert entry["primary"]["datasets_needed"] is None
    assert "number_type" in {f["name"] for f in entry["findings"]}


# -- entries that cannot be ------------------------------------------------------------------------


def spoiled(name: str, spoil: Callable[[Array], None], position: int = 1) -> str:
    """The message about an answer that is spoiled at one position."""
    task = _spec.load_task(name)

    def answer(context: Any, query: Any) -> dict[str, Array]:
        del query
        y = context.y
        mean, sd = np.zeros((len(y), task.design.queries)), np.ones((len(y), task.design.queries))
        if y.shape[1] == task.design.positions[position]:
            spoil(mean)
        return {"mean": mean, "sd": sd}

    data = task.simulate(range(60, 80), seed=0).data
    with pytest.raises(EntryError) as caught:
        candidates.resolve(answer, task).infer(task, data, 0)
    return str(caught.value)


def test_a_nan_names_its_data_set_position_and_query() -> None:
    def spoil(mean: Array) -> None:
        mean[17, 2] = np.nan
        mean[18, :2] = np.inf

    task = _spec.load_task("gp-rbf-1d")
    size = 20 * task.design.queries
    wanted = (
        f"NaN in 3 of {size:,} distributions, first in data set 77, position 1 (n = "
        f"{task.design.positions[1]}), query 2"
    )
    assert wanted in spoiled("gp-rbf-1d", spoil)


def test_a_predictive_that_the_candidate_builds_itself_is_placed_too() -> None:
    task = _spec.load_task("gp-rbf-1d")

    def answer(context: Any, query: Any) -> Predictive:
        del query
        sd = np.ones((len(context.y), task.design.queries))
        sd[3, 1] = 0.0
        return Normal(np.zeros(sd.shape), sd)

    data = task.simulate(range(10, 20), seed=0).data
    with pytest.raises(
        EntryError, match=r"got 0 in 1 of .*first in data set 13, position 0 \(n = \d+\), query 1"
    ):
        candidates.resolve(answer, task).infer(task, data, 0)


def laws() -> dict[str, tuple[dict[str, Any], int | None, str]]:
    """Output with one bad entry at data set 1, query 2; categories; message."""

    def put(array: Array, value: object) -> Array:
        array[1, 2] = value
        return array

    half, levels = np.full((2, 3, 2), 0.5), np.array([0.2, 0.8])
    masked = np.ma.masked_array(np.zeros((2, 3)), mask=put(np.zeros((2, 3), bool), True))
    absent = put(np.zeros((2, 3), dtype=object), None)
    return {
        "NaN probability": ({"probs": put(half.copy(), [0.5, np.nan])}, 2, "got NaN"),
        "negative": ({"probs": put(half.copy(), [1.5, -0.5])}, 2, "got -0.5"),
        "sum": ({"probs": put(half.copy(), [0.5, 0.4])}, 2, "got 0.9"),
        "NaN log": ({"log_probs": put(np.log(half), [np.nan, 0.0])}, 2, "got NaN"),
        "bin": ({"probs": put(half.copy(), [0.5, np.inf]), "edges": [0, 1, 2]}, None, "got inf"),
        "zero sd": ({"mean": np.zeros((2, 3)), "sd": put(np.ones((2, 3)), 0.0)}, None, "got 0"),
        "infinite sd": (
            {"mean": np.zeros((2, 3)), "sd": put(np.ones((2, 3)), np.inf)},
            None,
            "got inf",
        ),
        "component": (
            {
                "weights": half,
                "mean": np.zeros((2, 3, 2)),
                "sd": put(np.ones((2, 3, 2)), [1.0, -1.0]),
            },
            None,
            "got -1",
        ),
        "weight": (
            {"weights": put(half.copy(), [0.5, 0.6]), "mean": 0 * half, "sd": half},
            None,
            "got 1.1",
        ),
        "crossing": (
            {"levels": levels, "values": put(np.tile([0.0, 1.0], (2, 3, 1)), [1.0, 0.0])},
            None,
            "crossing quantiles",
        ),
        "NaN draw": ({"draws": put(np.zeros((2, 3, 4)), np.nan)}, None, "got NaN"),
        "masked": ({"mean": masked, "sd": np.ones((2, 3))}, None, "got NaN"),
        "absent": ({"mean": absent, "sd": np.ones((2, 3))}, None, "got NaN"),
    }


@pytest.mark.parametrize("case", laws())
def test_every_refused_value_says_where_it_is(case: str) -> None:
    output, categories, message = laws()[case]
    with pytest.raises(
        EntryError, match=f"{message} in 1 of 6 distributions, first in data set 1, query 2"
    ):
        as_predictive(output, (2, 3), categories)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 3), "datetime64[D]"), "for 'mean', got ndarray; datetime64"),
        (np.full((2, 3), "0", dtype=object), "for 'mean'.*objects that are not numbers"),
        (np.zeros((2, 3), complex), "complex128 is not real"),
        ([[1.0, 2.0, 3.0], [1.0]], "for 'mean', got list"),
    ],
    ids=["dates", "objects", "complex", "ragged"],
)
def test_arrays_that_are_not_numbers_name_their_variable(array: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_predictive({"mean": array, "sd": np.ones((2, 3))}, (2, 3), None)


def test_complex_tensors_are_refused() -> None:
    import torch

    with pytest.raises(InputError, match="not real"):
        as_predictive(
            {"mean": torch.zeros(2, 3, dtype=torch.complex64), "sd": np.ones((2, 3))}, (2, 3), None
        )


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([-np.inf, 0.0, np.inf], r"finite edges, got -inf as border 0 of 3; .*tail_scale"),
        ([0.0, 1.0, np.nan], "finite edges, got nan as border 2"),
        ([0.0, 1.0, np.inf], "got inf as border 2"),
        ([0.0, 0.0, 1.0], "increasing edges, got 0 before 0"),
        ([-1e308, 0.0, 1e308 * 1.5], "increasing edges"),
    ],
)
@pytest.mark.parametrize("tails", [False, True])
def test_edges_that_are_refused(edges: list[float], message: str, tails: bool) -> None:
    given: dict[str, Any] = {
        "probs": np.full((2, 3, 4 if tails else 2), 0.25 if tails else 0.5),
        "edges": edges,
    }
    if edges[-1] == 1e308 * 1.5:  # a width that float64 does not hold
        given["edges"] = [-1e308, 1e308, 1.2e308]
    with pytest.raises(InputError, match=message):
        as_predictive(given | ({"tail_scale": [1.0, 1.0]} if tails else {}), (2, 3), None)


def test_numbers_at_the_end_of_float32_have_a_divergence() -> None:
    """Not NaN, and infinite only where float64 ends as well."""
    exact = Normal(np.zeros(ONE), np.ones(ONE))
    for mean, sd in ((1e38, 1.0), (1e38, 1e-38), (0.0, 1e-45), (0.0, 1e38), (0.0, 1e300)):
        assert np.isfinite(score("kl", Normal(np.full(ONE, mean), np.full(ONE, sd)), exact))
    assert score("kl", Normal(np.zeros(ONE), np.full(ONE, 1e300)), exact) == pytest.approx(
        np.log(1e300) - 0.5
    )
    for mean, sd in ((1e200, 1.0), (0.0, 1e-320)):
        assert score("kl", Normal(np.full(ONE, mean), np.full(ONE, sd)), exact) == np.inf
    parts = np.zeros((*ONE, 2))
    unused = NormalMixture(np.broadcast_to([1.0, 0.0], parts.shape), parts, np.ones(parts.shape))
    assert score("kl", unused, exact) == pytest.approx(0, abs=1e-9)
