"""One's own data: certified posteriors of a data set in a file, rows with missing cells, and the
Python surface around stored things.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import veribayes as vb
from veribayes import cli
from veribayes.errors import InputError, ReferenceRefused
from veribayes.inference.conjugate import Conjugate
from veribayes.inference.row_completions import RowCompletions
from veribayes.models._priors import Dirichlet, UniformInterval
from veribayes.models._spec import task_of
from veribayes.models._task import Task
from veribayes.models.bayesian_network import BayesianNetwork
from veribayes.tree import Data

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PARENTS: dict[str, list[str]] = {"b": ["a"], "c": ["a", "b"]}
ROWS = np.array([[0, -1, 1], [1, 1, 0], [-1, 0, -1], [1, -1, 1], [0, 0, 1]])
QUERY = np.array([[-1, -1, -1], [1, -1, -1], [0, 1, -1]])


def network(prior: Any, states: int = 2) -> Task:
    model = BayesianNetwork(list("abc"), PARENTS, states, prior=prior)
    return task_of(model, positions=[0, 3, 5])


def batch(rows: Any, positions: tuple[int, ...] = (0, 3, 5)) -> Data:
    arrays = {"rows": rows[None], "query": QUERY[None], "target": np.arange(3)}
    return Data(arrays, np.array(positions), np.arange(1), frozenset({"target"}))


def urn(rows: Any, states: int, concentration: float) -> float:
    """Probability of complete rows: Polya urns drawn from one after another."""
    seen: dict[tuple[Any, ...], list[float]] = {}
    probability = 1.0
    for row in rows:
        for node, parents in enumerate(((), (0,), (0, 1))):
            key = (node, *(row[p] for p in parents))
            counts = seen.setdefault(key, [concentration] * states)
            probability *= counts[row[node]] / sum(counts)
            counts[row[node]] += 1
    return probability


@pytest.mark.parametrize("states", [2, 3])
def test_completions_agree_with_urns_and_brute_force(states: int) -> None:
    """P(next cell | observed) as a quotient of two sums over everything that is not seen."""
    concentration = 0.7
    rows = ROWS if states == 2 else np.where(ROWS == 0, 2, ROWS)
    rows = rows[:4] if states == 3 else rows
    task = network(Dirichlet(concentration), states)
    branch = RowCompletions()(task, batch(rows, (len(rows),)), seed=0)
    places = np.argwhere(rows < 0)
    for target in range(3):
        totals = np.zeros(states)
        unknown = range(target, 3)  # of the new row
        for filling in product(range(states), repeat=len(places)):
            complete = rows.copy()
            complete[places[:, 0], places[:, 1]] = filling
            for rest in product(range(states), repeat=len(unknown)):
                new = QUERY[target].copy()
                new[target:] = rest
                totals[rest[0]] += urn([*complete, new], states, concentration)
        wanted = totals / totals.sum()
        np.testing.assert_allclose(
            branch.predictive.variables()["probs"][0, 0, target], wanted, rtol=1e-12
        )
    assert branch.certificate.error_bound < 1e-9


@pytest.mark.parametrize("prior", [Dirichlet(1.0), UniformInterval(0.1, 0.9)])
def test_whole_rows_are_what_counting_says(prior: Any) -> None:
    task, whole = network(prior), batch(np.maximum(ROWS, 0))
    ours, counted = (engine(task, whole, seed=0) for engine in (RowCompletions(), Conjugate()))
    for name in ("probs",):
        one, other = (b.predictive.variables()[name] for b in (ours, counted))
        np.testing.assert_allclose(one, other, rtol=1e-12)
    for moment in ("mean", "sd"):
        one, other = (b.posterior["theta"][moment] for b in (ours, counted))
        np.testing.assert_allclose(one, other, rtol=1e-9)


def test_too_many_completions_are_refused_with_the_bound() -> None:
    with pytest.raises(
        ReferenceRefused, match=r"4 missing cells, and 16 completions are more than 8"
    ):
        RowCompletions(largest=8)(network(Dirichlet(1.0)), batch(ROWS), seed=0)
    with pytest.raises(InputError, match="codes from 0"):
        Conjugate()(network(Dirichlet(1.0)), batch(ROWS), seed=0)


@pytest.mark.study
def test_completions_agree_with_hamiltonian_monte_carlo() -> None:
    """A program that sums each row's missing cells under theta, sampled by NUTS; |z| <= 4."""
    import jax
    import jax.numpy as jnp
    import numpyro
    from numpyro import distributions as dist
    from numpyro.infer import MCMC, NUTS

    complete = []
    for row in ROWS:
        options = [range(2) if cell < 0 else (int(cell),) for cell in row]
        complete.append(list(product(*options)))

    def program() -> None:
        theta = numpyro.sample("theta", dist.Dirichlet(jnp.ones((7, 2))).to_event(1))
        for filled in complete:
            terms = []
            for a, b, c in filled:
                terms.append(theta[0, a] * theta[1 + a, b] * theta[3 + 2 * a + b, c])
            numpyro.factor(f"row {len(terms)} {id(filled)}", jnp.log(sum(terms)))

    sampler = MCMC(
        NUTS(program), num_warmup=500, num_samples=4000, num_chains=1, progress_bar=False
    )
    with jax.numpy_rank_promotion("allow"):
        sampler.run(jax.random.key(0))
    draws = np.asarray(sampler.get_samples()["theta"], dtype=np.float64)
    exact = RowCompletions()(network(Dirichlet(1.0)), batch(ROWS, (5,)), seed=0).posterior["theta"]
    blocks = draws.reshape(40, 100, 7, 2).mean(1)
    error = blocks.std(0, ddof=1) / np.sqrt(40)
    z = (draws.mean(0) - exact["mean"][0, 0]) / error
    assert np.abs(z).max() < 4


def loaded(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def lines_of_code(name: str) -> int:
    return len(
        [line for line in (EXAMPLES / f"{name}.py").read_text().splitlines() if line.strip()]
    )


def test_the_example_of_missing_values_sums_over_them() -> None:
    reference = loaded("missing_values").main()
    table = reference.predictive().set_index("query")
    assert reference.entry["reference"]["engine"] == "row_completions"
    assert table.loc["rain", "probs.1"] > table.loc["dry day", "probs.1"]
    assert lines_of_code("missing_values") <= 30


def test_the_example_of_a_regression_agrees_with_the_textbook(tmp_path: Path) -> None:
    reference = loaded("own_regression").main()
    points = np.loadtxt(EXAMPLES / "own_data" / "regression.csv", delimiter=",", skiprows=1)
    x, y, asked = points[:, 0], points[:, 1], np.array([-1.5, -0.5, 0.0, 0.5, 1.5])

    def k(a: Any, b: Any) -> Any:
        return np.exp(-0.5 * ((a[:, None] - b[None]) / 0.8) ** 2)

    solved = np.linalg.solve(k(x, x) + 0.04 * np.eye(len(x)), k(x, asked))
    table = reference.predictive()
    np.testing.assert_allclose(table["mean"], y @ solved, atol=1e-9)
    variance = 1.04 - (k(x, asked) * solved).sum(0)
    np.testing.assert_allclose(table["sd"], np.sqrt(variance), atol=1e-9)
    assert len(reference.latents()) == len(x)
    assert reference.save(tmp_path / "a.nc").is_file()
    assert lines_of_code("own_regression") <= 30


@pytest.mark.study
def test_the_example_of_recorded_predictions_is_judged(tmp_path: Path) -> None:
    result = loaded("recorded_predictions").main(out=tmp_path / "predictions.csv")
    assert result.verdict == "different"  # it knows neither the prior nor the cue
    assert result.entry["contexts"]["datasets"] == 40


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["veribayes", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


def test_a_sequence_of_ones_own_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("y.csv").write_text("y\n0\n1\n1\n2\n0\n1\n")
    assert run(monkeypatch, "reference", "hmm-3x4", "--data", "y.csv", "--out", "a.nc") == 0
    said = capsys.readouterr().out
    assert "1 data set by forward_filter, trusted" in said
    assert "state[5]" in said
    Path("y.csv").write_text("y\n0\n9\n")
    assert run(monkeypatch, "reference", "hmm-3x4", "--data", "y.csv", "--out", "b.nc") == 2
    assert "column 'y' of row 2 of 'y.csv', got '9'" in capsys.readouterr().err
    assert not Path("b.nc").exists()
    words = ("reference", "hmm-3x4", "--data", "y.csv", "--datasets", "7", "--out", "b.nc")
    assert run(monkeypatch, *words) == 2


# -- saved things ----------------------------------------------------------------------------------


def chains(seed: int, shift: float = 0.0) -> Any:
    return np.random.default_rng(seed).normal(shift, 1.0, (4, 2000, 2))


def cmdstan(draws: Any, folder: Path, warmup: int = 0) -> Path:
    """Chains as CmdStan writes them."""
    folder.mkdir()
    for number, chain in enumerate(draws):
        lines = ["# model = a", f"# save_warmup = {int(warmup > 0)}", f"# num_warmup = {warmup}"]
        lines.append("lp__,divergent__,energy__,theta.1,theta.2")
        lines += ["0,0,1,99,99"] * warmup
        energies = np.random.default_rng(number).normal(size=len(chain)).tolist()
        for energy, (one, two) in zip(energies, chain.tolist(), strict=True):
            lines.append(f"-1,0,{energy!r},{one!r},{two!r}")
        (folder / f"chain-{number}.csv").write_text("\n".join([*lines, "# Elapsed"]) + "\n")
    return folder


def test_compare_reads_chains_of_cmdstan_npz_and_any_group(tmp_path: Path) -> None:
    import xarray as xr

    draws = chains(0)
    folder = cmdstan(draws, tmp_path / "chains", warmup=3)
    np.savez(tmp_path / "a.npz", theta=draws)
    variables = {"theta": (("chain", "draw", "place"), draws)}
    tree = xr.DataTree.from_dict({"/warm": xr.Dataset(variables), "/other": xr.Dataset(variables)})
    tree.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    for other in (tmp_path / "a.npz", sorted(folder.glob("*.csv"))):
        found = vb.compare(folder, other)
        assert found["verdict"] != "different"
        assert found["effects"][0]["estimate"] == 0
    found = vb.compare(tmp_path / "a.nc", tmp_path / "a.nc", group="other")
    assert found["verdict"] != "different"
    np.savez(tmp_path / "b.npz", theta=chains(1, shift=1.0))
    assert vb.compare(folder, tmp_path / "b.npz")["verdict"] == "different"
    with pytest.raises(InputError, match="the group 'none'"):
        vb.compare(tmp_path / "a.nc", tmp_path / "a.nc", group="none")
    (folder / "chain-1.csv").write_text("lp__,theta.1\n0,1\n")
    with pytest.raises(InputError, match=r"columns of 'chain-0.csv', got others in 'chain-1.csv'"):
        vb.compare(folder, folder)


def test_a_stored_run_opens_with_its_result(tmp_path: Path) -> None:
    task = replace(vb.task("context-switch"))
    options: dict[str, Any] = {"datasets": 30, "audit": 0, "tests": "none"}
    result = vb.verify(task, "switch_quadrature", out=tmp_path / "run", **options)
    opened = vb.open(tmp_path / "run")
    assert opened.entry == result.entry
    assert opened.table().equals(result.table())
    with pytest.raises(InputError, match="with runs"):
        vb.open(tmp_path / "run" / "nothing.nc")
