"""The probe of belief states: it finds a belief that is linear in the residual stream,
and none where there is none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from veribayes import registry
from veribayes.models import _spec
from veribayes.report import probe as page
from veribayes.run import probes
from veribayes.validation.probes import belief_state

TASK = "hmm-3x4"
needs_task = pytest.mark.skipif(TASK not in registry.names("task"), reason="a tree without it")


class Stream:
    """A candidate with two layers: one of noise,
    and one that holds a linear image of what `state` says.
    """

    def __init__(self, state: Any, width: int = 8) -> None:
        rng = np.random.default_rng(0)
        self.state, self.map = state, rng.standard_normal((state.shape[-1], width))
        self.noise = rng.standard_normal((*state.shape[:2], width))

    def __call__(self, context: Any, query: Any) -> Any:
        return {"probs": np.full((len(context), 1, 4), 0.25)}

    def residuals(self, context: Any, query: Any) -> list[Any]:
        return [self.noise, self.state @ self.map]


def asked(state_of: Any) -> Any:
    """What the probe finds; every prefix is asked for, so that layers have the axes (dataset,
    prefix, width).
    """
    task = _spec.load_task(TASK)
    data = task.simulate(range(40), seed=0, stream="replicate").data
    posterior = registry.engine("forward_filter")(task, data, seed=0).posterior
    beliefs = belief_state.beliefs_of(posterior)
    every = np.zeros((40, 33, 3))
    every[:, data.positions] = state_of(beliefs)
    return belief_state.PART.ask(probes.subject(task, Stream(every), data))


@needs_task
def test_a_linear_image_of_the_belief_is_read_off() -> None:
    found = asked(lambda beliefs: beliefs)
    noise, image = found["layers"]
    assert image["unexplained"]["estimate"] < 1e-3
    assert noise["unexplained"]["estimate"] > 0.9
    for layer in (noise, image):
        assert layer["shuffled"]["estimate"] > 0.9


@needs_task
def test_half_a_belief_is_not_the_whole() -> None:
    """What knows the first state's probability alone leaves some of the variance and not all of
    it.
    """
    found = asked(lambda beliefs: beliefs[..., :1] * np.array([1.0, 0.0, 0.0]))
    assert 0.05 < found["layers"][1]["unexplained"]["estimate"] < 0.7


@needs_task
def test_the_table_is_drawn() -> None:
    found = asked(lambda beliefs: beliefs)
    part = belief_state.PART
    assert part.rows is not None
    entry = {"shown": [{"label": part.label, "about": part.about, "rows": part.rows(found)}]}
    (shown,) = page.further(entry)
    assert [row[0] for row in shown["rows"]] == ["read behind", "tokens", "layer 1"]
    assert "[" in shown["rows"][1][1]  # an interval


def test_the_belief_is_about_the_last_place_that_is_known() -> None:
    probs = np.full((1, 2, 3, 2), np.nan)
    probs[0, 0, 0], probs[0, 1, :2] = [0.9, 0.1], [[0.3, 0.7], [0.2, 0.8]]
    beliefs = belief_state.beliefs_of({"state": {"probs": probs}, "other": {"mean": probs}})
    np.testing.assert_array_equal(beliefs, [[[0.9, 0.1], [0.2, 0.8]]])
    assert belief_state.beliefs_of({"other": {"mean": probs}}) is None


@needs_task
def test_it_is_not_asked_where_there_is_nothing_to_read() -> None:
    task = _spec.load_task(TASK)
    data = task.simulate(range(8), seed=0).data
    assert belief_state.PART.ask(probes.subject(task, lambda c, q: None, data)) is None


@needs_task
def test_a_network_shows_its_residual_stream() -> None:
    """As tokens and behind each layer, and the last one is what the head reads."""
    import torch

    from veribayes.transformer._candidates import network_candidate

    folder = registry.checkpoint_path(TASK)
    assert folder is not None
    task = _spec.load_task(TASK)
    candidate = network_candidate(folder, task)
    context, query = task.model.inputs(task.simulate(range(3), seed=0).data, 3)
    streams = candidate.residuals(context, query)
    assert [stream.shape for stream in streams] == [(3, 9, 64)] * 4
    network: Any = candidate.network
    with torch.inference_mode():
        outputs = network.head(network.norm(torch.tensor(streams[-1], dtype=torch.float32)))
        said = network(*candidate.tokens.arrays(context, query))
    np.testing.assert_allclose(outputs, said, atol=1e-5)
