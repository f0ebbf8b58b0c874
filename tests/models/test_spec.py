"""Tasks and models from files: round trips, frozen hashes, and what must be refused in one line."""

from __future__ import annotations

import doctest
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from veribayes import models, registry
from veribayes.errors import InputError, ModelError
from veribayes.models import _spec
from veribayes.models._priors import Dirichlet, UniformInterval
from veribayes.models._spec import (
    load_model_file,
    load_task,
    model_from_spec,
    read_yaml,
    replaced,
    task_from_dict,
    task_of,
    write_yaml,
)
from veribayes.models._task import Design, Model, Task, Tolerance
from veribayes.models.bayesian_network import BayesianNetwork
from veribayes.models.gaussian_process import GaussianProcess
from veribayes.models.gaussian_process._hyper import Grid
from veribayes.models.gaussian_process._kernels import RBF, Linear
from veribayes.models.mtd import MTD
from veribayes.models.readers.bif import read_bif

ASIA = """network asia { } variable a { type discrete [ 2 ] { yes, no }; }
probability ( a ) { table 0.2, 0.8; }"""
MODELS: list[Model] = [
    BayesianNetwork(["a", "b"], {"b": ["a"]}, prior=Dirichlet(0.5)),
    BayesianNetwork(["a"], {}, cpts=[[1 / 3, 2 / 3]]),
    MTD(3, 2, matrix_seed=4),
    MTD(2, 1, matrix=[[1 / 3, 2 / 3], [1e-5, 1 - 1e-5]]),
    GaussianProcess(RBF(1.0, 0.8), 0.2),
    GaussianProcess(Linear(2.0), Grid((0.1, 0.2)), 3, "uniform"),
]


def test_asia_is_the_published_graph() -> None:
    spec = find_spec("pgmpy")
    assert spec is not None
    assert spec.origin is not None
    published = read_bif(Path(spec.origin).parent / "utils" / "example_models" / "asia.bif.gz")
    ours = load_task("bn-asia").model
    assert isinstance(ours, BayesianNetwork)
    assert (ours.nodes, ours.parents, ours.states) == (
        published.nodes,
        published.parents,
        published.states,
    )


@pytest.mark.parametrize("model", MODELS)
def test_tasks_round_trip_through_yaml(model: Model, tmp_path: Path) -> None:
    task = task_of(
        model,
        name="mine",
        queries=2,
        tolerance=Tolerance(1e-3, 2e-5),
        training={"steps": 5, "lr": 3e-4},
    )
    write_yaml(task, tmp_path / "mine.yaml")
    again = load_task(tmp_path / "mine.yaml")
    assert again == task
    assert (again.hash, again.model_hash) == (task.hash, task.model_hash)
    assert load_model_file(tmp_path / "mine.yaml") == model
    assert [p.name for p in tmp_path.iterdir()] == ["mine.yaml"]


def test_defaults_of_each_family() -> None:
    engines = {
        (type(m).__name__, t.reference, t.second_route) for m in MODELS for t in [task_of(m)]
    }
    assert engines == {
        ("BayesianNetwork", "conjugate", "row_quadrature"),
        ("BayesianNetwork", "junction_tree", "elimination"),
        ("MTD", "simplex_quadrature", "lag_counts"),
        ("GaussianProcess", "cholesky", "sequential"),
    }
    for model in MODELS:
        task = task_of(model)
        assert not task.wrong_prior or replaced(model, task.wrong_prior) != model


def test_model_files_become_tasks(tmp_path: Path) -> None:
    (tmp_path / "Étude 1.bif").write_text(ASIA)
    task = load_task(tmp_path / "Étude 1.bif")
    assert task.name == "tude-1"
    assert task.reference == "junction_tree"
    (tmp_path / "m.yaml").write_text("{kind: mtd, q: 3, m: 2, matrix_seed: 0, concentration: 1e-1}")
    assert load_task(tmp_path / "m.yaml").model == MTD(3, 2, 0.1, 0)


def test_words_of_yaml_stay_words(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("""
kind: bayesian_network
nodes: [no, off, 3]
parents: {off: [no]}
states: {no: [yes, no], off: [on, off], 3: [1, 2]}
prior: {kind: uniform, low: 1e-3, high: .9}
""")
    model = load_model_file(tmp_path / "m.yaml")
    assert isinstance(model, BayesianNetwork)
    assert model.nodes == ("no", "off", "3")
    assert model.states == (("yes", "no"), ("on", "off"), ("1", "2"))
    assert model.prior == UniformInterval(0.001, 0.9)


TASK: dict[str, Any] = {"name": "t", "model": {"kind": "mtd", "q": 3, "m": 2, "matrix_seed": 0}}
REFUSED: list[tuple[Any, str]] = [
    (None, "a mapping for a task"),
    ([1], "a mapping for a task"),
    ({"model": TASK["model"]}, "the key 'name' in a task"),
    ({**TASK, "refernce": "x"}, "did you mean 'reference'"),
    ({**TASK, "name": "../up"}, "a task name"),
    ({**TASK, "name": 3}, "text for 'name'"),
    ({**TASK, "name": "x" * 65}, "a task name"),
    ({**TASK, "model": {"kind": "horoscope"}}, "kind of the model"),
    ({**TASK, "model": {"q": 3}}, "kind of the model"),
    ({**TASK, "model": {"kind": "mtd", "q": 3, "m": 2, "seed": 0}}, "known keys"),
    ({**TASK, "design": {"positions": [4, 4]}}, "increasing positions"),
    ({**TASK, "design": {"positions": []}}, "at least one"),
    ({**TASK, "design": {"positions": [4.5]}}, "an integer 'positions'"),
    ({**TASK, "design": {"positions": 4}}, "a list"),
    ({**TASK, "design": {"positions": [-1, 4]}}, "'positions' between 0"),
    ({**TASK, "design": {"queries": 0}}, "'queries' between"),
    ({**TASK, "design": {"batch": 1}}, "known keys"),
    ({**TASK, "design": {"positions": list(range(4, 17))}}, "at most 12 positions"),
    ({**TASK, "design": {"shard": True}}, "an integer 'shard'"),
    ({**TASK, "tolerance": {"kl": 1e-3}}, "the key 'draws'"),
    ({**TASK, "tolerance": {"kl": 0, "draws": 1}}, "'kl' above 0"),
    ({**TASK, "rivals": "mle"}, "a list for 'rivals'"),
    ({**TASK, "rivals": [1]}, "text for 'rivals'"),
    ({**TASK, "wrong_prior": {"alpha": 2}}, "known keys in wrong_prior"),
    ({**TASK, "wrong_prior": {"concentration": -2}}, "'concentration' above 0"),
    ({**TASK, "training": 3}, "'training'"),
    ({**TASK, "reference": None}, "text for 'reference'"),
]


@pytest.mark.parametrize(("spec", "message"), REFUSED)
def test_what_is_no_task_is_refused_in_one_line(spec: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        task_from_dict(spec)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1, 2", "valid YAML in x.yaml"),
        ("a: 1\na: 2", "the key 'a' occurs 2 times"),
        ("a: &x [1]\nb: *x", "aliases are refused"),
        ("!!python/object/apply:os.system ['true']", "valid YAML"),
        ("[" * 100_000, "reasonable depth"),
        ("\x00", "valid YAML"),
        ("", "kind of the model"),
        ("model: 3", "the key 'name'"),
        ("just words", "kind of the model"),
    ],
)
def test_what_is_no_yaml_is_refused_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ModelError, match=message) as caught:
        load_task(tmp_path / "x.yaml")
    assert "\n" not in str(caught.value)


def test_files_that_are_not_there_or_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        InputError, match="a shipped task or a file, got 'bn-asiaa'; shipped tasks: bn-asia"
    ):
        load_task("bn-asiaa")
    with pytest.raises(InputError, match="a readable file"):
        read_yaml(tmp_path)
    (tmp_path / "x.txt").write_text("")
    with pytest.raises(InputError, match=r"a model file \.bif, \.net"):
        load_task(tmp_path / "x.txt")
    (tmp_path / "x.yaml").write_text("a: 1" + " " * 100)
    monkeypatch.setattr(_spec, "MAX_YAML_BYTES", 50)
    with pytest.raises(ModelError, match="got more"):
        read_yaml(tmp_path / "x.yaml")


def test_specifications_of_unknown_things() -> None:
    with pytest.raises(ModelError, match="kind of the model"):
        model_from_spec("mtd")
    with pytest.raises(InputError, match="known keys in task_of"):
        task_of(MODELS[2], querys=3)
    with pytest.raises(InputError, match="at most 12"):
        Task("t", MODELS[2], Design(tuple(range(4, 20))), "a", "b")


def test_reading_a_task_needs_no_heavy_library() -> None:
    heavy = ("jax", "numpyro", "torch", "xarray", "pgmpy", "matplotlib", "pydantic")
    code = f"""import sys
from veribayes.models._spec import load_task
load_task("bn-asia").hash
print([m for m in {heavy} if m in sys.modules])"""
    path = str(registry.HERE.parent)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": path},
    )
    assert done.stdout.strip() == "[]"


def test_the_public_surface() -> None:
    offered = set(dir(models))
    assert {
        "Design",
        "Task",
        "BayesianNetwork",
        "Dirichlet",
        "GaussianProcess",
        "RBF",
        "MTD",
        "NumPyroModel",
    } <= offered
    assert all(getattr(models, name) is not None for name in offered)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = models.Nothing
    assert models.MTD(q=5, m=3) == MTD(5, 3, matrix_seed=0)
    assert doctest.testmod(models).failed == 0
