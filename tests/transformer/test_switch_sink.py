"""The head that theory writes down for a context switch: exact for every model, by its sink."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import veribayes as vb
from veribayes import registry
from veribayes.errors import InputError
from veribayes.models import _spec
from veribayes.models.context_switch import ContextSwitch
from veribayes.transformer.constructions import switch_sink


@pytest.mark.parametrize("cue", ["observed", "hidden"])
@pytest.mark.parametrize(("prior", "noise"), [(4.0, 1.0), (0.5, 3.0)])
def test_it_is_exact_bayes(cue: str, prior: float, noise: float) -> None:
    """Against both engines; the mass is the share of the prior's variance that is left."""
    model = ContextSwitch(prior, noise, 0.3, cue)
    task = _spec.task_of(model, name="switch", positions=(1, 7, 32))
    data = task.simulate(range(20), seed=1).data
    written = switch_sink.PART()(task)
    exact = registry.engine("switch_conjugate")(task, data, seed=0)
    other = registry.engine("switch_quadrature")(task, data, seed=0).predictive
    for k, n in enumerate((1, 7, 32)):
        context, query = model.inputs(data, k)
        said = written(context, query)
        for name, values in exact.predictive[:, k].variables().items():
            np.testing.assert_allclose(said[name], values, rtol=0, atol=1e-13)  # 4e-15
        # the first two moments, by the trapezoidal rule over the mean
        moments = said if "weights" not in said else _moments(said)
        by_rule = _moments(other[:, k].variables())
        np.testing.assert_allclose(moments["mean"], by_rule["mean"], atol=1e-11)
        np.testing.assert_allclose(moments["sd"], by_rule["sd"], atol=1e-11)
        (weights,), leading = written.attention(context, query)
        kept = weights[:, 0, :, :leading].sum(-1)
        share = exact.posterior["mu"]["sd"][:, k] ** 2 / prior
        wanted = share[:, None] if query is None else np.where(query == 1, share[:, None], 1.0)
        np.testing.assert_allclose(kept, wanted, rtol=1e-12)
        assert wanted.min() == pytest.approx((noise / prior) / (n + noise / prior))
    nothing = written(np.zeros((2, 0)), None if cue == "hidden" else np.ones((2, 1)))
    np.testing.assert_allclose(nothing["sd"], (prior + noise) ** 0.5, rtol=1e-15)


def _moments(law: Any) -> dict[str, Any]:
    """Mean and sd of a mixture; of a normal its own."""
    if "weights" not in law:
        return {"mean": law["mean"], "sd": law["sd"]}
    mean = (law["weights"] * law["mean"]).sum(-1)
    square = (law["weights"] * (law["sd"] ** 2 + law["mean"] ** 2)).sum(-1)
    return {"mean": mean, "sd": np.sqrt(square - mean**2)}


@pytest.mark.study
@pytest.mark.parametrize("name", ["context-switch", "context-switch-hidden"])
def test_it_is_a_candidate(name: str) -> None:
    assert vb.verify(name, "switch-sink", datasets=1000, audit=0).verdict == "equivalent"


def test_it_serves_no_other_family() -> None:
    with pytest.raises(InputError, match="context_switch"):
        switch_sink.PART()(_spec.load_task("bn-general5"))
