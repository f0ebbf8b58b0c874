"""Token layouts, heads and architectures are parts: what reads what, what each promises, and that
none knows a family.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from veribayes import registry
from veribayes.errors import InputError
from veribayes.models import _spec
from veribayes.models._layout import Column, Layout
from veribayes.predictive import Categorical, Normal, NormalMixture, Quantiles, as_predictive
from veribayes.run import training
from veribayes.transformer import _defaults, _parts
from veribayes.transformer._architectures import build, config_from, config_of
from veribayes.transformer._batches import make_batch
from veribayes.transformer._candidates import NetworkCandidate
from veribayes.transformer._losses import divergence
from veribayes.transformer._recipe import Recipe
from veribayes.transformer.architectures.network import Network, NetworkConfig
from veribayes.transformer.heads import quantiles
from veribayes.transformer.tokens import vectors

TRANSFORMER = Path(__file__).resolve().parents[2] / "transformer"
OPTIONS = {
    "observations": {"centre": [1.0, -2.0], "spread": [2.0, 0.5]},
    "queries": {"centre": [0.5], "spread": [3.0]},
}
SMALL = {"width": 16, "layers": 2, "heads": 2}
VECTORS = {"family": "vectors", "inputs": 2, "options": OPTIONS, "unit": [3.0, 2.0], **SMALL}
VALUE = Column("value", "observation", ("draw",))


class Pair(NamedTuple):
    """A context of two columns."""

    first: Any
    second: Any


def random_network(config: Any) -> Network:
    """Random weights everywhere, so that nothing holds because a weight is zero."""
    network = Network(config).initialise(0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.empty_like(weight).normal_(std=0.3, generator=generator))
    return network


# -- no family -------------------------------------------------------------------------------------


def test_only_constructions_know_a_family() -> None:
    """Neither an import of a family's module nor a word that is a family's kind, outside the
    constructions.
    """
    kinds = {registry.load("family", name).kind for name in registry.names("family")}
    modules = {f"veribayes.models.{name}" for name in registry.names("family")}
    for path in sorted(TRANSFORMER.rglob("*.py")):
        if "constructions" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant):
                assert node.value not in kinds, (path.name, node.lineno)
            if isinstance(node, ast.ImportFrom):
                assert node.module not in modules, (path.name, node.lineno)


def test_a_plug_in_that_is_no_part_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = tmp_path / "acme-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    groups = ("tokens", "head", "architecture")
    entries = "".join(f"[veribayes.{group}]\nodd = json:loads\n" for group in groups)
    (metadata / "entry_points.txt").write_text(entries)
    monkeypatch.syspath_prepend(str(tmp_path))
    forgotten = (registry._entries, registry._unreadable, registry._part)
    for read_once in forgotten:
        read_once.cache_clear()
    try:
        for load in (_parts.tokens, _parts.head, _parts.architecture):
            with pytest.raises(InputError, match="'acme'"):
                load("odd")
    finally:
        for read_once in forgotten:
            read_once.cache_clear()


# -- layouts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layout", "reader"),
    [
        (Layout((VALUE,), "set"), "vectors"),
        (Layout((VALUE, Column("at", "query", ("query",))), "set"), "vectors"),
        (Layout((Column("y", "observation", ("time",), "category"),), "sequence"), "symbols"),
        (Layout((VALUE,), "set", tokens="rows"), "rows"),
        (Layout((VALUE,), "sequence"), ""),
        (Layout((VALUE,), "slots"), ""),
        (Layout((VALUE, Column("age", "given")), "set"), ""),
        (Layout((VALUE, Column("at", "query", ("query",), shared=True)), "set"), ""),
        (Layout((Column("y", "observation", ("draw",), "category"),), "set"), "vectors"),
    ],
)
def test_columns_say_which_tokens_read_them(layout: Layout, reader: str) -> None:
    assert layout.reader == reader
    if reader == "vectors":
        vectors.require_readable(layout)
    elif not layout.tokens and layout.columns[0].values == "real":
        with pytest.raises(InputError, match="a set of observations"):
            vectors.require_readable(layout)


def test_shipped_families_have_their_own() -> None:
    found = {_spec.load_task(name).model.layout.reader for name in registry.names("task")}
    assert found >= {"rows", "nodes", "symbols", "points"}


# -- vectors ---------------------------------------------------------------------------------------


def test_vectors_are_a_set_and_queries_do_not_meet() -> None:
    tokens, network = _parts.tokens("vectors"), random_network(config_from(VECTORS))
    rng = np.random.default_rng(0)
    context = Pair(rng.standard_normal((3, 6)), rng.standard_normal((3, 6, 1)))
    arrays = tokens.arrays(context, rng.standard_normal((3, 4)))
    assert [tuple(array.shape) for array in arrays] == [(3, 6, 2), (3, 4, 1)]
    whole = network(*arrays)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(network(arrays[0][:, order], arrays[1]), whole, rtol=0, atol=2e-5)
    alone = network(*tokens.with_one_query(arrays))
    torch.testing.assert_close(alone, whole[:, :1], rtol=0, atol=2e-5)
    doubled = network(torch.cat([arrays[0], arrays[0]], dim=1), arrays[1])
    assert (doubled - whole).abs().max() > 0.01
    assert torch.isfinite(network(arrays[0][:, :0], arrays[1])).all()


def test_vectors_without_queries_are_asked_for_the_next() -> None:
    own = {**VECTORS, "options": {"observations": OPTIONS["observations"]}}
    candidate = NetworkCandidate(random_network(config_from(own)))
    context = np.random.default_rng(0).standard_normal((3, 6, 2))
    said = candidate(context, None)
    assert {name: values.shape for name, values in said.items()} == {"mean": (3, 1), "sd": (3, 1)}


def test_a_set_of_categories_is_read_by_its_codes() -> None:
    """Throws of a coin: states of the outcome, no unit, and the head of categories."""
    rng = np.random.default_rng(0)
    throws = rng.integers(0, 2, (256, 4))
    drawn = SimpleNamespace(data=None, outcome=throws[:, :1, None].astype(float))
    model: Any = SimpleNamespace(
        layout=Layout((Column("throws", "observation", ("throw",), "category"),), "set"),
        simulate=lambda *arguments: drawn,
        inputs=lambda data, position: (throws, None),
        n_categories=2,
    )
    task: Any = SimpleNamespace(model=model, design=SimpleNamespace(positions=(1, 4)))
    sizes = vectors.PART.sizes(task)
    assert (sizes["inputs"], sizes["states"], "unit" in sizes) == (1, (2,), False)
    config = config_from({"family": "vectors", **sizes, **SMALL})
    said = NetworkCandidate(random_network(config))(throws[:3], None)
    assert config.head == "categories"
    assert said["probs"].shape == (3, 1, 2)


def test_vectors_enter_in_units_of_the_prior() -> None:
    """Observations, queries and answers in another unit are the same network's in that unit."""
    scaled = {
        "observations": {"centre": [10.0, -20.0], "spread": [20.0, 5.0]},
        "queries": {"centre": [5.0], "spread": [30.0]},
    }
    larger = {**VECTORS, "options": scaled, "unit": [30.0, 20.0]}
    first, second = random_network(config_from(VECTORS)), random_network(config_from(larger))
    rng = np.random.default_rng(0)
    x, query = rng.standard_normal((3, 6, 2)), rng.standard_normal((3, 4))
    said, said_larger = (
        NetworkCandidate(network)(factor * x, factor * query)
        for network, factor in ((first, 1), (second, 10))
    )
    np.testing.assert_allclose(10 * said["mean"], said_larger["mean"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(10 * said["sd"], said_larger["sd"], rtol=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"options": {}},
        {"options": {"observations": {"centre": [0.0, 0.0]}}},
        {"options": {"observations": {"centre": [0.0], "spread": [1.0]}}},
        {"options": {"observations": {"centre": [0.0, 0.0], "spread": [1.0, 0.0]}}},
        {"options": {**OPTIONS, "answers": OPTIONS["queries"]}},
        {"options": 3},
        {"inputs": 0},
        {"unit": [0.0, 0.0]},
        {"unit": [1.0]},
        {"states": [2, 3]},
        {"head": "categories"},
        {"head": "quantiles"},
        {"head": "quantiles", "levels": 1},
    ],
)
def test_what_is_no_network_of_vectors(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        config_from({**VECTORS, **changes})


def test_a_config_of_vectors_goes_through_json() -> None:
    config = config_from({**VECTORS, "head": "quantiles", "levels": 9})
    plain = json.loads(json.dumps(config.to_dict()))
    assert config_from(plain) == config
    assert plain == config.to_dict()
    assert config_from({**plain, "architecture": "network"}) == config


# -- heads -----------------------------------------------------------------------------------------


def laws(head: str) -> Any:
    rng = np.random.default_rng(0)
    if head == "categories":
        return Categorical(rng.dirichlet(np.ones(3), (2, 4)))
    mean, sd = rng.standard_normal((2, 4)), 0.5 + rng.random((2, 4))
    return Normal(mean, sd)


@pytest.mark.parametrize("name", ["categories", "bins", "normal", "mixture", "quantiles"])
def test_every_head_is_at_its_best_at_the_law_itself(name: str) -> None:
    """Descent on free outputs ends near zero loss, in a form that says the law; a label is a target
    too.
    """
    head, law = _parts.head(name), laws(name)
    settings: dict[str, Any] = {"family": "points", "inputs": 1, **SMALL, "head": name}
    own = {
        "bins": {"cells": 40, "reach": 5.0, "tail_scale": 0.5},
        "mixture": {"components": 1},
        "quantiles": {"levels": 9},
        "normal": {},
    }
    config = (
        NetworkConfig("symbols", (3,))
        if name == "categories"
        else config_from({**settings, **own[name]})
    )
    target = head.targets(config, law, np.random.default_rng(1))
    raw = torch.zeros(2, 4, head.outputs(config), requires_grad=True)
    optimiser = torch.optim.Adam([raw], lr=0.1)
    losses = []
    for _ in range(300):
        optimiser.zero_grad()
        loss = head.divergence(head.finished(config, raw), target).mean()
        losses.append(loss.item())
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert -1e-3 < losses[-1] < 0.02 * losses[0]
    outputs = head.finished(config, raw).detach().double().numpy()
    said = as_predictive(head.form(config, outputs), (2, 4), 3 if name == "categories" else None)
    if name == "categories":
        np.testing.assert_allclose(said.expectation(), law.expectation(), atol=0.02)
    else:
        middle = np.full((2, 4, 1), 0.5)
        np.testing.assert_allclose(said.quantile(middle), law.quantile(middle), atol=0.1)
    label = head.labels(config, np.zeros((2, 4)))
    assert torch.isfinite(head.divergence(head.finished(config, raw), label)).all()
    assert len(label) == len(target) == 2
    assert len(target[0:1]) == len(target.to(torch.device("cpu"))[1:]) == 1


def test_quantiles_begin_as_those_of_the_prior() -> None:
    own = {"head": "quantiles", "levels": 9, "options": {"observations": OPTIONS["observations"]}}
    network = build(config_from({**VECTORS, **own})).initialise(0)
    with torch.no_grad():
        network.head.weight.zero_()
    said = NetworkCandidate(network)(np.zeros((2, 5, 2)), None)
    exact = Normal(np.full((2, 1), 3.0), np.full((2, 1), 2.0))
    levels = np.broadcast_to(quantiles.levels_of(9), (2, 1, 9))
    np.testing.assert_allclose(said["values"], exact.quantile(levels), rtol=1e-5)


def test_the_loss_of_quantiles_is_the_metric_that_judges_them() -> None:
    head = _parts.head("quantiles")
    config = config_from({**VECTORS, "head": "quantiles", "levels": 9})
    law = laws("quantiles")
    said = Normal(law.mean + 0.3, 1.4 * law.sd)
    values = said.quantile(np.broadcast_to(quantiles.levels_of(9), (2, 4, 9)))
    rng = np.random.default_rng(0)
    losses = [
        head.divergence(torch.tensor(values).float(), head.targets(config, law, rng))
        for _ in range(200)
    ]
    mean = torch.stack(losses).mean(0).double().numpy() * 2.0  # in the unit of the outcome
    score = registry.load("metric", "quantile_score").score(
        Quantiles(quantiles.levels_of(9), values)[:, None], law[:, None], np.zeros((2, 1, 4))
    )
    np.testing.assert_allclose(mean, score[:, 0], rtol=0.03)


def test_a_head_is_for_the_outcomes_that_it_predicts() -> None:
    for family, states, head in (("points", [], "categories"), ("symbols", [3], "normal")):
        with pytest.raises(InputError, match="a head for outcomes"):
            config_from({"family": family, "inputs": 1, "states": states, "head": head, **SMALL})


# -- recipes of tasks without any ------------------------------------------------------------------


@pytest.mark.parametrize("law", ["normal", "mixture", "bins", "quantiles", "draws", ""])
def test_every_layout_suggests_recipes(law: str, each: Any, make_case: Callable[..., Any]) -> None:
    presets = _defaults.presets(each.task, law=law, targets="" if law else "labels")
    assert set(presets) == {"quick", "full"}
    for name in presets:
        recipe = Recipe.of(replace(each.task, training=presets), name)
        config_of(each.task, recipe.network)


def test_a_task_without_recipes_gets_one_and_one_with_recipes_keeps_its_own(
    make_case: Callable[..., Any],
) -> None:
    task = make_case("gaussian_process").task
    recipe = training.recipe_of(task, "quick")
    assert recipe.targets == ""
    assert recipe.network["head"] == "normal"
    sampled = training.recipe_of(replace(task, reference="nuts"), "quick")
    assert (sampled.targets, sampled.network["head"]) == ("labels", "mixture")
    with pytest.raises(InputError, match="quick, full"):
        training.recipe_of(task, "slow")
    shipped = _spec.load_task("gp-rbf-1d")
    assert training.recipe_of(shipped, "quick") == Recipe.of(shipped, "quick")


def test_a_network_of_quantiles_learns(make_case: Callable[..., Any]) -> None:
    case = make_case("gaussian_process")
    recipe = replace(case.recipe, network={**SMALL, "head": "quantiles", "levels": 9})
    config = config_of(case.task, recipe.network)
    network = build(config).initialise(0)
    groups = make_batch(case.task, recipe, config, case.targets, 0, 0)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    losses = []
    for _ in range(40):
        optimiser.zero_grad()
        loss = divergence(network, groups[1])
        losses.append(loss.item())
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert losses[-1] < 0.3 * losses[0]


def test_a_mixture_is_no_target_of_categories() -> None:
    law = NormalMixture(*np.ones((3, 2, 4, 1)))
    config = NetworkConfig("symbols", (3,))
    with pytest.raises(InputError, match="probabilities of categories"):
        _parts.head("categories").targets(config, law, np.random.default_rng(0))
