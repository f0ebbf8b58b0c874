"""A program whose next outcome is predicted:
what is learnt from it, what is refused, what a candidate sees.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from examples.programs import dirichlet_chain, linear_regression, urn
from numpyro import distributions as dist
from numpyro.contrib.control_flow import scan

import veribayes as vb
from veribayes.errors import InputError, ModelError, VeribayesError
from veribayes.models import _spec
from veribayes.models._task import Task

EXAMPLES = Path(__file__).parents[2] / "examples" / "programs"


def looks_ahead(y: Any = None) -> None:
    scale = numpyro.sample("scale", dist.LogNormal(0.0, 1.0))
    with numpyro.plate("entries", 6):
        noise = numpyro.sample("noise", dist.Normal(0.0, 1.0), obs=None)
        numpyro.sample("y", dist.Normal(scale * noise, 1.0), obs=y)


def looks_at_all_inputs(x: Any = None, y: Any = None) -> None:
    w = numpyro.sample("w", dist.Normal(0.0, 1.0))
    with numpyro.plate("entries", 6):
        x = numpyro.sample("x", dist.Normal(0.0, 1.0), obs=x)
        numpyro.sample("y", dist.Normal(w * (x - x.mean()), 1.0), obs=y)


def table(y: Any = None) -> None:
    m = numpyro.sample("m", dist.Normal(0.0, 1.0))
    with numpyro.plate("columns", 3), numpyro.plate("rows", 4):
        numpyro.sample("y", dist.Normal(m, 1.0), obs=y)


def one_number(y: Any = None) -> None:
    numpyro.sample("y", dist.Normal(numpyro.sample("m", dist.Normal(0.0, 1.0)), 1.0), obs=y)


def skewed(y: Any = None) -> None:
    m = numpyro.sample("m", dist.Normal(0.0, 1.0))
    with numpyro.plate("entries", 4):
        numpyro.sample("y", dist.LogNormal(m, 1.0), obs=y)


def with_factor(y: Any = None) -> None:
    m = numpyro.sample("m", dist.Normal(0.0, 1.0))
    numpyro.factor("twice", -m * m)
    with numpyro.plate("entries", 4):
        numpyro.sample("y", dist.Normal(m, 1.0), obs=y)


def many_switches(y: Any = None) -> None:
    with numpyro.plate("switches", 20):
        on = numpyro.sample("on", dist.Bernoulli(0.5))
    with numpyro.plate("entries", 4):
        numpyro.sample("y", dist.Normal(on.sum(), 1.0), obs=y)


def always_observed() -> None:
    m = numpyro.sample("m", dist.Normal(0.0, 1.0))
    with numpyro.plate("entries", 4):
        numpyro.sample("y", dist.Normal(m, 1.0), obs=jnp.ones(4))


def two_classes(x: Any = None, y: Any = None) -> None:
    """The input is drawn from its outcome, whose own law then says nothing of it."""
    centre = numpyro.sample("centre", dist.Normal(0.0, 2.0).expand([2]).to_event(1))
    with numpyro.plate("entries", 6):
        y = numpyro.sample("y", dist.Bernoulli(0.5), obs=y)
        numpyro.sample("x", dist.Normal(centre[y], 1.0), obs=x)


def telling(x: Any = None, y: Any = None) -> None:
    """The input tells of the latent, so that it is a part of what is seen."""
    centre = numpyro.sample("centre", dist.Normal(0.0, 2.0))
    with numpyro.plate("entries", 6):
        x = numpyro.sample("x", dist.Normal(centre, 1.0), obs=x)
        numpyro.sample("y", dist.Normal(centre + x, 1.0), obs=y)


def counted(y: Any = None) -> None:
    rate = numpyro.sample("rate", dist.Gamma(2.0, 1.0))
    with numpyro.plate("entries", 6):
        numpyro.sample("y", dist.Poisson(rate), obs=y)


def walk(y: Any = None) -> None:
    drift = numpyro.sample("drift", dist.Normal(0.0, 1.0))

    def step(last: Any, now: Any) -> tuple[Any, Any]:
        place = numpyro.sample("y", dist.Normal(last + drift, 1.0), obs=now)
        return place, place

    scan(step, 0.0, y, length=6)


STUDY = partial(pytest.param, marks=pytest.mark.study)


@pytest.mark.parametrize(
    ("program", "options", "words"),
    [
        (urn.program, {"predict": "z"}, "a sampled site 'z' .* it samples share, y"),
        (urn.program, {"axis": 1}, "an axis of 'y', whose values have the shape .33,., got axis 1"),
        (urn.program, {"positions": [0, 40]}, "positions below 33.*position t asks about entry t"),
        (urn.program, {"ask": [3], "positions": [4]}, "positions up to 3, the first entry that is"),
        (urn.program, {"ask": [50]}, "queries among the 33 entries of 'y', got entry 50"),
        (urn.program, {"inputs": ["x"]}, "a sampled site 'x'"),
        (urn.program, {"inputs": ["share"]}, "33 entries of the input 'share' on its first axis"),
        (urn.program, {"positions": range(14)}, "at most 12 positions .* 'budget: 14' allows them"),
        STUDY(table, {}, "one number an entry in 'y' along axis 0, got the shape .4, 3."),
        (one_number, {}, "a site of one number has no entries: put it in a plate"),
        STUDY(skewed, {}, "'y' that is discrete or normal, got LogNormal; take logarithms"),
        STUDY(with_factor, {}, "the factor 'twice'"),
        (many_switches, {}, "1048576 with 'on', 2 values at each of 20 places on the axes .20,."),
        (always_observed, {}, "drawn without data, got one that observes; .*needs 'y=None'"),
        STUDY(looks_at_all_inputs, {}, "'y' that depend on no later ones"),
        STUDY(walk, {"ask": [5], "positions": [2]}, "laws that depend on entries in between"),
        STUDY(two_classes, {}, "'y' that depend on no later ones.*an input drawn from its outcome"),
        STUDY(telling, {"ask": [4, 5]}, "one query a position where inputs tell something"),
    ],
)
def test_what_cannot_be_predicted_is_said(
    program: Callable[..., None], options: dict[str, Any], words: str
) -> None:
    def described() -> str:
        task = vb.task(program, **{"predict": "y", **options})
        task.simulate(range(2), seed=0)
        return task.model.layout.order

    with pytest.raises(VeribayesError, match=words):
        described()


def test_predict_is_for_programs() -> None:
    with pytest.raises(InputError, match="a NumPyro program for 'predict'"):
        vb.task("gp-rbf-1d", predict="y")
    with pytest.raises(InputError, match="the name of a site in 'predict'"):
        vb.task(urn.program, axis=1)


def test_a_candidate_sees_prefix_next_input_and_position() -> None:
    task = vb.task(linear_regression.program, predict="y", positions=[0, 2, 5], data={"n": 6})
    simulation = task.simulate(range(3), seed=0)
    x, y = simulation.data.arrays["x"], simulation.data.arrays["y"]
    context, query = task.model.inputs(simulation.data, 1)
    np.testing.assert_array_equal(context.x, x[:, :2])
    np.testing.assert_array_equal(context.y, y[:, :2])
    assert context.position == 2
    np.testing.assert_array_equal(query.x, x[:, 2:3])
    np.testing.assert_array_equal(query.entry, [2])
    np.testing.assert_array_equal(simulation.outcome[:, :, 0], y[:, [0, 2, 5]])
    again = task.simulate(range(2, 3), seed=0)
    np.testing.assert_array_equal(again.data.arrays["x"][0], x[2])


@pytest.mark.study
def test_arrays_are_inputs_and_named_entries_are_queries() -> None:
    x = np.linspace(-1.0, 1.0, 6)

    def line(x: Any, y: Any = None) -> None:
        w = numpyro.sample("w", dist.Normal(0.0, 1.0))
        with numpyro.plate("entries", len(x)):
            numpyro.sample("y", dist.Normal(w * x, 0.5), obs=y)

    task = vb.task(line, predict="y", positions=[0, 3], data={"x": x}, ask=[4, 5])
    simulation = task.simulate(range(2), seed=0)
    context, query = task.model.inputs(simulation.data, 1)
    np.testing.assert_array_equal(context.x, np.stack([x[:3]] * 2))
    np.testing.assert_array_equal(query.x, np.stack([x[4:]] * 2))
    assert simulation.outcome.shape == (2, 2, 2)


@pytest.mark.study
def test_what_is_not_seen_reaches_no_engine() -> None:
    """Entries behind the prefix are those of no data set:
    changing them changes nothing that an engine gets.
    """
    task = vb.task(linear_regression.program, predict="y", positions=[2], data={"n": 6})
    data = task.simulate(range(3), seed=0).data
    given = task.model.program_data(data, 0)
    arrays = {name: values.copy() for name, values in data.arrays.items()}
    arrays["y"][:, 2:] = 99.0
    arrays["x"][:, 3:] = 99.0
    other = replace(data, arrays=arrays)
    for name, values in task.model.program_data(other, 0).items():
        np.testing.assert_array_equal(values, given[name])
        assert not (values == 99.0).any()


@pytest.mark.study
def test_how_entries_follow_each_other_is_found_out() -> None:
    orders = {}
    for program in (urn.program, dirichlet_chain.program, linear_regression.program, walk):
        orders[program] = vb.task(program, predict="y").model.layout.order
    assert list(orders.values()) == ["set", "sequence", "slots", "sequence"]
    queried = vb.task(linear_regression.program, predict="y", ask=[16]).model.layout
    assert queried.order == "set"
    assert queried.names("query") == ("x asked", "entry")


@pytest.mark.study
def test_inputs_that_tell_something_are_seen() -> None:
    assert vb.task(telling, predict="y").model.joint.informative == {"x"}
    assert vb.task(linear_regression.program, predict="y").model.joint.informative == set()


@pytest.mark.study
def test_counts_have_a_last_cell_for_the_rest() -> None:
    """P(y > 14) is 4e-4 under a negative binomial with these moments; the cell holds it."""
    task = vb.task(counted, predict="y", positions=[0, 3])
    cells = task.model.n_categories
    assert cells is not None
    assert 8 < cells < 30
    prior = task.model.prior_predictive(task.simulate(range(2), seed=0).data)
    np.testing.assert_allclose(prior.probs.sum(-1), 1.0, rtol=1e-12)
    assert 0 < prior.probs[0, 0, 0, -1] < 0.01


def test_a_task_file_names_its_program(tmp_path: Path) -> None:
    task = _spec.load_task(EXAMPLES / "urn.yaml")
    assert isinstance(task, Task)
    assert task.model.spec()["program"] == "examples.programs.urn:program"
    _spec.write_yaml(task, tmp_path / "again.yaml")
    assert _spec.load_task(tmp_path / "again.yaml").hash == task.hash
    text = (tmp_path / "again.yaml").read_text().replace(task.model.spec()["source"], "0" * 64)
    (tmp_path / "other.yaml").write_text(text)
    with pytest.raises(ModelError, match=r"the program .* as it was, got another source"):
        _spec.load_task(tmp_path / "other.yaml")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"program": "examples.programs.urn"}, "a program package.module:function"),
        ({"program": "examples.programs.urn:nothing"}, "'nothing' in the module"),
        ({"program": "no_such_module_at_all:program"}, "an importable module"),
        ({"program": "math:pi"}, "a program 'math:pi', got float"),
        ({"predicts": "y"}, "known keys"),
        ({"data": {"b": 1}}, "known keys in the arguments"),
    ],
)
def test_a_task_file_that_names_none_is_refused(changes: dict[str, Any], words: str) -> None:
    model = {"kind": "numpyro", "program": "examples.programs.urn:program", "predict": "y"}
    with pytest.raises(VeribayesError, match=words):
        _spec.task_from_dict({"name": "mine", "model": {**model, **changes}})


def test_the_wrong_prior_is_another_argument() -> None:
    task = _spec.load_task(EXAMPLES / "urn.yaml")
    assert task.model.altered({"data": {"a": 10.0}}).data == {"a": 10.0}
    with pytest.raises(InputError, match="known keys in changes of a program"):
        task.model.altered({"prior": 1})
