"""Attention, the learned matrix, the context that is used: known answers where theory wrote the weights, values elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from veribayes import probes
from veribayes.errors import InputError, ShapeError
from veribayes.models import _spec
from veribayes.models._task import Design, Task
from veribayes.models.mtd import MTD
from veribayes.report import attention as figures
from veribayes.transformer._candidates import NetworkCandidate
from veribayes.transformer.disentangled import Disentangled, DisentangledConfig
from veribayes.transformer.network import Network, NetworkConfig
from veribayes.validation import attention as maps

TASK = Task("lags", MTD(3, 2, matrix_seed=1), Design((4, 16)), "simplex_quadrature", "lag_counts")


def test_statistics_of_maps() -> None:
    even = np.full((1, 1, 1, 8), 1 / 8)
    point = np.zeros((1, 1, 1, 8))
    point[..., 5] = 1
    assert maps.tokens_read(even) == pytest.approx(8)
    assert maps.tokens_read(point) == 1
    assert maps.sink(even, 2) == pytest.approx(0.25)
    assert maps.diagonal(even) == pytest.approx(0.125)
    np.testing.assert_allclose(maps.by_distance(point, 4), [[0, 0, 1, 0]])
    both = np.concatenate([even, point], axis=1)
    assert maps.diversity(even) == 0
    assert maps.diversity(both) == pytest.approx(7 / 8)
    assert maps.apart(both, point) == 0
    square = np.tril(np.ones((1, 1, 3, 3))) / np.arange(1, 4)[:, None]
    np.testing.assert_allclose(maps.by_distance(square, 4)[0], [11 / 18, 5 / 12, 1 / 3, np.nan])
    for bad in (even[0], even * 2, -even):
        with pytest.raises(ShapeError):
            maps.checked(bad)


def test_the_construction_is_its_own_construction() -> None:
    found = probes.probe(TASK, "mtd-mirror-descent", datasets=8)
    rows = found["attention"]
    assert [r["layer"] for r in rows] == [1, 2, 3]
    for number, row in enumerate(rows):
        assert row["from_construction"][number] < 1e-14
    assert rows[1]["tokens_read"] == pytest.approx(14)  # the average over the T - m terms
    assert np.sum(rows[0]["by_distance"][0][1:3]) == pytest.approx(1)  # responsibilities of the lags
    assert np.sum(rows[2]["by_distance"][0][:2]) == pytest.approx(1)
    matrix = found["transition_matrix"]
    assert matrix["max_tv"] < 1e-14
    used = found["context_used"]
    assert used["symbols"] == [4, 8]
    assert used["kl"][0] > used["kl"][1] > 0
    assert figures.distances(found).axes
    assert len(figures.matrices(found).axes) == 2


@pytest.mark.parametrize(
    "network",
    [
        Network(NetworkConfig("symbols", states=(3,), width=16, layers=2, heads=2)).initialise(0),
        Disentangled(DisentangledConfig((3,), 16)).initialise(0),
    ],
    ids=lambda n: type(n).__name__,
)
def test_networks_show_their_attention(network: Any) -> None:
    call = NetworkCandidate(network)
    found = probes.probe(TASK, call, datasets=4)
    for row in found["attention"]:
        assert len(row["from_construction"]) == 3
        assert all(0 <= v <= 1 for v in row["from_construction"])
        assert 1 <= row["tokens_read"] <= 17
    assert 0 < found["transition_matrix"]["mean_tv"] < 1


def test_maps_are_what_the_network_computes() -> None:
    """The weights times the values are what attention gives; the readers of a set do not read each other."""
    for config in (NetworkConfig("nodes", states=(2, 3, 2), width=16, layers=2, heads=2),
                   NetworkConfig("symbols", states=(3,), width=16, layers=2, heads=2)):  # fmt: skip
        network = Network(config).initialise(0)
        import torch

        x = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0))
        layer: Any = network.blocks[0]
        with torch.no_grad():
            _, _, v = layer.attention._heads(x, 5)
            weights = layer.attention.maps(x, 5)
            mixed = layer.attention.out((weights @ v).transpose(1, 2).flatten(2))
            torch.testing.assert_close(mixed, layer.attention(x, 5), rtol=0, atol=1e-6)
        assert torch.allclose(weights.sum(-1), torch.ones(2, 2, 5))


def test_what_shows_no_attention() -> None:
    task = _spec.load_task("mtd-q5-m3")

    def equal(context: Any, query: None) -> dict[str, Any]:
        return {"probs": np.full((len(context), 1, 5), 0.2)}

    found = probes.probe(task, equal, datasets=4)
    assert "attention" not in found
    assert found["context_used"]["kl"] == [0.0] * 5  # it uses none of it
    assert not figures.distances(found).axes
    with pytest.raises(InputError):
        probes.probe(task, 3)
    with pytest.raises(InputError, match="mixture"):
        probes.context_used(_spec.load_task("gp-rbf-1d"), equal, TASK.simulate(range(1), seed=0).data)
    call: Any = probes.construction("mtd_mirror_descent", TASK, 16)
    call.steps = 2
    with pytest.raises(InputError, match="one step"):
        call.attention(np.zeros((1, 16), dtype=np.int64), None)
