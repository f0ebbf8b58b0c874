"""Questions beside the primary endpoint, each asked of every candidate that exposes what it needs.

An endpoint has a tolerance (`endpoints/`, a file each); a check rejects a point null (`checks/`),
and says what it reads off a comparison. Some use the scores of the whole run. For everything else
the candidate is asked again on the first `ASKED` data sets (`again` says how), as many as an
endpoint of this family needs to be called `equivalent`. A reference that is sampled is not asked
again. What a candidate leaves undefined is infinitely wrong; padding is what the reference says.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from veribayes import registry
from veribayes.errors import InputError
from veribayes.validation import repeated
from veribayes.validation.case import Case
from veribayes.validation.checks._test import Outcome, Test
from veribayes.validation.endpoints import Size
from veribayes.validation.endpoints._latents import missing_latents
from veribayes.validation.joint_scores import joint_scores
from veribayes.validation.secondary import Checked

ASKED = 200
LEVELS = ("none", "standard", "all")


def examine(case: Case, level: str) -> Checked:
    """Everything that applies at this level, one of `LEVELS`."""
    if level == "none":
        return Checked(again={"reason": "nothing is asked beside the primary endpoint"})
    endpoints = _sizes(case, level)
    outcomes = _outcomes(case, level)
    return Checked(
        endpoints=endpoints,
        outcomes=outcomes,
        joint=joint_scores(case),
        datasets=len(case.simulation.data.index),
        again=repeated.how(case),
        notes=_notes(case),
    )


def _sizes(case: Case, level: str) -> dict[str, Size]:
    """What every endpoint comes to that can be asked, in the order of their places."""
    parts = {name: registry.load("endpoint", name) for name in registry.usable("endpoint")}
    wanted = [name for name, part in parts.items() if part.level in _levels(level)]
    sizes = {}
    for name in sorted(wanted, key=lambda name: (parts[name].place, name)):
        size = registry.attempted("endpoint", name, partial(parts[name].ask, case))
        if size is not None:
            sizes[name] = size
    return sizes


def _outcomes(case: Case, level: str) -> dict[str, Outcome]:
    """What every check says that can be asked."""
    outcomes = {}
    for name, part in _checks(level).items():
        outcome = registry.attempted("check", name, partial(_outcome, part, case))
        if outcome is not None:
            outcomes[name] = outcome
    return outcomes


def _checks(level: str) -> dict[str, Test]:
    """The checks that a run of this level asks, in the order of their places."""
    parts = {name: registry.load("check", name) for name in registry.usable("check")}
    wanted = {
        name: part
        for name, part in parts.items()
        if part.evidence is not None and part.level in _levels(level)
    }
    order = sorted(wanted, key=lambda name: (wanted[name].place, name))
    return {name: wanted[name] for name in order}


def unanswered(asked: Checked, level: str) -> list[str]:
    """Checks that a run of this level asks, and that had nothing to read off the candidate."""
    if level == "none":
        return []
    return [name for name in _checks(level) if name not in asked.outcomes]


def _levels(level: str) -> tuple[str, ...]:
    return ("standard", "all") if level == "all" else ("standard",)


def _outcome(part: Test, case: Case) -> Outcome | None:
    """The check's answer; None where it is not asked, or refuses the sample: too few data sets,
    nothing that varies.
    """
    arrays = None if part.evidence is None else part.evidence(case)
    if arrays is None:
        return None
    try:
        return part.run(*arrays, seed=case.seed)
    except InputError:
        return None


def _notes(case: Case) -> tuple[dict[str, Any], ...]:
    """Findings of the asking itself."""
    notes = repeated.notes(case)
    missing = missing_latents(case)
    if missing:
        text = f"its posterior says nothing about {', '.join(missing)}, which the reference has"
        notes.append({"name": "latents_missing", "text": text})
    return tuple(notes)
