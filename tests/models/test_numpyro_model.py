"""Users' programs as models: what they observe, what can be drawn from them,
and what they get wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from numpyro import distributions as dist
from numpyro import handlers
from numpyro.contrib.control_flow import scan
from numpyro.infer.reparam import LocScaleReparam

from veribayes import api
from veribayes.candidates import queries_of
from veribayes.errors import InputError
from veribayes.models._arguments import parse_argument, read_arguments
from veribayes.models._callable import source_digest
from veribayes.models.numpyro_model import NumPyroModel

X = np.random.default_rng(0).standard_normal((10, 2))
Y = X[:, 0]


def optional(x: Any, sigma: float = 1.0, y: Any = None) -> None:
    a = numpyro.sample("a", dist.Normal(0, 1))
    b = numpyro.sample("b", dist.Normal(0, 1).expand([2]).to_event(1))
    numpyro.deterministic("sum", a + b)
    numpyro.deterministic("constant", jnp.ones(3))
    numpyro.sample("obs", dist.Normal(a + x @ b, sigma), obs=y)


def required(y: Any) -> None:
    m = numpyro.sample("m", dist.Normal(0, 1))
    with numpyro.plate("n", len(y)):
        numpyro.sample("yy", dist.Normal(m, 1), obs=jnp.asarray(y))


def by_position(x: Any, y: Any = None, /) -> None:
    m = numpyro.sample("m", dist.Normal(0, 1))
    numpyro.sample("y", dist.Normal(m * x, 1), obs=y)


def two_outcomes(n: int, heights: Any = None, counts: Any = None) -> None:
    rate = numpyro.sample("rate", dist.Gamma(2, 1))
    with numpyro.plate("people", n):
        numpyro.sample("counts", dist.Poisson(rate), obs=counts)
        numpyro.sample("heights", dist.LogNormal(jnp.log(rate), 0.1), obs=heights)


def nested(y: Any = None) -> None:
    mean = numpyro.sample("mean", dist.Normal(0, 1))
    with numpyro.plate("groups", 3, dim=-1):
        level = numpyro.sample("level", dist.Normal(mean, 1))
        with numpyro.plate("people", 4, dim=-2):
            numpyro.sample("y", dist.Normal(level, 1), obs=y)


def walk(y: Any = None) -> None:
    sd = numpyro.sample("sd", dist.HalfNormal(1))

    def step(before: Any, seen: Any) -> Any:
        now = numpyro.sample("state", dist.Normal(before, sd))
        numpyro.sample("y", dist.Normal(now, 0.5), obs=seen)
        return now, None

    scan(step, 0.0, y, length=6)


def factor_of_correlations(y: Any = None) -> None:
    root = numpyro.sample("root", dist.LKJCholesky(3, 2.0))
    with numpyro.plate("n", 5):
        numpyro.sample("y", dist.MultivariateNormal(jnp.zeros(3), scale_tril=root), obs=y)


def mixture(y: Any = None) -> None:
    w = numpyro.sample("w", dist.Dirichlet(jnp.ones(2)))
    with numpyro.plate("n", 8):
        c = numpyro.sample("c", dist.Categorical(w))
        numpyro.deterministic("mean", jnp.array([-1.0, 1.0])[c])
        numpyro.sample("y", dist.Normal(jnp.array([-1.0, 1.0])[c], 1.0), obs=y)


def many(y: Any = None) -> None:
    z = numpyro.sample("z", dist.Normal(0, 1).expand([2500]).to_event(1))
    numpyro.sample("y", dist.Normal(z, 1).to_event(1), obs=y)


def autoregression(y: Any) -> None:
    m = numpyro.sample("m", dist.Normal(0, 1))
    numpyro.sample("y", dist.Normal(m * jnp.concatenate([jnp.zeros(1), y[:-1]]), 1), obs=y)


def improper(y: Any) -> None:
    m = numpyro.sample("m", dist.ImproperUniform(dist.constraints.real, (), ()))
    numpyro.sample("y", dist.Normal(m, 1), obs=y)


def with_factor(y: Any) -> None:
    m = numpyro.sample("m", dist.Normal(0, 1))
    numpyro.factor("likelihood", -0.5 * ((jnp.asarray(y) - m) ** 2).sum())


def own_data() -> None:
    numpyro.sample("y", dist.Normal(numpyro.sample("m", dist.Normal(0, 1)), 1), obs=jnp.asarray(Y))


Case = tuple[
    Callable[..., Any], dict[str, Any], dict[str, str], tuple[str, ...], dict[str, tuple[int, ...]]
]
DRAWN: list[Any] = [
    (optional, {"x": X}, {"y": "obs"}, ("a", "b[0]", "b[1]", "sum[0]", "sum[1]"), {"y": (10,)}),
    (required, {"y": Y}, {"y": "yy"}, ("m",), {"y": (10,)}),
    (by_position, {"x": Y}, {"y": "y"}, ("m",), {"y": (10,)}),
    (
        two_outcomes,
        {"n": 4},
        {"heights": "heights", "counts": "counts"},
        ("rate",),
        {"heights": (4,), "counts": (4,)},
    ),
    (mixture, {}, {"y": "y"}, ("w[0]", "w[1]"), {"y": (8,)}),
    (nested, {}, {"y": "y"}, ("mean", "level[0]", "level[1]", "level[2]"), {"y": (4, 3)}),
    (walk, {}, {"y": "y"}, ("sd", *(f"state[{i}]" for i in range(6))), {"y": (6,)}),
    (
        factor_of_correlations,
        {},
        {"y": "y"},
        tuple(f"root[{i}]" for i in ("1,0", "1,1", "2,0", "2,1", "2,2")),
        {"y": (5, 3)},
    ),
    (many, {}, {"y": "y"}, tuple(f"z[{i}]" for i in range(2500)), {"y": (2500,)}),
]


DRAWN[3:4] = [pytest.param(*case, marks=pytest.mark.study) for case in DRAWN[3:4]]
DRAWN[4:] = [pytest.param(*case, marks=pytest.mark.study) for case in DRAWN[4:]]


@pytest.mark.parametrize(
    ("function", "data", "outcomes", "queries", "shapes"),
    DRAWN,
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_a_program_is_understood_and_drawn_from(
    function: Any,
    data: dict[str, Any],
    outcomes: dict[str, str],
    queries: tuple[str, ...],
    shapes: dict[str, tuple[int, ...]],
) -> None:
    """Constants, enumerated sites and what depends on them are no latents;
    outcomes are drawn by data set number.
    """
    model = NumPyroModel(function, data, simulated=True)
    assert (model.outcomes, model.queries) == (outcomes, queries)
    design = model.default_design()
    assert design.positions == (sum(int(np.prod(s)) for s in shapes.values()),)
    drawn = model.simulate(design, 0, "verify", np.arange(3))
    assert {n: v.shape[1:] for n, v in drawn.data.arrays.items() if n != "target"} == shapes
    assert drawn.outcome.shape == (3, 1, len(queries))
    others = np.array(
        [2] if function is required else [2, 0, 5]
    )  # of one size, one compilation serves both
    again = model.simulate(design, 0, "verify", others)
    for name in shapes:
        np.testing.assert_allclose(
            again.data.arrays[name][0], drawn.data.arrays[name][2], rtol=1e-12
        )
        assert not np.array_equal(drawn.data.arrays[name][0], drawn.data.arrays[name][1])


def test_what_is_enumerated_and_what_depends_on_it_is_no_latent() -> None:
    model = NumPyroModel(mixture, {})
    assert (model.outcomes, model.queries) == ({"y": "y"}, ("w[0]", "w[1]"))


def test_prior_draws_have_the_law_of_the_program() -> None:
    """y = a + x b + e with standard normal a, b: variance 1 + |x|^2 + sigma^2, and E[a y] = 1.
    Largest errors .07 and .03.
    """
    model = NumPyroModel(optional, {"x": X, "sigma": 0.5})
    drawn = model.simulate(model.default_design(), 0, "verify", np.arange(4000))
    y, a = drawn.data.arrays["y"], drawn.latents["a"]
    np.testing.assert_allclose(y.var(0) / (1.25 + (X**2).sum(1)), 1.0, atol=0.1)
    np.testing.assert_allclose((a[:, None] * y).mean(0), 1.0, atol=0.12)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (autoregression, "'y' also predicts itself"),
        (improper, "the prior of 'm' is improper"),
        (with_factor, "the factor 'likelihood' is no distribution"),
    ],
)
def test_no_prior_predictive_is_said_and_one_posterior_remains(function: Any, reason: str) -> None:
    model = NumPyroModel(function, {"y": Y})
    assert model.given
    assert model.simulate(model.default_design(), 0, "verify", np.array([0])).data.index.size == 1
    with pytest.raises(InputError, match=reason):
        NumPyroModel(function, {"y": Y}, simulated=True).simulate(
            model.default_design(), 0, "verify", np.arange(2)
        )


def test_some_of_the_outcomes_are_not_enough() -> None:
    with pytest.raises(InputError, match="all of the outcomes"):
        NumPyroModel(two_outcomes, {"n": 3, "counts": np.array([1, 2, 0])}).given  # noqa: B018


def test_data_inside_the_program_is_one_data_set() -> None:
    model = NumPyroModel(own_data)
    assert model.given
    assert model.outcomes == {}
    with pytest.raises(InputError, match="observes what is no argument"):
        NumPyroModel(own_data, simulated=True).simulate(
            model.default_design(), 0, "verify", np.arange(2)
        )


def one_site(y: Any = None) -> None:
    """Twenty numbers are as many observations, plate or not."""
    m = numpyro.sample("m", dist.Normal(0, 1))
    numpyro.sample("y", dist.Normal(m, 1), obs=y)


def sized_by_its_data(y: Any = None) -> None:
    m = numpyro.sample("m", dist.Normal(0, 1))
    with numpyro.plate("n", 5 if y is None else len(y)):
        numpyro.sample("y", dist.Normal(m, 1), obs=y)


def column(y: Any = None) -> None:
    m = numpyro.sample("m", dist.Normal(0, 1))
    numpyro.sample("y", dist.Normal(m * jnp.ones((10, 1)), 1), obs=y)


def twice(y: Any = None) -> None:
    m = numpyro.sample("m", dist.Normal(0, 1))
    numpyro.sample("first", dist.Normal(m, 1), obs=y)
    numpyro.sample("second", dist.Normal(m, 1), obs=y)


def tempered(y: Any = None) -> None:
    m = numpyro.sample("m", dist.Normal(0, 1))
    with handlers.scale(scale=2.0):
        numpyro.sample("y", dist.Normal(m, 1), obs=y)


def counts(target: Any = None) -> None:
    rate = numpyro.sample("rate", dist.Gamma(2, 1))
    numpyro.sample("target", dist.Poisson(rate), obs=target)


def slope(x: Any, y: Any = None) -> None:
    m = numpyro.sample("m", dist.Normal(0, 1))
    numpyro.sample("y", dist.Normal(m * x, 1), obs=y)


def centred(y: Any = None) -> None:
    with numpyro.plate("groups", 3):
        level = numpyro.sample("level", dist.Normal(0, 1))
    numpyro.sample("y", dist.Normal(level, 1), obs=y)


class Scaled:
    """A program as an object."""

    def __init__(self, sd: float) -> None:
        self.sd = sd

    def __call__(self, y: Any = None) -> None:
        m = numpyro.sample("m", dist.Normal(0, self.sd))
        numpyro.sample("y", dist.Normal(m, 1), obs=y)


SHAPES = [
    (one_site, (20,)),
    (one_site, ()),
    *(
        pytest.param(f, shape, marks=pytest.mark.study)
        for f, shape in ((one_site, (4, 5)), (sized_by_its_data, (7,)))
    ),
]


@pytest.mark.parametrize(
    ("function", "shape"), SHAPES, ids=lambda v: getattr(v, "__name__", str(v))
)
def test_a_drawn_data_set_has_the_shape_of_the_given_one(
    function: Any, shape: tuple[int, ...]
) -> None:
    """With n observations of sd 1 and a standard normal mean, the mean's posterior is normal: mean
    sum(y)/(n + 1), variance 1/(n + 1). So the error of that mean has this variance in drawn data
    sets: ratio 1, largest error over 20 seeds .11.
    """
    given = np.random.default_rng(1).standard_normal(shape)
    model = NumPyroModel(function, {"y": given if shape else 0.3}, simulated=True)
    drawn = model.simulate(model.default_design(), 0, "verify", np.arange(1500))
    y = drawn.data.arrays["y"]
    assert y.shape == (1500, *shape)
    n = max(given.size, 1)
    error = drawn.outcome[:, 0, 0] - y.reshape(1500, -1).sum(1) / (n + 1)
    assert abs(error.var() * (n + 1) - 1) < 0.15
    assert abs(np.corrcoef(error, y.reshape(1500, -1).mean(1))[0, 1]) < 0.1


NOT_DRAWN = [
    (column, "'y' is drawn in the shape \\(10, 1\\) and given in \\(10,\\)"),
    (twice, "several sites"),
    (tempered, "handlers.scale"),
    (handlers.seed(one_site, 0), "handlers.seed"),
    (handlers.condition(own_data, data={"m": 0.3}), "observes what is no argument"),
]


@pytest.mark.filterwarnings("ignore:each value of 'y':UserWarning")
@pytest.mark.parametrize(
    ("function", "reason"), NOT_DRAWN, ids=lambda v: getattr(v, "__name__", "")
)
def test_what_cannot_be_drawn_is_refused_with_its_reason(function: Any, reason: str) -> None:
    model = NumPyroModel(function, {} if "observes" in reason else {"y": Y}, simulated=True)
    with pytest.raises(InputError, match=reason):
        model.prior_draws(2)


def test_values_that_are_scored_more_than_once_are_said() -> None:
    with pytest.warns(UserWarning, match="scored 10 times"):
        assert NumPyroModel(column, {"y": Y}).outcomes == {"y": "y"}


def test_equal_numbers_are_told_apart_by_what_a_site_takes() -> None:
    assert NumPyroModel(slope, {"x": Y, "y": Y}).outcomes == {"y": "y"}


@pytest.mark.study
def test_an_outcome_may_be_called_like_the_queries() -> None:
    model = NumPyroModel(counts, {"target": np.array([1, 2, 0])}, simulated=True)
    drawn = model.simulate(model.default_design(), 0, "verify", np.arange(3)).data
    arguments, queries = model.inputs(drawn, 0)
    assert arguments["target"].shape == (3, 3)
    assert (
        queries_of(api.task(counts, data={"target": np.array([1, 2, 0])}), drawn)
        == len(queries)
        == 1
    )


WRAPPED = [
    (
        handlers.reparam(centred, config={"level": LocScaleReparam(0)}),
        {"y": np.array([1.0, 2.0, 3.0])},
        "centred",
    ),
    (partial(slope, x=Y), {"y": Y + 1}, "slope"),
    (partial(one_site, y=Y), {}, "one_site"),
    (Scaled(2.0), {"y": Y}, "Scaled"),
    (lambda y=None: one_site(y), {"y": Y}, "lambda"),
]


@pytest.mark.parametrize(
    ("function", "data", "name"), WRAPPED, ids=lambda v: v if isinstance(v, str) else ""
)
def test_wrapped_programs_are_programs(function: Any, data: dict[str, Any], name: str) -> None:
    """Handlers, partials, objects and lambdas; what a partial holds is given."""
    task = api.task(function, data=data)
    assert name in task.name
    assert task.model.given  # type: ignore[attr-defined]
    assert task.model.outcomes == {"y": "y"}  # type: ignore[attr-defined]


def test_wrappers_with_the_same_settings_are_the_same_program() -> None:
    """No address of an object in what identifies it, and every setting in it."""
    moved = [
        handlers.reparam(centred, config={"level": LocScaleReparam(c)}) for c in (0.0, 0.0, 0.5)
    ]
    made = [
        *moved,
        *(partial(slope, x=x) for x in (Y, Y.copy(), Y + 1)),
        *(Scaled(sd) for sd in (2.0, 2.0, 3.0)),
    ]
    digests = [source_digest(f) for f in made]
    assert digests[0] == digests[1] != digests[2]
    assert digests[3] == digests[4] != digests[5]
    assert digests[6] == digests[7] != digests[8]


def raises() -> None:
    raise RuntimeError("no such column")


def with_param(y: Any) -> None:
    m = numpyro.param("m", 0.0)
    numpyro.sample("y", dist.Normal(m, 1), obs=y)


def subsampled(y: Any) -> None:
    m = numpyro.sample("m", dist.Normal(0, 1))
    with numpyro.plate("n", 10, subsample_size=5) as chosen:
        numpyro.sample("y", dist.Normal(m, 1), obs=y[chosen])


def infinite(y: Any) -> None:
    k = numpyro.sample("k", dist.Poisson(3.0))
    numpyro.sample("y", dist.Normal(k, 1), obs=y)


def nothing_unknown(y: Any) -> None:
    numpyro.sample("y", dist.Normal(0, 1), obs=y)


def impossible(y: Any) -> None:
    numpyro.sample("m", dist.Normal(0, 1))
    numpyro.sample("y", dist.Uniform(5, 6), obs=jnp.asarray(y))


WRONG = [
    (optional, {"x": X, "sigmas": 1}, "did you mean 'sigma'"),
    (optional, {}, "x among the arguments of 'optional'"),
    (raises, {}, "no such column"),
    (with_param, {"y": Y}, "numpyro.param"),
    (subsampled, {"y": Y}, "every row"),
    (infinite, {"y": Y}, "finitely many values"),
    (nothing_unknown, {"y": Y}, "continuous latents"),
    (impossible, {"y": Y}, "initial parameters"),
    (slope, {"x": Y, "y": Y[:3]}, r"given: x \(10,\), y \(3,\)"),
    (slope, {"x": "0,5"}, "numbers for the argument 'x'"),
    (slope, {}, "--set data.x=VALUE"),
    (one_site, {"y": np.array([1.0, np.nan])}, r"the first at \[1\]"),
    (one_site, {"y": np.array([np.inf])}, "finite numbers"),
    (counts, {"target": np.array([1.5, 2.0])}, "whole numbers in the outcome 'target'"),
    (handlers.substitute(one_site, data={"m": 0.3}), {"y": Y}, "fixed by handlers.substitute"),
    (Scaled, {}, "a task, a model"),
]


@pytest.mark.filterwarnings("ignore:.*ut-of-support:UserWarning")  # NumPyro says so too
@pytest.mark.parametrize(
    ("function", "data", "text"), WRONG, ids=lambda v: getattr(v, "__name__", "")
)
def test_wrong_programs_and_data_are_refused_in_a_sentence(
    function: Any, data: dict[str, Any], text: str
) -> None:
    with pytest.raises(InputError, match=text):
        api.task(function, data=data).model.queries  # noqa: B018 - what an engine asks for first


def test_identity_is_source_and_data() -> None:
    hashes = {
        api.task(f, data=d).model_hash
        for f, d in ((required, {"y": Y}), (required, {"y": Y + 1}), (by_position, {"x": Y}))
    }
    assert len(hashes) == 3
    assert api.task(required, data={"y": Y.copy()}).model_hash in hashes


FILES = {
    "d.json": lambda p: p.write_text(json.dumps({"y": [1.5, 2.0], "n": 2, "k": [1, 2]})),
    "d.npz": lambda p: np.savez(p, y=[1.5, 2.0], n=2, k=[1, 2]),
    "d.csv": lambda p: p.write_text("y,k\n1.5,1\n2.0,2\n"),
}


@pytest.mark.parametrize("name", FILES)
def test_arguments_from_files(name: str, tmp_path: Path) -> None:
    FILES[name](tmp_path / name)
    found = read_arguments(tmp_path / name)
    np.testing.assert_array_equal(found["y"], [1.5, 2.0])
    assert found["k"].dtype == np.int64
    assert found.get("n", 2) == 2
    assert isinstance(found.get("n", 2), int)


BAD = {
    "d.pkl": b"",
    "d.json": b'{"y": [1, [2]]}',
    "e.json": b"[1]",
    "f.json": b'{"y": ["a"]}',
    "d.npz": b"PK",
    "d.csv": b"a,a\n1,2\n",
    "e.csv": b"a,b\n1\n",
    "f.csv": b"a\nx\n",
    "missing.npz": None,
    "g.csv": b"a,b\n",
    "h.csv": b"a\n1_000\n",
    "i.csv": b"a\n99999999999999999999\n",
    "j.csv": b"",
    "g.json": b'{"y": 1, "y": 2}',
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_of_arguments_are_refused(name: str, tmp_path: Path) -> None:
    content = BAD[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError):
        read_arguments(tmp_path / name)


def test_a_missing_file_is_called_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file 'gone\.json'"):
        read_arguments(tmp_path / "gone.json")


def test_numbers_of_every_origin(tmp_path: Path) -> None:
    """Byte orders, widths, and what spreadsheets write:
    spaces, missing values, whole numbers beyond 2^53.
    """
    np.savez(
        tmp_path / "d.npz",
        big=np.array([1.5, 2.0], dtype=">f8"),
        wide=np.array([1.0], dtype=np.longdouble),
        name="logit",
    )
    found = read_arguments(tmp_path / "d.npz")
    assert found["big"].dtype.isnative
    assert found["big"].tolist() == [1.5, 2.0]
    assert found["wide"].dtype == np.float64
    assert found["name"] == "logit"
    (tmp_path / "d.csv").write_text(
        "y, k,id\n1.5, 1,9007199254740993\nNA, 2,1\n", encoding="utf-8-sig"
    )
    table = read_arguments(tmp_path / "d.csv")
    np.testing.assert_array_equal(table["y"], [1.5, np.nan])
    assert table["k"].tolist() == [1, 2]
    assert table["id"].tolist() == [9007199254740993, 1]


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", y=np.array([object()], dtype=object))
    with pytest.raises(InputError, match="allow_pickle"):
        read_arguments(tmp_path / "d.npz")


def test_single_values_as_typed() -> None:
    assert [parse_argument(t) for t in ("3", "0.5", "[1, 2]", "true", "word")] == [
        3,
        0.5,
        [1, 2],
        True,
        "word",
    ]
