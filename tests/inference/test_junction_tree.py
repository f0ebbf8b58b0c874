"""The compiled junction tree: against enumeration, elimination, pyAgrum;
joint laws, draws, most probable rows; refusals.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from importlib import resources
from itertools import product
from typing import Any

import numpy as np
import pytest

from veribayes import registry
from veribayes.errors import ReferenceRefused
from veribayes.inference import junction_tree
from veribayes.inference._compiled import Lanes, Layout
from veribayes.inference._triangulation import buckets
from veribayes.inference._triangulation import junction_tree as cliques_of
from veribayes.inference.junction_tree import JunctionTree
from veribayes.models import _spec
from veribayes.models.bayesian_network import BayesianNetwork
from veribayes.models.readers.bif import read_bif
from veribayes.tree import Data

SHARED = frozenset({"target"})

SMALL = [
    "asia",
    "cancer",
    "earthquake",
    "survey",
    "sachs",
    "child",
    "alarm",
    "win95pts",
    "hepar2",
    "insurance",
    "hailfinder",
]
LARGE = [
    "andes",
    "pigs",
    "water",
    "mildew",
    "barley",
    "pathfinder",
    "diabetes",
    "munin",
    "munin1",
    "munin2",
    "munin3",
    "munin4",
    "link",
]


@cache
def published(name: str) -> BayesianNetwork:
    with resources.as_file(
        resources.files("pgmpy.utils.example_models") / f"{name}.bif.gz"
    ) as path:
        return read_bif(path)


def random_network(nodes: int, seed: int, zeros: float = 0.0) -> BayesianNetwork:
    """A dense random network with 1 to 4 states and some impossible combinations."""
    rng = np.random.default_rng(seed)
    parents: Any = [
        sorted(rng.choice(i, min(i, int(rng.integers(0, 4))), replace=False).tolist())
        for i in range(nodes)
    ]
    sizes = rng.integers(1, 5, nodes)
    tables = []
    for i, ps in enumerate(parents):
        table = rng.dirichlet(np.full(sizes[i], 0.5), int(np.prod(sizes[ps])))
        table[rng.random(table.shape) < zeros] = 0
        table[table.sum(1) < 1e-9] = 1
        tables.append(table / table.sum(1, keepdims=True))
    return BayesianNetwork(
        [f"v{i}" for i in range(nodes)],
        parents,
        [[f"s{k}" for k in range(n)] for n in sizes],
        cpts=tables,
    )


def observed(model: BayesianNetwork, rows: int, seed: int = 0) -> Data:
    """Rows from the joint law, every node observed with probability 1/2,
    without a simulator that is compiled first.
    """
    rng, values = np.random.default_rng(seed), np.zeros((rows, len(model.nodes)), dtype=np.int64)
    for i, (parents, table) in enumerate(zip(model.parents, model.tables, strict=True)):
        law = np.broadcast_to(
            table[tuple(values[:, p] for p in parents)], (rows, table.shape[-1])
        ).cumsum(1)
        values[:, i] = (rng.random((rows, 1)) * law[:, -1:] >= law[:, :-1]).sum(1)
    evidence = np.where(rng.random(values.shape) < 0.5, values, -1)
    return Data(
        {"evidence": evidence, "target": np.arange(len(model.nodes))},
        np.array([0]),
        np.arange(rows),
        SHARED,
    )


def joint_table(model: BayesianNetwork) -> Any:
    """P(all nodes), one axis a node, by brute force."""
    out = np.ones([len(s) for s in model.states])
    families = list(enumerate(zip(model.tables, model.parents, strict=True)))
    for row in product(*map(range, out.shape)):
        out[row] = np.prod(
            [table[tuple(row[p] for p in parents)][row[i]] for i, (table, parents) in families]
        )
    return out


def agreeing(joint: Any, row: Any) -> Any:
    """The joint table with zeros where it disagrees with a row of evidence."""
    out = joint.copy()
    for axis, e in enumerate(row):
        if e >= 0:
            out[
                tuple(
                    slice(None) if a != axis else np.arange(out.shape[axis]) != e
                    for a in range(out.ndim)
                )
            ] = 0
    return out


@pytest.mark.parametrize("name", SMALL)
def test_posteriors_and_evidence_agree_with_elimination(name: str) -> None:
    model = published(name)
    data, task = observed(model, 40), _spec.task_of(model)
    exact, other = (
        registry.engine(e)(task, data, seed=0) for e in ("junction_tree", "elimination")
    )
    np.testing.assert_allclose(
        exact.predictive.probs, other.predictive.probs, rtol=1e-10, atol=1e-300
    )  # 2e-15
    assert exact.certificate.verdict == "trusted"
    assert exact.certificate.error_bound < 2e-12  # 9e-13 for hailfinder


@pytest.mark.parametrize("reduced", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_every_query_agrees_with_the_joint_table(
    seed: int, reduced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(junction_tree, "COMPILE", -1e9 if reduced else 1e9)
    model, engine = random_network(7, seed, zeros=0.2), JunctionTree()
    evidence = observed(model, 12, seed).arrays["evidence"]
    probs, log_evidence = engine.posteriors(model, evidence)
    pairs = engine.joint(model, evidence, ["v5", "v1"])
    best, log_best = engine.most_probable(model, evidence)
    joint = joint_table(model)
    for i, row in enumerate(evidence):
        part = agreeing(joint, row)
        assert log_evidence[i] == pytest.approx(np.log(part.sum()), abs=1e-12)
        for node in range(7):
            law = part.sum(axis=tuple(a for a in range(7) if a != node)) / part.sum()
            np.testing.assert_allclose(probs[i, node, : law.size], law, rtol=1e-12, atol=0)
        law = part.sum(axis=tuple(a for a in range(7) if a not in (1, 5))) / part.sum()
        np.testing.assert_allclose(pairs[i], law.T, rtol=1e-12, atol=0)
        assert part[tuple(best[i])] == pytest.approx(part.max(), rel=1e-12)
        assert np.exp(log_best[i]) == pytest.approx(part.max(), rel=1e-12)
    np.testing.assert_allclose(engine.log_evidence(model, evidence), log_evidence, atol=1e-12)


@pytest.mark.parametrize("reduced", [False, True])
def test_draws_follow_the_posterior(reduced: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(junction_tree, "COMPILE", -1e9 if reduced else 1e9)
    model, engine, n = random_network(6, 3, zeros=0.2), JunctionTree(), 4000
    evidence = observed(model, 3, 5).arrays["evidence"]
    rows = engine.draws(model, evidence, draws=n, seed=1)
    assert np.array_equal(rows, engine.draws(model, evidence, draws=n, seed=1))
    assert np.all((rows == evidence[:, None]) | (evidence < 0)[:, None])
    joint = joint_table(model)
    for drawn, row in zip(rows, evidence, strict=True):
        law = agreeing(joint, row) / agreeing(joint, row).sum()
        share = np.zeros_like(law)
        np.add.at(share, tuple(drawn.T), 1 / n)
        assert np.all(share[law == 0] == 0)
        assert np.all(np.abs(share - law) <= 5 * np.sqrt(law * (1 - law) / n) + 1e-12)


@pytest.mark.parametrize("name", ["alarm", "insurance"])
def test_reduction_does_not_change_the_answer(name: str) -> None:
    model, engine = published(name), JunctionTree()
    evidence = observed(model, 30).arrays["evidence"]
    whole, log_whole = engine.posteriors(model, evidence)
    for row, expected, log_expected in zip(evidence[:8], whole, log_whole, strict=False):
        layout = Layout(model, frozenset(np.flatnonzero(row >= 0).tolist()))
        alone = Lanes(junction_tree.Compiled(layout), 1)
        block, sweep = alone.posteriors(row[None])
        np.testing.assert_allclose(
            block[:, 0], expected.ravel()[alone.compiled.columns], rtol=1e-12, atol=0
        )
        assert sweep.log_value[0] == pytest.approx(log_expected, abs=1e-11)


def test_a_shared_pattern_is_one_small_tree() -> None:
    """500 rows that observe the same nodes: grouped, and as each row alone."""
    model, engine = published("insurance"), JunctionTree()
    rows = engine.draws(model, np.full((1, 27), -1), draws=500, seed=0)[0]
    evidence = np.where(np.arange(27) % 2 == 0, rows, -1)
    groups = list(engine._groups(model, evidence, ()))
    assert len(groups) == 1
    assert groups[0][1].entries < 2000  # 29,352 for the whole network
    probs, _ = engine.posteriors(model, evidence)
    for i in (0, 250, 499):
        np.testing.assert_allclose(
            engine.posteriors(model, evidence[i : i + 1])[0][0], probs[i], rtol=1e-12, atol=0
        )


def test_rows_do_not_depend_on_their_batch() -> None:
    model, engine = published("alarm"), JunctionTree()
    evidence = observed(model, 1500).arrays["evidence"]  # two chunks of lanes
    every = engine.posteriors(model, evidence)
    some = engine.posteriors(model, evidence[[3, 700, 1499]])
    for a, b in zip(every, some, strict=True):
        np.testing.assert_allclose(a[[3, 700, 1499]], b, rtol=1e-13, atol=0)


def test_faint_evidence_is_rescaled() -> None:
    """P(evidence) is about 10^-1200 at 400 observed symptoms of one cause,
    and 10^-4000 at 2000 nodes of a chain.
    """
    tables: list[Any] = [[0.5, 0.5], *([[0.999, 0.001], [0.9985, 0.0015]] for _ in range(400))]
    model = BayesianNetwork(
        ["cause", *(f"s{i}" for i in range(400))], [[], *([0] for _ in range(400))], cpts=tables
    )
    probs, log_evidence = JunctionTree().posteriors(model, np.array([[-1, *([1] * 400)]]))
    assert probs[0, 0, 0] == pytest.approx((2 / 3) ** 400 / (1 + (2 / 3) ** 400), rel=1e-10)
    assert log_evidence[0] == pytest.approx(
        np.log(0.5) + 400 * np.log(0.0015) + np.log1p((2 / 3) ** 400), rel=1e-12
    )
    chain = BayesianNetwork(
        [f"c{i}" for i in range(2000)],
        [[], *([i] for i in range(1999))],
        cpts=[[0.5, 0.5], *([[0.99, 0.01], [0.01, 0.99]] for _ in range(1999))],
    )
    row = np.where(np.arange(2000) % 4 == 0, np.arange(2000) // 4 % 2, -1)[None]
    probs, log_evidence = JunctionTree().posteriors(chain, row)
    change = (1 - (2 * 0.99 - 1) ** 4) / 2  # of state over four steps
    open_end = np.log(0.5) + 499 * np.log(change)
    assert log_evidence[0] == pytest.approx(open_end, rel=1e-12)
    assert probs[0, 2, 0] == pytest.approx(0.5, rel=1e-12)


def test_impossible_evidence_is_refused_by_name() -> None:
    model = BayesianNetwork(["a", "b"], {"b": ["a"]}, cpts=[[1.0, 0.0], [[0.5, 0.5], [0.5, 0.5]]])
    task, evidence = _spec.task_of(model), np.array([[0, -1], [1, -1]])
    data = Data({"evidence": evidence, "target": np.arange(2)}, np.array([0]), np.arange(2))
    with pytest.raises(
        ReferenceRefused, match="1 of 2 data sets has probability zero, first in number 1"
    ):
        JunctionTree()(task, data, seed=0)
    probs, log_evidence = JunctionTree().posteriors(model, evidence)
    assert np.isneginf(log_evidence[1])
    assert not probs[1].any()
    np.testing.assert_array_equal(probs[0], [[1, 0], [0.5, 0.5]])


def test_complete_evidence_leaves_nothing_to_ask() -> None:
    model = random_network(6, 1)
    row = JunctionTree().draws(model, np.full((1, 6), -1), draws=1, seed=0)[0]
    probs, log_evidence = JunctionTree().posteriors(model, row)
    assert np.all(np.take_along_axis(probs, row[..., None], -1) == 1)
    assert log_evidence[0] == pytest.approx(np.log(joint_table(model)[tuple(row[0])]), abs=1e-12)


def test_what_needs_too_much_memory_is_refused_with_numbers_at_once() -> None:
    """A 30 by 30 grid of four states: treewidth 30, 10^18 entries."""
    side = 30
    parents: Any = [
        [j for j in (i - side, i - 1 if i % side else -1) if j >= 0] for i in range(side * side)
    ]
    tables = [np.full((*[4] * len(p), 4), 0.25) for p in parents]
    model = BayesianNetwork([f"g{i}" for i in range(side * side)], parents, 4, cpts=tables)
    task = _spec.task_of(model)
    nothing = Data(
        {"evidence": np.full((1, side * side), -1), "target": np.arange(side * side)},
        np.array([0]),
        np.arange(1),
    )
    with pytest.raises(
        ReferenceRefused, match=r"largest clique has .*e\+.* entries .* GiB.*likelihood_weighting"
    ):
        JunctionTree()(task, nothing, seed=0)
    with pytest.raises(
        ReferenceRefused, match=r"largest clique has 1\.44e\+02 entries and all tables need .* GiB"
    ):
        JunctionTree(memory=1e-6).posteriors(published("alarm"), np.full((1, 37), -1))
    sampled = registry.engine("likelihood_weighting", {"draws": "500"})(task, nothing, seed=0)
    assert sampled.certificate.verdict == "trusted"


def test_observed_nodes_make_a_large_network_small() -> None:
    """Link without evidence has 3.8e7 entries and is refused at half a GiB;
    with half of its nodes observed it is answered.
    """
    model, engine = published("link"), JunctionTree(memory=0.5)
    with pytest.raises(ReferenceRefused, match="likelihood_weighting"):
        engine.posteriors(model, np.full((1, 724), -1))
    evidence = observed(model, 2).arrays["evidence"]
    probs, log_evidence = engine.posteriors(model, evidence)
    np.testing.assert_allclose(probs.sum(-1), 1, rtol=1e-12)
    assert np.all(np.isfinite(log_evidence))


def test_cliques_are_a_tree_that_holds_every_table_once() -> None:
    model = published("alarm")
    scopes = [(*p, i) for i, p in enumerate(model.parents)]
    for make, most in (
        (buckets, 1300),
        (cliques_of, 1038),
    ):  # 1,201 and 1,020: fewer than the 1,038 of the literature
        tree = make(scopes, model.cardinalities.tolist())
        assert sorted(n for c in tree for n in c.tables) == list(range(37))
        assert sorted(v for c in tree for v in c.own) == list(range(37))
        assert sum(c.entries for c in tree) <= most
        for i, clique in enumerate(tree):
            members = set(clique.own + clique.shared)
            assert all(set(scopes[n]) <= members for n in clique.tables)
            if clique.parent is not None:
                assert clique.parent > i
                assert set(clique.shared) <= {*tree[clique.parent].own, *tree[clique.parent].shared}


def agrum_posteriors(model: BayesianNetwork, evidence: Any) -> Any:
    """All single-node posteriors by pyAgrum's lazy propagation, with our tables."""
    import pyagrum as gum

    theirs = gum.BayesNet()
    for node, states in zip(model.nodes, model.states, strict=True):
        theirs.add(gum.LabelizedVariable(node, node, list(states)))
    for node, parents, table in zip(model.nodes, model.parents, model.tables, strict=True):
        for parent in parents:
            theirs.addArc(model.nodes[parent], node)
        cpt = theirs.cpt(node)
        family = [*(model.nodes[p] for p in parents), node]
        cpt.fillWith(
            table.transpose([family.index(n) for n in reversed(cpt.names)]).ravel().tolist()
        )
    engine = gum.LazyPropagation(theirs)
    for row in evidence:
        engine.setEvidence({model.nodes[i]: int(v) for i, v in enumerate(row) if v >= 0})
        engine.makeInference()
        yield [engine.posterior(node).toarray() for node in model.nodes]


@pytest.mark.study
@pytest.mark.parametrize("name", [*SMALL, *LARGE])
def test_every_published_network_agrees_with_pyagrum(name: str) -> None:
    """All 24 networks that pgmpy carries, each node observed with probability 1/2:
    link and munin1 too.
    """
    model = published(name)
    evidence = observed(model, 10 if name in SMALL else 2).arrays["evidence"]
    probs, _ = JunctionTree().posteriors(model, evidence)
    for ours, theirs in zip(probs, agrum_posteriors(model, evidence), strict=True):
        for mine, other in zip(ours, theirs, strict=True):
            assert np.abs(mine[: other.size] - other).max() < 1e-10  # 2e-15


@pytest.mark.study
@pytest.mark.parametrize("name", [*SMALL, "andes", "pigs", "water", "pathfinder", "munin2"])
def test_marginals_agree_with_pyagrum(name: str) -> None:
    model = published(name)
    nothing = np.full((1, len(model.nodes)), -1)
    (ours,), (theirs,) = (
        JunctionTree().posteriors(model, nothing)[0],
        agrum_posteriors(model, nothing),
    )
    for mine, other in zip(ours, theirs, strict=True):
        assert np.abs(mine[: other.size] - other).max() < 1e-10


def test_likelihood_weighting_knows_its_error() -> None:
    """Errors in units of the stated standard error sqrt(p (1 - p) / ESS) have mean square one."""
    model = published("sachs")
    task, data = _spec.task_of(model), observed(model, 60)
    exact = JunctionTree()(task, data, seed=0).predictive.probs[:, 0]
    engine = registry.engine("likelihood_weighting", {"draws": "1000"})
    branch = engine(task, data, seed=1)
    one, other = (r.probs[:, 0] for r in branch.replicates)
    assert not np.array_equal(one, other)
    np.testing.assert_allclose(branch.predictive.probs[:, 0], (one + other) / 2, atol=1e-15)
    square = []
    for i in range(60):
        row = data.select(datasets=np.array([i]))
        ess = engine(task, row, seed=1).certificate.diagnostics["ess_bulk"]
        use = (data.arrays["evidence"][i] < 0)[:, None] & (exact[i] > 0.05) & (exact[i] < 0.95)
        if ess >= 100:
            square.append(
                ((one[i] - exact[i])[use] ** 2 * ess / (exact[i] * (1 - exact[i]))[use]).mean()
            )
    assert 0.8 < np.sqrt(np.nanmean(square)) < 1.2


def test_likelihood_weighting_refuses_unlikely_evidence() -> None:
    model = published("alarm")
    task, data = _spec.task_of(model), observed(model, 20)
    found = registry.engine("likelihood_weighting", {"draws": "400"})(
        task, data, seed=0
    ).certificate
    assert found.verdict == "refused"
    assert "rows of evidence have fewer than 400 effective draws" in found.reasons[0]
    nothing = replace(data, arrays={**data.arrays, "evidence": np.full((20, 37), -1)})
    assert (
        registry.engine("likelihood_weighting", {"draws": "400"})(
            task, nothing, seed=0
        ).certificate.verdict
        == "trusted"
    )
