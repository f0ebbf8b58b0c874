"""What a candidate reads and has learned:
known answers where theory wrote the weights, values elsewhere; the command.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from veribayes import cli, registry
from veribayes.errors import InputError, ShapeError
from veribayes.models import _spec
from veribayes.models._priors import Dirichlet
from veribayes.models._task import Design, Task
from veribayes.models.bayesian_network import BayesianNetwork
from veribayes.models.bayesian_network._views import edges_between
from veribayes.models.mtd import MTD
from veribayes.report import attention as figures
from veribayes.report import probe as pages
from veribayes.run import probes
from veribayes.transformer._candidates import NetworkCandidate
from veribayes.transformer.architectures.disentangled import Disentangled, DisentangledConfig
from veribayes.transformer.architectures.network import Network, NetworkConfig
from veribayes.validation import attention as maps

TASK = Task("lags", MTD(3, 2, matrix_seed=1), Design((4, 16)), "simplex_quadrature", "lag_counts")
LEARNING = replace(_spec.load_task("bn-general5"), design=Design((5, 30)))
POINTS = replace(_spec.load_task("gp-rbf-1d"), design=Design((2, 8), queries=4))
KNOWN = _spec.load_task("bn-asia-inference")
DATASETS = 10  # the fewest behind a limit


def ask(name: str, task: Task, call: Any, against: str | None = None) -> Any:
    """One probe alone, of a callable."""
    data = task.simulate(range(DATASETS), seed=0).data
    return registry.load("probe", name).ask(probes.subject(task, call, data, against=against))


def test_statistics_of_maps() -> None:
    even = np.full((1, 1, 1, 8), 1 / 8)
    point = np.zeros((1, 1, 1, 8))
    point[..., 5] = 1
    assert maps.tokens_read(even) == pytest.approx(8)
    assert maps.tokens_read(point) == 1
    assert maps.sink(even, 2) == pytest.approx(0.25)
    bins = np.array([3, 3, 2, 2, 1, 1, 0, 0])[None, None]
    np.testing.assert_allclose(
        maps.by_bin(np.concatenate([even, point], axis=1), bins, 4), [[[0.25] * 4, [0, 1, 0, 0]]]
    )
    both = np.concatenate([even, point], axis=1)
    assert maps.diversity(even) == 0
    assert maps.diversity(both) == pytest.approx(7 / 8)
    np.testing.assert_allclose(maps.apart(both, point), [[7 / 8, 0]])
    square = np.tril(np.ones((1, 1, 3, 3))) / np.arange(1, 4)[:, None]
    assert maps.diagonal(square) == pytest.approx(11 / 18)
    np.testing.assert_allclose(maps.observed(point, 4), point[..., 4:])
    np.testing.assert_allclose(maps.observed(point, 6), [[[[0.5, 0.5]]]])  # it reads no observation
    for bad in (even[0], even * 2, -even):
        with pytest.raises(ShapeError):
            maps.checked(bad)


def test_the_construction_of_mixtures_is_its_own() -> None:
    found = probes.probe(TASK, "mtd-mirror-descent", datasets=DATASETS)
    beside, rows = found["construction"], found["attention"]["layers"]
    assert beside["name"] == "mtd_mirror_descent"
    distance = np.array(beside["distance"]["estimate"])
    assert distance.shape == (3, 3)
    assert np.abs(np.diag(distance)).max() < 1e-14
    assert rows[1]["tokens_read"]["estimate"] == pytest.approx(
        14
    )  # the average over the T - m terms
    mass = [row["by_distance"]["estimate"][0] for row in rows]
    assert np.sum(mass[0][1:3]) == pytest.approx(1)  # responsibilities of the lags
    assert np.sum(mass[2][:2]) == pytest.approx(1)
    assert found["attention"]["labels"][-1] == "5+"
    assert found["attention"]["even"] == pytest.approx([1 / 16] * 5 + [11 / 16])
    assert found["tables"][0]["max_tv"] < 1e-14
    used = found["context_used"]
    assert used["observations"] == [4, 8]
    assert used["candidate"]["estimate"][0] > used["candidate"]["estimate"][1] > 0
    assert (
        used["candidate"]["low"][0]
        < used["candidate"]["estimate"][0]
        < used["candidate"]["high"][0]
    )


def test_the_construction_of_networks_reads_rows_that_agree() -> None:
    """All of its mass is on rows that differ on no parent, wherever there is one;
    layer 1 reads the query alone.
    """
    found = probes.probe(LEARNING, "bn_maximum_likelihood", datasets=DATASETS)
    first, second = found["attention"]["layers"]
    assert first["sink"]["estimate"] == pytest.approx(1)
    assert second["by_distance"]["estimate"][0] == pytest.approx(
        [0.98, 0.02, 0], abs=0.021
    )  # a configuration may be new
    assert found["construction"]["roles"] == ["rows that agree on the parents"]
    assert found["construction"]["distance"]["estimate"][1][0] < 1e-14
    assert found["tables"] == []


def test_the_construction_of_processes_reads_by_the_kernel() -> None:
    found = probes.probe(POINTS, "gp-gradient-descent", datasets=DATASETS)
    near = found["attention"]["layers"][1]["by_distance"]["estimate"][0]
    assert near[0] > found["attention"]["even"][0]
    assert found["construction"]["distance"]["estimate"][1] == pytest.approx([0], abs=1e-14)
    used = found[
        "context_used"
    ]  # nine layers are not converged, but what they do with less context is alike
    np.testing.assert_array_equal(used["observations"], [2, 4])


def test_tables_of_a_known_network() -> None:
    """Exact answers are the tables themselves."""

    def exact(evidence: Any, target: Any) -> dict[str, Any]:
        model: Any = KNOWN.model
        row = model.theta[
            model.configuration(np.repeat(evidence, 1, axis=0))
        ]  # (B, M, K): right where parents are given
        return {"probs": row}

    found = {t["name"]: t for t in ask("tables", KNOWN, exact)}
    assert set(found) == {"asia", "tub", "smoke", "lung", "bronc", "either", "xray", "dysp"}
    assert max(t["max_tv"] for t in found.values()) == 0
    assert found["dysp"]["rows"][1] == "bronc=yes, either=no"


@pytest.mark.parametrize(
    ("task", "name"),
    [(LEARNING, "bn-general5"), (POINTS, "gp-rbf-1d"), (KNOWN, "bn-asia-inference")],
)
def test_shipped_networks(task: Task, name: str) -> None:
    found = probes.probe(task, name, datasets=DATASETS)
    json.dumps(found, allow_nan=False)
    page, text = pages.page(found), pages.markdown(found)
    assert page.count("<svg") == 1 + bool(found["tables"]) + bool(found["context_used"])
    assert "<script" not in page
    assert text.startswith(f"{task.name}: {name}, {DATASETS} data sets")
    for table in found["tables"]:
        assert table["max_tv"] < 0.01  # 3.7e-4
    if found[
        "context_used"
    ]:  # it uses its context as exact Bayes does; relative difference 2e-3, .01
        own, exact = (found["context_used"][k]["estimate"] for k in ("candidate", "exact"))
        np.testing.assert_allclose(own, exact, rtol=0.05)


@pytest.mark.parametrize(
    "network",
    [
        Network(NetworkConfig("symbols", states=(3,), width=16, layers=2, heads=2)).initialise(0),
        Disentangled(DisentangledConfig((3,), 16)).initialise(0),
    ],
    ids=lambda n: type(n).__name__,
)
def test_networks_show_their_attention(network: Any) -> None:
    found = probes.probe(TASK, NetworkCandidate(network), datasets=DATASETS)
    distance = np.array(found["construction"]["distance"]["estimate"])
    assert distance.shape[1] == 3
    assert np.all((distance >= 0) & (distance <= 1))
    for row in found["attention"]["layers"]:
        assert 1 <= row["tokens_read"]["estimate"] <= 17
    assert 0 < found["tables"][0]["mean_tv"] < 1
    assert len(figures.tables(found).axes) == 2


def test_maps_are_what_the_network_computes() -> None:
    """The weights times the values are what attention gives;
    the readers of a set do not read each other.
    """
    for config in (
        NetworkConfig("nodes", states=(2, 3, 2), width=16, layers=2, heads=2),
        NetworkConfig("symbols", states=(3,), width=16, layers=2, heads=2),
    ):
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


def equal(context: Any, query: None) -> dict[str, Any]:
    """Shows nothing and knows nothing."""
    return {"probs": np.full((len(context), 1, 3), 1 / 3)}


def test_what_shows_no_attention() -> None:
    for candidate in (equal, 3, "conjugate", "nothing-of-this-name"):
        with pytest.raises(InputError):
            probes.probe(TASK, candidate, datasets=2)
    used: Any = ask("context_used", TASK, equal)
    assert used["candidate"]["estimate"] == [0.0, 0.0]  # it uses none of it
    call: Any = probes.construction("mtd_mirror_descent", TASK, 16)
    call.steps = 2
    with pytest.raises(InputError, match="one step"):
        call.attention(np.zeros((1, 16), dtype=np.int64), None)
    with pytest.raises(InputError, match="mtd"):
        ask("construction", TASK, call, against="bn_maximum_likelihood")
    assert not figures.tables({"tables": []}).axes
    assert not figures.context({"context_used": None}).axes


def test_distances_between_nodes() -> None:
    model = BayesianNetwork(list("abcd"), {"b": ["a"], "c": ["b"]}, prior=Dirichlet(1.0))
    np.testing.assert_array_equal(
        edges_between(model), [[0, 1, 2, 3], [1, 0, 1, 3], [2, 1, 0, 3], [3, 3, 3, 0]]
    )


def test_from_the_command_line(tmp_path: Path) -> None:
    arguments = ["probe", "bn-asia-inference", "--datasets", "10", "--out", str(tmp_path), "--json"]
    done = CliRunner().invoke(cli.app, arguments)
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["schema"] == probes.SCHEMA
    assert document == json.loads((tmp_path / "bn-asia-inference" / "probe.json").read_text())
    assert "refused" in document["construction"]
    assert (tmp_path / "bn-asia-inference" / "probe.html").read_text().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("name", ["../../mine.yaml", "os:abort", "mine"])
def test_a_card_names_no_file_and_no_module(name: str, tmp_path: Path) -> None:
    """What a stranger's card calls its task is neither read nor imported."""
    shipped: Any = registry.checkpoint_path("bn-general5")
    card = json.loads((shipped / "card.json").read_text())
    (tmp_path / "card.json").write_text(json.dumps({**card, "task": name}))
    with pytest.raises(InputError, match="task"):
        probes.task_name(str(tmp_path))
