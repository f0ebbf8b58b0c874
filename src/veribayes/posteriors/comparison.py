"""Two saved posteriors of the same latents: are they the same, and may they be believed?

Effects (`effects`) in sds of the reference: of means, sds, correlations and shapes of single
latents. *Different*: the simultaneous 95 % interval of one lies outside the tolerance.
*Equivalent*: the 95 % interval of every one lies within it. Else *undecided*, with the number of
draws that would settle it. A point null is tested besides, at 1 % by Holm: shapes of single latents
(`marginals`), and on thinned draws, at most `MOST` a side, the joint by energy distance and maximum
mean discrepancy. Its rejection makes it different; draws are capped, so that it is no trifle. The
reference must pass the gates on R-hat and effective sample sizes, or nothing is decided; a
candidate that does not is never equivalent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm

from veribayes import registry
from veribayes.errors import InputError, ReferenceRefused, shown
from veribayes.posteriors import saved
from veribayes.posteriors.alignment import Alignment, align
from veribayes.posteriors.chains import Posterior
from veribayes.posteriors.constants import Constants, find_constants
from veribayes.posteriors.effects import Effect, differences, effects, needed
from veribayes.posteriors.summary import some, summary
from veribayes.predictive import Array
from veribayes.statistics.diagnostics import ESS, ess, split
from veribayes.tree.plain import number
from veribayes.validation.checks._null import attainable, holm
from veribayes.validation.checks._test import Outcome

__all__ = ["compare", "effects", "summary"]

SCHEMA = "veribayes.comparison/1"
TOLERANCE = 0.1  # reference sds: what 100 independent draws would be wrong by
TEST_LEVEL = 0.01
MOST = 500  # draws a side in a permutation test: what it sees with these is no trifle
CAP = 2000  # effective draws a side that count against the null of equal shapes, for that reason
PERMUTATIONS = 999
FEWEST = 8  # draws of a chain: each half has an autocorrelation then
JOINT: tuple[str, ...] = ("energy_permutation", "mmd_permutation")
GATES = ("rank_r_hat", "ess_bulk", "ess_tail", "divergences", "e_bfmi")

Document = Mapping[str, Any]
Sides = tuple[Array, Array]  # draws (scalar, chain, draw) of the reference and of the candidate


def compare(
    reference: str | Path | Posterior,
    candidate: str | Path | Posterior,
    *,
    tolerance: float = TOLERANCE,
    seed: int = 0,
) -> dict[str, Any]:
    """The JSON document of a comparison, schema `veribayes.comparison/1`.

    Raises:
        InputError: files that hold no draws, contradict each other, or have no latents in common.
        ReferenceRefused: the reference's chains have not converged.
    """
    if not 0 < tolerance < math.inf:
        raise InputError("a positive tolerance in sds of the reference", f"{tolerance}")
    truth, other = _read(reference), _read(candidate)
    common = align(truth, other)
    constants = find_constants(truth, other, common)
    own_certificate = certificate(truth, constants.stuck[0])
    other_certificate = certificate(other, constants.stuck[1])
    if own_certificate["verdict"] != "trusted":
        raise ReferenceRefused(truth.name, own_certificate["reasons"])
    names = [name for name in common.reference if name not in constants.all]
    _check_finite(other, common, names)
    if not names and not constants.differ:
        only = ", ".join(map(shown, common.reference))
        raise InputError("a latent that varies in both posteriors", f"only constants: {only}")
    differing: list[Effect] = []
    tests: dict[str, Any] = {}
    converged = other_certificate["verdict"] == "trusted"  # chains that have not met may still part
    if names:
        sides = _stacked(common, names)
        differing = differences(*sides, names, cap=CAP)
        tests = _tests(differing, sides, seed) if converged else {}
    verdict = _verdict(differing, tests, tolerance, converged)
    if constants.differ:
        verdict = "different"
    more = None
    if verdict == "undecided":
        more = _needed(differing, tolerance, (truth, other), other_certificate)
    return {
        "schema": SCHEMA,
        "reference": {"name": truth.name, "certificate": own_certificate},
        "candidate": {"name": other.name, "certificate": other_certificate},
        "verdict": verdict,
        "tolerance": tolerance,
        **_effect_entries(differing, tolerance),
        "tests": tests,
        "needed": more,
        **_left_out(common, constants),
        "notes": common.notes,
    }


def _read(posterior: str | Path | Posterior) -> Posterior:
    """A posterior with chains that are long enough to be judged."""
    known = posterior if isinstance(posterior, Posterior) else saved.read(posterior)
    draws = known.shape[1]
    if draws < FEWEST:
        raise InputError(
            f"at least {FEWEST} draws of each chain of {shown(known.name)}", f"{draws}"
        )
    return known


def _stacked(common: Alignment, names: Sequence[str]) -> Sides:
    truth = np.stack([common.reference[name] for name in names])
    return truth, np.stack([common.candidate[name] for name in names])


def _effect_entries(differing: Sequence[Effect], tolerance: float) -> dict[str, Any]:
    """The largest limit, and every effect, the largest first."""
    limits = [max(abs(effect.low), abs(effect.high)) for effect in differing]
    entries: dict[str, Any] = {"largest": max(limits, default=0.0), "effects": [], "shapes": []}
    for effect in sorted(differing, key=lambda effect: -abs(effect.estimate)):
        kind = "shapes" if effect.kind == "shape" else "effects"
        entries[kind].append(_entry(effect, tolerance))
    return entries


def _entry(effect: Effect, tolerance: float) -> dict[str, Any]:
    place = "within" if effect.inside(tolerance) else "open"
    if effect.outside(tolerance):
        place = "outside"
    names = ("name", "kind", "estimate", "low", "high", "z", "error")
    return {**{name: getattr(effect, name) for name in names}, "place": place}


def _left_out(common: Alignment, constants: Constants) -> dict[str, Any]:
    not_compared = {**common.not_compared, **constants.padding}
    return {
        "left_out": sorted(set(common.left_out)),
        "not_compared": dict(sorted(not_compared.items())),
        "constant_in_one": sorted(constants.one_sided),
        "constants_that_differ": sorted(constants.unequal),
    }


def certificate(posterior: Posterior, stuck: Sequence[str] = ()) -> dict[str, Any]:
    """What the draws themselves say about their convergence; what was not saved is `unknown`.

    Args:
        stuck: entries that do not vary here, although they should.
    """
    gates = posterior.gates(but=stuck)
    reasons = gates.reasons()
    if posterior.shape[0] == 1:
        reasons.insert(0, "one chain: that another one would go to the same place cannot be seen")
    if stuck:
        reasons.append(f"{', '.join(map(shown, stuck))} never moved")
    repeated = posterior.repeated
    if repeated is not None:
        reasons.append(f"chains {repeated[0]} and {repeated[1]} are the same draws")
    measured = {}
    for name in GATES:
        if name not in posterior.unknown:
            measured[name] = number(float(getattr(gates, name)[0]))
    chains, draws = posterior.shape
    return {
        "verdict": "trusted" if gates.passed.all() and not reasons else "refused",
        "reasons": reasons,
        "diagnostics": measured,
        "unknown": posterior.unknown,
        "chains": chains,
        "draws": draws,
    }


def _check_finite(candidate: Posterior, common: Alignment, names: Sequence[str]) -> None:
    broken = [name for name in names if not np.isfinite(common.candidate[name]).all()]
    if broken:
        odd = f"NaN or infinite ones of {some(broken, 8)}"
        raise InputError(f"finite draws in {shown(candidate.name)}", odd)


def _tests(differing: Sequence[Effect], sides: Sides, seed: int) -> dict[str, Any]:
    """Point nulls, adjusted by Holm: shapes of single latents, and the joint of thinned draws."""
    outcomes: dict[str, Outcome] = {}
    for name in JOINT:
        outcome = _joint(name, _rows(sides[0]), _rows(sides[1]), seed)
        if outcome is not None:
            outcomes[name] = outcome
    shapes = [effect for effect in differing if effect.kind == "shape"]
    if shapes:
        outcomes["marginals"] = _marginals(shapes)
    attainable(TEST_LEVEL, {name: outcome.least for name, outcome in outcomes.items()})
    adjusted = holm({name: outcome.p_value for name, outcome in outcomes.items()})
    tests = {}
    for name, outcome in outcomes.items():
        worst = next(iter(outcome.components), None)
        tests[name] = {"p_value": adjusted[name], "draws": outcome.n, "worst": worst}
    return tests


def _marginals(shapes: Sequence[Effect]) -> Outcome:
    """The furthest of all shapes, by Bonferroni."""
    furthest = max(shapes, key=lambda effect: abs(effect.capped))
    z = abs(furthest.capped)
    p = min(1.0, 2 * len(shapes) * float(norm.sf(z)))
    return Outcome(z, p, CAP, {furthest.name: p})


def _joint(name: str, truth: Array, candidate: Array, seed: int) -> Outcome | None:
    """A permutation test of the rows of both; None where nothing varies in them."""
    both = np.concatenate([truth, candidate])
    varies = np.ptp(both, axis=0) > 1e-10 * np.abs(both).max(axis=0)
    if not varies.any():
        return None
    test = registry.load("check", name)
    rows = (truth[:, varies], candidate[:, varies])
    outcome = test.run(*rows, seed=seed, thin=False, permutations=PERMUTATIONS)
    return outcome if isinstance(outcome, Outcome) else None


def _rows(draws: Array) -> Array:
    """At most `MOST` nearly independent draws, (draw, scalar), of chains (scalar, chain, draw).

    The chains are thinned to their effective size.
    """
    total = draws.shape[1] * draws.shape[2]
    least_ess = float(np.nanmin(ess(split(draws[None]))))
    apart = 2 * total / least_ess  # correlation e^-2 and less
    step = max(1, int(np.ceil(apart)), int(np.ceil(total / MOST)))
    return np.asarray(draws[..., ::step].reshape(len(draws), -1).T)


def _verdict(
    differing: Sequence[Effect], tests: Document, tolerance: float, converged: bool
) -> str:
    rejected = any(test["p_value"] <= TEST_LEVEL for test in tests.values())
    if rejected or any(effect.outside(tolerance) for effect in differing):
        return "different"
    inside = bool(differing) and all(effect.inside(tolerance) for effect in differing)
    return "equivalent" if converged and inside else "undecided"


def _needed(
    differing: Sequence[Effect],
    tolerance: float,
    sides: tuple[Posterior, Posterior],
    candidate: Document,
) -> dict[str, Any]:
    """How many draws would settle it, as numbers and as a sentence."""
    draws = [side.shape[0] * side.shape[1] for side in sides]
    short = _short_of_gates(candidate)
    more = needed(differing, tolerance)
    lasting = [reason for reason in candidate["reasons"] if "effective sample size" not in reason]
    if lasting or more is None or not math.isfinite(short):
        return _never(candidate["reasons"])
    factor = max(more.factor, short, 1.0)
    both = [math.ceil(factor * count) for count in draws]
    alone = None
    if more.candidate_factor is not None:
        alone = math.ceil(max(more.candidate_factor, short, 1.0) * draws[1])
    text = (
        f"about {factor:.2g} times as many draws on both sides would settle it with probability "
        f"80 %: {both[0]:,} for {draws[0]:,} of the reference, {both[1]:,} for {draws[1]:,} of the "
        "candidate"
    )
    if alone is not None:
        text += f"; or {alone:,} of the candidate alone"
    return {
        "factor": factor,
        "reference_draws": both[0],
        "candidate_draws": both[1],
        "candidate_alone": alone,
        "text": text,
    }


def _never(reasons: Sequence[str]) -> dict[str, Any]:
    """Where no number of draws is known."""
    why = "an effect lies at the tolerance"
    if reasons:
        why = f"the candidate has not converged: {'; '.join(reasons)}"
    numbers = ("factor", "reference_draws", "candidate_draws", "candidate_alone")
    text = f"no number of draws is known to settle it: {why}"
    return {**dict.fromkeys(numbers), "text": text}


def _short_of_gates(candidate: Document) -> float:
    """How many times the candidate's draws fall short of the effective sample size of its gates."""
    sizes = [candidate["diagnostics"][name] for name in ("ess_bulk", "ess_tail")]
    return math.inf if None in sizes else max([1.0, *(ESS / size for size in sizes)])
