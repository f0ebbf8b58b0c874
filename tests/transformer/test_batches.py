"""A batch is a function of (recipe, seed, step); its targets are exact;
the loss is a divergence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from veribayes import registry
from veribayes.errors import InputError
from veribayes.models import _spec
from veribayes.predictive import Normal
from veribayes.transformer._architectures import config_of
from veribayes.transformer._batches import Group, context_sizes, make_batch
from veribayes.transformer._losses import distance, divergence
from veribayes.transformer._recipe import Recipe
from veribayes.transformer.architectures.network import Network, NetworkConfig
from veribayes.transformer.heads import bins


def batch(case: Any, seed: int, step: int) -> list[Group]:
    return make_batch(
        case.task, case.recipe, config_of(case.task, case.recipe.network), case.targets, seed, step
    )


def same(a: list[Group], b: list[Group]) -> bool:
    pairs = zip(a, b, strict=True)
    return all(
        torch.equal(p.target, q.target) and all(map(torch.equal, p.arrays, q.arrays))
        for p, q in pairs
    )


def test_a_batch_depends_on_seed_and_step_alone(each: Any) -> None:
    first = batch(each, 0, 5)
    batch(each, 0, 6)
    assert same(first, batch(each, 0, 5))
    assert not same(first, batch(each, 1, 5))


def test_targets_are_probabilities_at_the_outputs(each: Any) -> None:
    net = Network(config_of(each.task, each.recipe.network)).initialise(0)
    for group in batch(each, 0, 0):
        assert net(*group.arrays)[:, group.at].shape == group.target.shape
        torch.testing.assert_close(
            group.target.sum(-1), torch.ones(group.target.shape[:-1]), rtol=0, atol=1e-6
        )


def test_a_sequence_has_a_target_after_every_prefix_of_the_design(
    make_case: Callable[..., Any],
) -> None:
    case = make_case("mtd")
    (group,) = batch(case, 0, 0)
    assert group.at == slice(2, 9)
    exact = case.targets(case.task.simulate(range(8), seed=0, stream="train").data).probs
    np.testing.assert_allclose(
        group.target[:, [0, 2, 6]], exact[:, :, 0], rtol=0, atol=1e-7
    )  # prefixes 2, 4, 8


def test_context_sizes_are_log_uniform_and_stratified() -> None:
    sizes = np.array([context_sizes(100, 4, 0, step) for step in range(4000)])
    assert sizes.min() == 0
    assert sizes.max() == 100
    assert np.all(np.diff(sizes, axis=1) >= 0)
    # P(1 + n < 11) = log 11 / log 102; measured difference 7e-4
    assert abs(np.mean(sizes < 10) - np.log(11) / np.log(102)) < 0.005
    even = np.array([context_sizes(100, 4, 0, step, uniform=True) for step in range(4000)])
    assert (even.min(), even.max()) == (0, 100)
    assert abs(np.mean(even < 10) - 10 / 101) < 0.005
    assert np.all(np.diff(even, axis=1) >= 0)
    between = np.array(
        [context_sizes(100, 4, 0, step, uniform=True, fewest=60) for step in range(4000)]
    )
    assert (between.min(), between.max()) == (60, 100)
    assert abs(np.mean(between < 70) - 10 / 41) < 0.005


def test_cells_carry_the_exact_mass_with_tails() -> None:
    config = NetworkConfig("points", inputs=1, cells=4, reach=2.0, tail_scale=0.5)
    mass = bins.PART.masses(config, Normal(np.zeros((1, 1, 1)), np.ones((1, 1, 1))))[0, 0, 0]
    known = [
        0.0227501319,
        0.1359051220,
        0.3413447461,
        0.3413447461,
        0.1359051220,
        0.0227501319,
    ]  # normal tables
    np.testing.assert_allclose(mass, known, rtol=0, atol=1e-10)
    assert bins.edges_of(config).tolist() == [-2.0, -1.0, 0.0, 1.0, 2.0]


def test_divergence_is_zero_for_the_target_itself_and_finite_for_impossible_categories() -> None:
    class Says(torch.nn.Module):
        def forward(self, logits: torch.Tensor) -> torch.Tensor:
            return logits

    p = torch.tensor([[[0.25, 0.75, 0.0]]])
    said: Any = Says()
    assert divergence(said, Group((p.log(),), slice(None), p)).item() == pytest.approx(
        0.0, abs=1e-7
    )
    uniform = Group((torch.zeros(1, 1, 3, requires_grad=True),), slice(None), p)
    value = divergence(said, uniform)
    assert value.item() == pytest.approx(
        float(np.log(3) - 0.5623351446), abs=1e-6
    )  # minus the entropy of (1/4, 3/4)
    value.backward()  # type: ignore[no-untyped-call]
    gradient = uniform.arrays[0].grad
    assert gradient is not None
    torch.testing.assert_close(gradient, torch.full((1, 1, 3), 1 / 3) - p)


def test_every_shipped_recipe_is_one() -> None:
    for name in registry.names("task"):
        task = _spec.load_task(name)
        for preset in task.training:
            config_of(task, Recipe.of(task, preset).network)


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": 0},
        {"steps": 1.5},
        {"groups": 3},
        {"learning_rate": 0},
        {"warmup": 1.0},
        {"clip": "1"},
        {"loss": "l2"},
        {"temper": 0},
        {"sizes": "large"},
        {"temper": 0.5, "targets": "labels"},
    ],
)
def test_what_is_no_recipe(changes: dict[str, Any], make_case: Callable[..., Any]) -> None:
    with pytest.raises(InputError):
        make_case("mtd", **changes)


def test_presets_are_named_in_the_task() -> None:
    with pytest.raises(InputError, match="quick, full"):
        Recipe.of(_spec.load_task("bn-asia"), "slow")


def test_a_family_without_tokens_is_refused(make_case: Callable[..., Any]) -> None:
    task = make_case("mtd").task
    model = SimpleNamespace(kind="tree", spec=dict, layout=SimpleNamespace(reader="trees"))
    other = replace(task, model=cast(Any, model), wrong_prior={})
    with pytest.raises(InputError, match="'tree'"):
        config_of(other, {})


def test_known_tables_are_asked_for_every_node(make_case: Callable[..., Any]) -> None:
    """What is observed is certain, and what is not is the reference's posterior."""
    case = make_case("known_tables")
    (group,) = batch(case, 0, 0)
    evidence, target = group.arrays
    assert target.tolist() == [[0, 1, 2]] * 8
    seen = evidence >= 0
    assert torch.all(group.target.gather(2, evidence.clamp_min(0)[..., None])[..., 0][seen] == 1)
    exact = case.targets(case.task.simulate(range(8), seed=0, stream="train").data).probs
    np.testing.assert_allclose(group.target, exact[:, 0], rtol=0, atol=1e-7)


def test_tempered_tables_make_rare_evidence_common_and_leave_the_targets(
    make_case: Callable[..., Any],
) -> None:
    case = make_case("known_tables", temper=0.5)
    model = case.task.model.tempered(0.5)
    for table, plain in zip(model.tables, case.task.model.tables, strict=True):
        np.testing.assert_allclose(
            table, np.sqrt(plain) / np.sqrt(plain).sum(-1, keepdims=True), rtol=1e-12
        )
    (group,) = batch(case, 0, 0)
    evidence = group.arrays[0].numpy()
    drawn = case.task.simulate(range(8), seed=0, stream="train").data
    assert (evidence != drawn.arrays["evidence"]).any()
    exact = case.targets(replace(drawn, arrays={**drawn.arrays, "evidence": evidence})).probs
    np.testing.assert_allclose(group.target, exact[:, 0], rtol=0, atol=1e-7)
    with pytest.raises(InputError, match="without known tables"):
        batch(make_case("mtd", temper=0.5), 0, 0)


def test_settings_that_came_later_do_not_change_older_identities(
    make_case: Callable[..., Any],
) -> None:
    plain = make_case("mtd").recipe.to_dict()
    assert not {"loss", "targets"} & set(plain)
    assert make_case("mtd", loss="l1", targets="mle").recipe.to_dict() == {
        **plain,
        "loss": "l1",
        "targets": "mle",
    }


def test_distance_is_twice_the_total_variation() -> None:
    said: Any = torch.nn.Identity()
    group = Group((torch.tensor([[[0.2, 0.8]]]).log(),), slice(None), torch.tensor([[[0.5, 0.5]]]))
    assert distance(said, group).item() == pytest.approx(0.6, rel=1e-6)
