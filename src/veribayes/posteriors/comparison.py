"""Two saved posteriors of the same latents: are they the same, by how much not, and may they be believed?

Effects (`effects`) in sds of the reference: of means, sds, correlations and shapes of single latents. *Different*: the
simultaneous 95 % interval of one lies outside the tolerance. *Equivalent*: the 95 % interval of every one lies within
it. Else *undecided*, with the number of draws that would settle it. A point null is tested besides, at 1 % by Holm:
shapes of single latents (`marginals`), and on thinned draws, at most `MOST` a side, the joint by energy distance and
maximum mean discrepancy. Its rejection makes it different; draws are capped, so that it is no trifle. The reference
must pass the gates on R-hat and effective sample sizes, or nothing is decided; a candidate that does not is never
equivalent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm

from veribayes import registry
from veribayes.checked import shown
from veribayes.errors import InputError, ReferenceRefused
from veribayes.posteriors import saved
from veribayes.posteriors.alignment import Alignment, align
from veribayes.posteriors.chains import Posterior
from veribayes.posteriors.effects import Effect, differences, effects, needed
from veribayes.predictive import Array
from veribayes.statistics.diagnostics import ESS, ess, split
from veribayes.storage.store import number
from veribayes.validation.checks._null import attainable, holm
from veribayes.validation.checks._test import Outcome

__all__ = ["compare", "effects", "summary"]

SCHEMA = "veribayes.comparison/1"
TOLERANCE = 0.1  # reference sds: what 100 independent draws would be wrong by
TEST_LEVEL = 0.01
MOST = 500  # draws a side in a permutation test: what it sees with these is no trifle
CAP = (
    2000  # effective draws a side that count against the null of equal shapes, for the same reason
)
PERMUTATIONS = 999
FEWEST = 8  # draws of a chain: each half has an autocorrelation then
JOINT: tuple[str, ...] = ("energy_permutation", "mmd_permutation")


def compare(reference: str | Path | Posterior, candidate: str | Path | Posterior, *, tolerance: float = TOLERANCE,
            seed: int = 0) -> dict[str, Any]:  # fmt: skip
    """The JSON document of a comparison, schema `veribayes.comparison/1`.

    Raises:
        InputError: files that hold no draws, contradict each other, or have no latents in common.
        ReferenceRefused: the reference's chains have not converged.
    """
    if not 0 < tolerance < math.inf:
        raise InputError("a positive tolerance in sds of the reference", f"{tolerance}")
    truth, other = (
        _long_enough(p if isinstance(p, Posterior) else saved.read(p))
        for p in (reference, candidate)
    )
    common = align(truth, other)
    constants = _constants(truth, other, common)
    certificates = [
        certificate(p, names) for p, names in zip((truth, other), constants.stuck, strict=True)
    ]
    if certificates[0]["verdict"] != "trusted":
        raise ReferenceRefused(truth.name, certificates[0]["reasons"])
    names = [n for n in common.reference if n not in constants.all]
    _check_finite(other, common, names)
    if not names and not constants.one_sided and not constants.unequal:
        raise InputError(
            "a latent that varies in both posteriors",
            f"only constants: {', '.join(map(shown, common.reference))}",
        )
    mine, theirs = (
        np.stack([side[n] for n in names]) if names else None
        for side in (common.reference, common.candidate)
    )
    found = (
        differences(mine, theirs, names, cap=CAP) if mine is not None and theirs is not None else []
    )
    converged = certificates[1]["verdict"] == "trusted"  # chains that have not met may still part
    tests = (
        _tests(found, mine, theirs, seed)
        if converged and mine is not None and theirs is not None
        else {}
    )
    ordered = sorted(found, key=lambda e: -abs(e.estimate))
    differ = bool(constants.one_sided or constants.unequal)
    verdict = "different" if differ else _verdict(found, tests, tolerance, converged)
    return {
        "schema": SCHEMA,
        "reference": {"name": truth.name, "certificate": certificates[0]},
        "candidate": {"name": other.name, "certificate": certificates[1]},
        "verdict": verdict,
        "tolerance": tolerance,
        "largest": max((max(abs(e.low), abs(e.high)) for e in found), default=0.0),
        "effects": [_entry(e, tolerance) for e in ordered if e.kind != "shape"],
        "shapes": [_entry(e, tolerance) for e in ordered if e.kind == "shape"],
        "tests": tests,
        "needed": _needed(found, tolerance, (truth, other), certificates[1]) if verdict == "undecided" else None,
        "left_out": sorted(set(common.left_out)),
        "not_compared": dict(sorted({**common.not_compared, **constants.padding}.items())),
        "constant_in_one": sorted(constants.one_sided),
        "constants_that_differ": sorted(constants.unequal),
        "notes": common.notes,
    }  # fmt: skip


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
    if posterior.repeated is not None:
        reasons.append(
            f"chains {posterior.repeated[0]} and {posterior.repeated[1]} are the same draws"
        )
    names = ("rank_r_hat", "ess_bulk", "ess_tail", "divergences", "e_bfmi")
    measured = {n: number(float(getattr(gates, n)[0])) for n in names if n not in posterior.unknown}
    verdict = "trusted" if gates.passed.all() and not reasons else "refused"
    chains, draws = posterior.shape
    return {"verdict": verdict, "reasons": reasons, "diagnostics": measured, "unknown": posterior.unknown,
            "chains": chains, "draws": draws}  # fmt: skip


def summary(found: Mapping[str, Any], most: int = 10) -> str:
    """The comparison as lines of text, the largest effects first."""
    ordered = sorted([*found["effects"], *found["shapes"]], key=lambda e: -abs(e["estimate"]))
    head = f"{found['verdict']} (tolerance {found['tolerance']:g} sd)"
    sides = [f"{role}: {_visible(found[role]['name'])}, {_converged(found[role]['certificate'])}"
             for role in ("reference", "candidate")]  # fmt: skip
    rows = [f"  {e['kind']:<12}{_visible(e['name']):<24}{e['estimate']:>9.3f}  [{e['low']:.3f}, {e['high']:.3f}]  {e['place']}"
            for e in ordered[:most]]  # fmt: skip
    more = len(ordered) - len(rows)
    rows += [f"  and {more} smaller ones"] if more else []
    tests = [
        f"  {name}: p = {t['p_value']:.3g} ({t['draws']} draws a side)"
        for name, t in found["tests"].items()
    ]
    needs = [found["needed"]["text"]] if found["needed"] else []
    notes = [
        f"not compared: {_visible(n)}, {_visible(why)}" for n, why in found["not_compared"].items()
    ]
    notes += [f"{words}: {_some(found[key])}" for key, words in WORDS.items() if found[key]]
    return "\n".join([head, *needs, *sides, *rows, *tests, *notes, *map(_visible, found["notes"])])


WORDS = {
    "left_out": "in one only",
    "constant_in_one": "constant in one",
    "constants_that_differ": "constants with different values",
}


def _visible(text: str) -> str:
    """Text from a file, for a terminal: no control characters."""
    return "".join(c if c.isprintable() else "�" for c in text)


def _some(names: Sequence[str], most: int = 20) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(_visible, names[:most])) + more


def _converged(c: Mapping[str, Any]) -> str:
    d = c["diagnostics"]
    known = f"{c['verdict']} (R-hat {d['rank_r_hat']:.4g}, ESS {d['ess_bulk']:.4g} bulk, {d['ess_tail']:.4g} tail)" \
        if None not in d.values() else c["verdict"]  # fmt: skip
    unknown = f"; not saved: {', '.join(c['unknown'])}" if c["unknown"] else ""
    return known + "".join(f"; {r}" for r in c["reasons"]) + unknown


def _entry(e: Effect, tolerance: float) -> dict[str, Any]:
    place = "outside" if e.outside(tolerance) else "within" if e.inside(tolerance) else "open"
    return {"name": e.name, "kind": e.kind, "estimate": e.estimate, "low": e.low, "high": e.high, "z": e.z,
            "error": e.error, "place": place}  # fmt: skip


def _long_enough(posterior: Posterior) -> Posterior:
    if posterior.shape[1] < FEWEST:
        raise InputError(
            f"at least {FEWEST} draws of each chain of {shown(posterior.name)}",
            f"{posterior.shape[1]}",
        )
    return posterior


# -- constants and padding -----------------------------------------------------------------------------------------------


class _Constants:
    """Entries of both posteriors that are not compared as laws, by why.

    Attributes:
        one_sided: constant in one of them only.
        unequal: constant in both, with different values.
        padding: NaN in every draw of the reference -> a sentence.
        stuck: of the reference and of the candidate, own names of constants that vary in the other one.
        all: every entry that is constant or padding somewhere.
    """

    def __init__(self) -> None:
        self.one_sided: set[str] = set()
        self.unequal: set[str] = set()
        self.padding: dict[str, str] = {}
        self.stuck: tuple[list[str], list[str]] = ([], [])
        self.all: set[str] = set()


def _constants(truth: Posterior, other: Posterior, common: Alignment) -> _Constants:
    out = _Constants()
    for name in common.reference:
        own = (common.reference_names[name], common.candidate_names[name])
        if own[0] in truth.absent:
            out.padding[name] = "NaN in every draw of the reference"
            out.all.add(name)
            continue
        fixed = (own[0] in truth.constants, own[1] in other.constants)
        if not any(fixed):
            continue
        out.all.add(name)
        if not all(fixed):
            out.one_sided.add(name)
            side = 0 if fixed[0] else 1
            if own[side] in (truth, other)[side].frozen:
                out.stuck[side].append(own[side])
        elif not np.isclose(
            common.reference[name].flat[0], common.candidate[name].flat[0], rtol=1e-5, atol=1e-8
        ):
            out.unequal.add(name)
    return out


def _check_finite(candidate: Posterior, common: Alignment, names: Sequence[str]) -> None:
    broken = [n for n in names if not np.isfinite(common.candidate[n]).all()]
    if broken:
        raise InputError(
            f"finite draws in {shown(candidate.name)}",
            f"NaN or infinite ones of {_some(broken, 8)}",
        )


# -- tests and verdict ---------------------------------------------------------------------------------------------------


def _tests(found: Sequence[Effect], truth: Array, candidate: Array, seed: int) -> dict[str, Any]:
    """Point nulls, p-values adjusted by Holm: shapes of single latents, and the joint of thinned draws."""
    outcomes = {name: _joint(name, _rows(truth), _rows(candidate), seed) for name in JOINT}
    shapes = [e for e in found if e.kind == "shape"]
    if shapes:
        furthest = max(shapes, key=lambda e: abs(e.capped))
        p = min(1.0, 2 * len(shapes) * float(norm.sf(abs(furthest.capped))))
        outcomes["marginals"] = Outcome(abs(furthest.capped), p, CAP, {furthest.name: p})
    done = {name: o for name, o in outcomes.items() if o is not None}
    attainable(TEST_LEVEL, {name: o.least for name, o in done.items()})
    adjusted = holm({name: o.p_value for name, o in done.items()})
    return {
        n: {"p_value": adjusted[n], "draws": o.n, "worst": next(iter(o.components), None)}
        for n, o in done.items()
    }


def _joint(name: str, truth: Array, candidate: Array, seed: int) -> Outcome | None:
    """A permutation test of the rows of both; None where nothing varies in them."""
    both = np.concatenate([truth, candidate])
    varies = np.ptp(both, axis=0) > 1e-10 * np.abs(both).max(axis=0)
    if not varies.any():
        return None
    found = registry.load("check", name).run(
        truth[:, varies], candidate[:, varies], seed=seed, thin=False, permutations=PERMUTATIONS
    )
    return found if isinstance(found, Outcome) else None


def _rows(draws: Array) -> Array:
    """At most `MOST` nearly independent draws, (draw, scalar): chains (scalar, chain, draw) thinned to their effective size."""
    total = draws.shape[1] * draws.shape[2]
    apart = 2 * total / float(np.nanmin(ess(split(draws[None]))))  # correlation e^-2 and less
    step = max(1, int(np.ceil(apart)), int(np.ceil(total / MOST)))
    return np.asarray(draws[..., ::step].reshape(len(draws), -1).T)


def _verdict(
    found: Sequence[Effect], tests: Mapping[str, Any], tolerance: float, converged: bool
) -> str:
    rejected = any(t["p_value"] <= TEST_LEVEL for t in tests.values())
    if rejected or any(e.outside(tolerance) for e in found):
        return "different"
    return (
        "equivalent"
        if converged and found and all(e.inside(tolerance) for e in found)
        else "undecided"
    )


def _needed(
    found: Sequence[Effect],
    tolerance: float,
    sides: tuple[Posterior, Posterior],
    candidate: Mapping[str, Any],
) -> dict[str, Any]:
    """How many draws would settle it, as numbers and as a sentence."""
    draws = [p.shape[0] * p.shape[1] for p in sides]
    short = _short_of_gates(candidate)
    more = needed(found, tolerance)
    reasons = [r for r in candidate["reasons"] if "effective sample size" not in r]
    if reasons or more is None or not math.isfinite(short):
        why = f"the candidate has not converged: {'; '.join(candidate['reasons'])}" if candidate["reasons"] else \
            "an effect lies at the tolerance"  # fmt: skip
        empty = dict.fromkeys(("factor", "reference_draws", "candidate_draws", "candidate_alone"))
        return {**empty, "text": f"no number of draws is known to settle it: {why}"}
    factor = max(more.factor, short, 1.0)
    both = [math.ceil(factor * d) for d in draws]
    alone = (
        None
        if more.candidate_factor is None
        else math.ceil(max(more.candidate_factor, short, 1.0) * draws[1])
    )
    text = (
        f"about {factor:.2g} times as many draws on both sides would settle it with probability 80 %: {both[0]:,} for "
        f"{draws[0]:,} of the reference, {both[1]:,} for {draws[1]:,} of the candidate"
    )
    text += f"; or {alone:,} of the candidate alone" if alone is not None else ""
    return {
        "factor": factor,
        "reference_draws": both[0],
        "candidate_draws": both[1],
        "candidate_alone": alone,
        "text": text,
    }


def _short_of_gates(candidate: Mapping[str, Any]) -> float:
    """Times that the candidate's draws fall short of the effective sample size that its gates ask for."""
    sizes = [candidate["diagnostics"][n] for n in ("ess_bulk", "ess_tail")]
    return math.inf if None in sizes else max([1.0, *(ESS / s for s in sizes)])
