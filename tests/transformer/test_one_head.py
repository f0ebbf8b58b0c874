"""One attention head: theory is among its weights; what it may read, and what it refuses."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from veribayes import registry
from veribayes.errors import InputError
from veribayes.models import _spec
from veribayes.models._task import Task
from veribayes.models.context_switch import ContextSwitch
from veribayes.transformer._architectures import build, config_from, config_of
from veribayes.transformer._batches import make_batch
from veribayes.transformer._candidates import NetworkCandidate
from veribayes.transformer._checkpoint import load
from veribayes.transformer._losses import divergence
from veribayes.transformer._recipe import Recipe
from veribayes.transformer._training import train
from veribayes.transformer.architectures.one_head import OneHead, OneHeadConfig
from veribayes.transformer.constructions import switch_sink

UNITS = {
    "observations": {"centre": [0.0], "spread": [1.0]},
    "queries": {"centre": [0.0], "spread": [1.0]},
}
VARIANTS = [
    ("softmax", "sink"),
    ("softmax", "diagonal"),
    ("softmax", "none"),
    ("sigmoid", "none"),
    ("relu", "none"),
]


def task_of(cue: str) -> Task:
    return _spec.task_of(ContextSwitch(cue=cue), name="switch", positions=(1, 4, 8))


def network_of(normaliser: str, anchor: str, **settings: Any) -> OneHead:
    config = OneHeadConfig(1, UNITS, normaliser, anchor, **settings)
    return OneHead(config).initialise(1)


def arrays_of(datasets: int = 3, n: int = 5, queries: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    c = torch.randn(datasets, n, 1, generator=generator)
    return c, torch.randint(2, (datasets, queries, 1), generator=generator).float()


def test_the_head_of_theory_is_among_its_weights() -> None:
    """Key 0 on observations, log(B/A) or 60 on the sink: the construction's attention and mean."""
    task = task_of("observed")
    data = task.simulate(range(6), seed=0).data
    context, query = task.model.inputs(data, 2)
    written = switch_sink.PART()(task)
    network = network_of("softmax", "sink").double()
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
        scale = math.sqrt(network.config.key_width)
        network.own_key.vector[0] = scale  # type: ignore[index, operator]
        network.query.weight[0, 0] = math.log(0.25) - 60  # type: ignore[index, operator]
        network.query.bias[0] = 60  # type: ignore[index, operator]
        network.value.weight[0, 0] = network.mean.weight[0, 0] = 1.0
        arrays = torch.tensor(context)[..., None], torch.tensor(query)[..., None].double()
        outputs = network(*arrays)
        (weights,) = network.attention(*arrays)
    maps, leading = written.attention(context, query)
    assert leading == 1
    np.testing.assert_allclose(weights.numpy(), maps[0], rtol=0, atol=1e-13)  # 3e-15
    np.testing.assert_allclose(outputs[..., 1], written(context, query)["mean"], atol=1e-13)


@pytest.mark.parametrize(("normaliser", "anchor"), VARIANTS)
def test_what_may_be_read(normaliser: str, anchor: str) -> None:
    """A query reads no other query, order means nothing, weights are what they are called."""
    network = network_of(normaliser, anchor)
    c, cues = arrays_of()
    with torch.no_grad():
        whole = network(c, cues)
        torch.testing.assert_close(network(c, cues[:, :1]), whole[:, :1], rtol=0, atol=1e-6)
        torch.testing.assert_close(network(c.flip(1), cues), whole, rtol=0, atol=1e-6)
        assert not torch.allclose(network(c[:, :2], cues), whole)
        weights = network._weights(c, cues)
        assert torch.isfinite(network(c[:, :0], cues)).all()  # no observation at all
    anchors = int(anchor != "none")
    assert weights.shape == (3, 2, anchors + 5)
    assert (weights >= 0).all()
    sums = weights.sum(-1)
    if normaliser == "softmax":
        torch.testing.assert_close(sums, torch.ones(3, 2))
        (shown,) = network.attention(c, cues)
        assert torch.equal(shown, weights[:, None])
    else:
        assert (sums - 1).abs().min() > 1e-3
        with pytest.raises(InputError, match="softmax"):
            network.attention(c, cues)


def test_a_sink_is_the_same_for_every_query_and_a_diagonal_is_not() -> None:
    c, _ = arrays_of()
    cues = torch.tensor([0.0, 1.0])[None, :, None].expand(3, 2, 1)
    for anchor, same in (("sink", True), ("diagonal", False)):
        network = network_of("softmax", anchor)
        with torch.no_grad():
            own = network.own_value(cues)
        assert torch.equal(own[:, 0], own[:, 1]) is same
    with torch.no_grad():  # without a sum, no weight depends on how many others there are
        network = network_of("sigmoid", "none")
        first, more = (network._weights(c[:, :n], cues)[..., 0] for n in (1, 5))
        assert torch.allclose(first, more)


@pytest.mark.parametrize(
    ("cue", "settings"),
    [
        ("observed", {"anchor": "diagonal"}),
        pytest.param(
            "hidden",
            {"anchor": "sink", "head": "mixture", "components": 2},
            marks=pytest.mark.study,
        ),
    ],
)
def test_it_trains_and_comes_back(cue: str, settings: dict[str, Any], tmp_path: Path) -> None:
    task = task_of(cue)
    network = {"architecture": "one_head", **settings}
    recipe = Recipe(60, 16, 0.02, network, groups=2, queries=2, evaluations=1)
    engine = registry.load("engine", task.reference)()

    def targets(data: Any) -> Any:
        return engine(task, data, seed=0).predictive

    config = config_of(task, network)
    card = train(
        task,
        recipe,
        targets=targets,
        evaluate=lambda _: {},
        out=tmp_path,
        device="cpu",
        progress=False,
    )
    loaded, again = load(tmp_path, task)
    assert again == card
    assert loaded.config == config == config_from(config.to_dict())
    fresh = make_batch(task, replace(recipe, batch=64), config, targets, 1, 0)
    with torch.no_grad():
        begun, ended = (
            sum(float(divergence(net, group)) for group in fresh)
            for net in (build(config).initialise(0), loaded)
        )
    assert ended < 0.5 * begun
    data = task.simulate(range(4), seed=0).data
    context, query = task.model.inputs(data, 2)
    maps, leading = NetworkCandidate(loaded).attention(context, query)
    assert leading == 1
    assert maps[0].shape == (4, 1, 1 if query is None else query.shape[1], 9)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"normaliser": "tanh"}, "normaliser"),
        ({"anchor": "rope"}, "anchor"),
        ({"head": "bins"}, "head"),
        ({"components": 2}, "components"),
        ({"head": "mixture", "components": 0}, "components"),
        ({"value_width": 0}, "value_width"),
        ({"key_width": 10**9}, "key_width"),
        ({"unit": (0.0, 0.0)}, "unit"),
        ({"unit": (1.0,)}, "unit"),
        ({"options": 3}, "options"),
        ({"family": "symbols"}, "family"),
        ({"inputs": 2}, "centres"),
    ],
)
def test_what_is_refused(settings: dict[str, Any], named: str) -> None:
    plain = {"architecture": "one_head", "family": "vectors", "inputs": 1, "options": UNITS}
    config_from(plain)
    with pytest.raises(InputError, match=named):
        config_from({**plain, **settings})
