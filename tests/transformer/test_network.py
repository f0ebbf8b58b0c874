"""Who may read whom, and what comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from veribayes.errors import InputError
from veribayes.transformer import _parts
from veribayes.transformer._architectures import config_of
from veribayes.transformer._blocks import rotate
from veribayes.transformer._candidates import NetworkCandidate
from veribayes.transformer.architectures.network import Network, NetworkConfig
from veribayes.transformer.tokens._tokens import integers, reals

# float32 sums in another order; measured 4e-7 on probabilities, 2e-6 on rotary scores of size 10
ROUNDING = 5e-6
ROWS = NetworkConfig("rows", states=(2, 3, 2), width=16, layers=2, heads=2)
SYMBOLS = NetworkConfig("symbols", states=(4,), width=16, layers=2, heads=2)
NODES = NetworkConfig("nodes", states=(2, 3, 2), width=16, layers=2, heads=2)
POINTS = NetworkConfig(
    "points", inputs=2, cells=8, reach=3.0, tail_scale=0.4, width=16, layers=2, heads=2
)


def network(config: NetworkConfig) -> Network:
    """Random weights, norms and biases too, so that nothing holds because a weight is zero."""
    net = Network(config).initialise(0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(torch.empty_like(p).normal_(std=0.3, generator=generator))
    return net


def said(net: Network, arrays: Sequence[torch.Tensor]) -> torch.Tensor:
    probs: torch.Tensor = net(*arrays).softmax(-1)
    return probs


def arguments(
    config: NetworkConfig, n: int = 6, queries: int = 3, seed: int = 0
) -> tuple[torch.Tensor, ...]:
    rng = np.random.default_rng(seed)
    if config.family == "symbols":
        return (integers(rng.integers(0, config.states[0], (2, n))),)
    if config.family == "points":
        return tuple(reals(rng.standard_normal(s)) for s in ((2, n, 2), (2, n), (2, queries, 2)))
    if config.family == "nodes":
        return integers(rng.integers(-1, config.states, (n, 3))), integers(
            np.tile(np.arange(3), (n, 1))
        )
    rows = rng.integers(0, config.states, (2, n, 3))
    target = rng.integers(0, 3, (2, queries))
    query = np.where(
        np.arange(3) < target[..., None], rng.integers(0, config.states, (2, queries, 3)), -1
    )
    return integers(rows), integers(query), integers(target)


@pytest.mark.parametrize("config", [ROWS, POINTS], ids=lambda c: c.family)
def test_a_set_has_no_order(config: NetworkConfig) -> None:
    net, arrays = network(config), arguments(config)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    in_context = 1 if config.family == "rows" else 2  # arrays that hold context
    shuffled = [a[:, order] if i < in_context else a for i, a in enumerate(arrays)]
    torch.testing.assert_close(said(net, shuffled), said(net, arrays), rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("config", [ROWS, POINTS], ids=lambda c: c.family)
def test_the_size_of_a_set_is_seen(config: NetworkConfig) -> None:
    """Every observation doubled: all averages stay, only the count tells;
    a network of averages alone could not learn it.
    """
    net, arrays = network(config), arguments(config)
    in_context = 1 if config.family == "rows" else 2
    doubled = [torch.cat([a, a], 1) if i < in_context else a for i, a in enumerate(arrays)]
    assert (said(net, doubled) - said(net, arrays)).abs().max() > 0.01  # measured .10 and .19


@pytest.mark.parametrize("config", [ROWS, POINTS], ids=lambda c: c.family)
def test_queries_do_not_see_each_other(config: NetworkConfig) -> None:
    net, arrays = network(config), arguments(config)
    in_context = 1 if config.family == "rows" else 2
    alone = [a if i < in_context else a[:, :1] for i, a in enumerate(arrays)]
    torch.testing.assert_close(said(net, alone), said(net, arrays)[:, :1], rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("config", [ROWS, POINTS], ids=lambda c: c.family)
def test_the_last_block_leaves_out_what_nobody_reads(config: NetworkConfig) -> None:
    net, arrays = network(config), arguments(config)
    tokens, readable = net.tokens(*arrays)
    for block in net.blocks:
        tokens = block(tokens, readable)
    whole = net.head(net.norm(tokens[:, readable:]))
    torch.testing.assert_close(net.raw(*arrays)[0], whole, rtol=0, atol=ROUNDING)


def test_a_sequence_sees_only_its_past() -> None:
    net, (symbols,) = network(SYMBOLS), arguments(SYMBOLS)
    changed = symbols.clone()
    changed[:, 4] = (changed[:, 4] + 1) % 4
    before, after = net(symbols), net(changed)
    torch.testing.assert_close(
        after[:, :5], before[:, :5], rtol=0, atol=ROUNDING
    )  # prefixes of length 0..4
    assert (after[:, 5:] - before[:, 5:]).abs().max() > 0.01  # measured 1.7
    torch.testing.assert_close(net(symbols[:, :3]), before[:, :4], rtol=0, atol=ROUNDING)


def test_rotary_scores_depend_on_distance() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(8, generator=generator).expand(10, 8) for _ in range(2))
    scores = rotate(q) @ rotate(k).T
    torch.testing.assert_close(scores[1:, 1:], scores[:-1, :-1], rtol=0, atol=ROUNDING)


def test_categories_that_a_target_lacks_get_exactly_zero() -> None:
    probs = said(network(ROWS), arguments(ROWS))
    target = arguments(ROWS)[2]
    assert torch.all(probs[target != 1][:, 2] == 0)
    assert torch.all(probs[target == 1] > 0)


def test_nodes_read_all_the_evidence_and_answer_what_is_asked() -> None:
    net, (evidence, target) = network(NODES), arguments(NODES)
    answers = said(net, (evidence, target))
    torch.testing.assert_close(
        said(net, (evidence, target.flip(1))), answers.flip(1), rtol=0, atol=ROUNDING
    )
    torch.testing.assert_close(
        said(net, (evidence, target[:, 1:2])), answers[:, 1:2], rtol=0, atol=ROUNDING
    )
    for node in range(3):
        changed = evidence.clone()
        changed[:, node] = torch.where(evidence[:, node] < 0, 0, -1)
        assert (said(net, (changed, target)) - answers).abs().amax(
            (0, 2)
        ).min() > 0.01  # every answer depends on every node
    assert torch.all(answers[:, [0, 2], 2] == 0)


def test_probabilities_sum_to_one(each: Any) -> None:
    net = network(config_of(each.task, each.recipe.network))
    data = each.task.simulate(range(4), seed=0, stream="replicate").data
    for k in range(len(data.positions)):
        said = NetworkCandidate(net)(*each.task.model.inputs(data, k))
        assert said["probs"].dtype == np.float64
        np.testing.assert_allclose(said["probs"].sum(-1), 1.0, rtol=0, atol=1e-14)


def test_batches_inside_a_candidate_change_nothing(
    each: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = NetworkCandidate(network(config_of(each.task, each.recipe.network)))
    context, query = each.task.model.inputs(
        each.task.simulate(range(4), seed=0, stream="replicate").data, 2
    )
    whole = candidate(context, query)["probs"]
    monkeypatch.setattr("veribayes.transformer._candidates.TOKENS", 1)
    np.testing.assert_allclose(candidate(context, query)["probs"], whole, rtol=0, atol=ROUNDING)


def test_the_empty_context_is_allowed() -> None:
    for config in (ROWS, POINTS, SYMBOLS):
        assert torch.isfinite(said(network(config), arguments(config, n=0))).all()


def test_initial_weights_are_a_function_of_the_seed() -> None:
    first, again, other = (Network(ROWS).initialise(s).state_dict() for s in (3, 3, 4))
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_a_config_goes_through_plain_data() -> None:
    for config in (ROWS, NODES, SYMBOLS, POINTS):
        assert NetworkConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    "plain",
    [
        {"family": "images"},
        {"family": "rows"},
        {"family": "rows", "states": [2, 1]},
        {"family": "symbols", "states": [3, 3]},
        {"family": "symbols", "states": [3], "width": 10, "heads": 4},
        {"family": "symbols", "states": [3], "width": "64"},
        {"family": "symbols", "states": [3], "layers": 10**9},
        {"family": "points", "inputs": 1},
        {"family": "symbols", "states": [3], "depth": 4},
        {"states": [3]},
    ],
)
def test_what_is_no_network(plain: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        NetworkConfig.from_dict(plain)


def test_one_target_vector_serves_every_data_set(make_case: Callable[..., Any]) -> None:
    case = make_case("bayesian_network")
    context, query = case.task.model.inputs(case.task.simulate(range(4), seed=0).data, 0)
    rows, prefix, target = _parts.tokens("rows").arrays(context, query)
    assert rows.shape == (4, 1, 3)
    assert prefix.shape == (*target.shape, 3)
