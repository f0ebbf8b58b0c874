"""Everybody whom a run asks, by role: the truth, the candidate, and who else would pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from veribayes import registry
from veribayes.candidates import Candidate, of_engine
from veribayes.errors import ReferenceRefused
from veribayes.models._task import Task
from veribayes.run.options import Options
from veribayes.run.references import remembered
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method
from veribayes.tree.parts import answered_by_size
from veribayes.validation.draws import twice
from veribayes.validation.moments import as_moments

TRUTH, JUDGED, PRIOR = "reference", "candidate", "prior_only"


@dataclass(frozen=True, eq=False)
class Roles:
    """Who is asked in a run.

    Attributes:
        truth: the reference, as it is asked about every data set.
        judged: the candidate.
        scored: the candidate as its answers are scored: asked twice where it answers with draws.
        rivals: who else is scored against the truth, by name; the first is `prior_only`.
        questioned: the reference with the joint of the queries, where it can say it and the
            candidate may; else the truth. None where it is sampled: what is asked beside the
            primary endpoint wants an exact one.
    """

    truth: Candidate
    judged: Candidate
    scored: Candidate
    rivals: Mapping[str, Candidate]
    questioned: Candidate | None

    @property
    def named(self) -> dict[str, Candidate]:
        """All roles that have scores or answers, in the order in which they are asked."""
        return {TRUTH: self.truth, JUDGED: self.scored, **self.rivals}


def roles_of(task: Task, options: Options, judged: Candidate) -> Roles:
    """Everybody whom a run of this task and these options asks.

    Raises:
        ReferenceRefused: the engine that is to be the reference does not compute the posterior.
    """
    rivals = {name: _sized(of_engine(name, registry.engine(name))) for name in _rivals(task)}
    if task.model.moments:
        judged = as_moments(judged)
    questioned = _questioned(task, options, judged)
    judged = _sized(judged, padded=False)
    return Roles(reference_of(task, options), judged, twice(judged), rivals, questioned)


def _sized(who: Candidate, *, padded: bool = True) -> Candidate:
    """The same, asked about data sets of one size at a time."""

    def infer(task: Task, data: Data, seed: int) -> Branch:
        return answered_by_size(lambda part: who.infer(task, part, seed), data, padded=padded)

    return replace(who, infer=infer)


def reference_of(task: Task, options: Options, **more: str) -> Candidate:
    """The engine that computes the truth.

    Args:
        more: further options of it, where the run gives no others.

    Raises:
        ReferenceRefused: it does not compute the posterior.
    """
    name = _reference_name(task, options)
    engine = registry.engine(name, {**more, **options.reference_options})
    if not Method.of(engine.method).computes_posterior:
        reason = f"its method is '{engine.method}', which does not compute the posterior"
        raise ReferenceRefused(name, (reason,))
    reference = of_engine(name, engine)
    # what is exact is computed faster than read
    return _sized(remembered(reference) if engine.method == Method.MCMC else reference)


def plain_reference(task: Task, options: Options) -> Candidate:
    """The same without latents, where its engine may leave them out."""
    engine = registry.load("engine", _reference_name(task, options))
    has_latents = any(field.name == "latents" for field in fields(engine))
    return reference_of(task, options, **({"latents": "false"} if has_latents else {}))


def _rivals(task: Task) -> tuple[str, ...]:
    wrong_prior = ("wrong_prior",) if task.wrong_prior else ()
    return (PRIOR, *wrong_prior, *task.rivals)


def _reference_name(task: Task, options: Options) -> str:
    return (options.reference or task.reference).replace("-", "_")


def _questioned(task: Task, options: Options, judged: Candidate) -> Candidate | None:
    engine = registry.load("engine", _reference_name(task, options))
    if engine.method == Method.MCMC:
        return None
    has_joint = any(field.name == "joint" for field in fields(engine))
    if has_joint and judged.exposes_joint:
        return reference_of(task, options, joint="true")
    return reference_of(task, options)
