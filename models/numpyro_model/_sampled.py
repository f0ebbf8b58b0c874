"""A predicted program as samplers meet it: real latents, and the log density of what is seen.

Where there are discrete latents, the continuous ones have flat priors on their supports and the
joint density, the discrete ones summed out, is one factor. Otherwise the program runs as it was
written, with the density of the seen entries in place of that of its observed sites.
"""

from __future__ import annotations

from typing import Any

from veribayes.models.numpyro_model._joint import Joint, Seen


def sampled_program(joint: Joint, seen: Seen) -> None:
    """Sample the continuous latents behind what is seen."""
    if joint.outline.has_discrete:
        _flat(joint, seen)
    else:
        _as_written(joint, seen)


def _flat(joint: Joint, seen: Seen) -> None:
    import numpyro
    from numpyro import distributions as dist

    latents = {}
    for name in joint.outline.continuous:
        law = joint.sites[name]["fn"]
        shape = joint.outline.shapes[name]
        event = len(law.event_shape)
        batch = shape[: len(shape) - event]
        flat = dist.ImproperUniform(law.support, batch, shape[len(batch) :])
        latents[name] = numpyro.sample(name, flat)
    numpyro.factor("joint density", joint.log_joint(latents, seen))


def _as_written(joint: Joint, seen: Seen) -> None:
    import numpyro
    from numpyro import handlers
    from numpyro.primitives import Messenger

    observed = (joint.predict, *joint.outline.inputs)
    terms: list[Any] = []

    class Count(Messenger):
        """Keeps the terms of observed sites, which then say nothing themselves."""

        def process_message(self, msg: Any) -> None:
            if msg["type"] != "sample" or msg["name"] not in observed:
                return
            value = seen.values[msg["name"]]
            terms.append(joint.seen_terms(msg["name"], msg["fn"], value, seen).sum())
            msg["fn"] = msg["fn"].mask(False)

    with Count(), handlers.condition(data=dict(seen.values)):
        joint.program.call(**joint.program.data)
    numpyro.factor("seen", sum(terms))
