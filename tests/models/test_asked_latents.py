"""Which latents of a program are asked for, and that what is not asked for is said."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from numpyro import distributions as dist

import veribayes as vb
from veribayes.api import split_program
from veribayes.cli import terminal
from veribayes.errors import InputError
from veribayes.models.numpyro_model import NumPyroModel

N = 6


def spike_and_slab(n: int = N, y: Any = None) -> None:
    on = numpyro.sample("on", dist.Bernoulli(0.3))
    slab = numpyro.sample("slab", dist.Normal(0.0, 1.0))
    numpyro.deterministic("weight", on * slab)
    numpyro.deterministic("two", jnp.array(2.0))
    with numpyro.plate("pairs", n):
        numpyro.sample("y", dist.Normal(on * slab, 0.5), obs=y)


def bounded(n: int = N, y: Any = None) -> None:
    """A rate, skewed and positive, and what is derived from it."""
    rate = numpyro.sample("rate", dist.Gamma(2.0, 1.0))
    share = numpyro.sample("share", dist.Beta(1.0, 2.0))
    numpyro.deterministic("both", jnp.stack([rate * share, rate]))
    with numpyro.plate("counts", n):
        numpyro.sample("y", dist.Poisson(rate * share), obs=y)


def model(function: Any, **options: Any) -> NumPyroModel:
    found = vb.task(function, data={"n": N}, **options).model
    assert isinstance(found, NumPyroModel)
    return found


def test_what_is_not_asked_for_is_said_with_its_reason() -> None:
    """A spike-and-slab program is asked for its slab alone, and says so."""
    program = model(spike_and_slab)
    assert program.queries == ("slab",)
    assert program.unasked == {
        "on": "discrete, summed out",
        "weight": "derived from what is discrete and summed out",
        "two": "it never varies",
    }
    assert model(bounded).unasked == {}
    assert model(bounded).queries == ("rate", "share", "both[0]", "both[1]")


def test_chosen_latents_are_asked_for_in_their_order() -> None:
    program = model(bounded, ask=["both", "share"])
    assert program.queries == ("both[0]", "both[1]", "share")
    assert program.unasked == {"rate": "not among the latents that were chosen"}
    simulation = program.simulate(program.default_design(), 0, "verify", np.arange(3))
    rate, share = simulation.latents["rate"], simulation.latents["share"]
    wanted = np.stack([rate * share, rate, share], axis=-1)
    np.testing.assert_allclose(simulation.outcome[:, 0], wanted, rtol=1e-6)
    assert {latent.name for latent in program.latents} == {"rate", "share", "both"}


def test_a_choice_is_another_model_and_none_is_what_it_was() -> None:
    every, some = (vb.task(bounded, data={"n": N}, ask=ask) for ask in ((), ("rate",)))
    assert "ask" not in every.model.spec()
    assert some.model.spec()["ask"] == ["rate"]
    assert some.model_hash != every.model_hash


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (["on"], r"latents among slab in 'ask', got 'on' \(discrete, summed out\)"),
        (["weight"], "derived from what is discrete"),
        (["two"], "it never varies"),
        (["nothing"], "no such latent"),
        (["slab", "slab"], "different latents"),
        ("slab", "a list for 'ask'"),
        ([3], "text for 'ask'"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(ask: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        model(spike_and_slab, ask=ask).queries  # noqa: B018


def test_names_and_entries_on_the_command_line() -> None:
    for words, wanted in (
        ("both,share", ("both", "share")),
        ("[20, 21]", (20, 21)),
        ("x1", ("x1",)),
    ):
        of_task, others = split_program({"ask": words})
        assert of_task["ask"] == wanted
        assert others == {}


@pytest.mark.study
def test_a_run_prints_what_it_does_not_ask_for() -> None:
    def prior(context: Any, names: Any) -> Any:
        shape = (len(context["y"]), len(names))
        return {"mean": np.zeros(shape), "sd": np.ones(shape)}

    task = vb.task(spike_and_slab, data={"n": N})
    entry = vb.verify(task, prior, datasets=30, audit=0, tolerance=0.05).entry
    finding = next(each for each in entry["findings"] if each["name"] == "not_asked_for")
    assert set(finding["not_asked"]) == {"on", "weight", "two"}
    assert "on (discrete, summed out)" in terminal.table([entry])
