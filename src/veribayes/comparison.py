"""Two saved posteriors of the same latents: are they the same, by how much not, and may they be believed?

Effects, in units of the reference's sds: difference of means, logarithm of the ratio of sds, difference of correlations. Each
has a simultaneous 95 % interval (Bonferroni) from the Monte Carlo errors of both sides. *Equivalent*: every interval lies
within the tolerance; *different*: one lies outside; else *undecided*. Moments do not see everything: a permutation test by
energy distance or maximum mean discrepancy on thinned draws, at most `MOST` a side, that rejects at 1 % makes it different too.
The reference must pass the gates on R-hat and effective sample sizes, or nothing is decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm

from veribayes import posteriors, registry
from veribayes.errors import InputError, ReferenceRefused
from veribayes.inference._diagnostics import ess, split
from veribayes.posteriors import Posterior
from veribayes.predictive import Array
from veribayes.store import number
from veribayes.validation.tests._null import holm

SCHEMA = "veribayes.comparison/1"
TOLERANCE = 0.1  # reference sds: what 100 independent draws would be wrong by
LEVEL, TEST_LEVEL = 0.05, 0.01
MOST = 500  # draws a side in a permutation test: what it sees with these is no trifle
PAIRED = 40  # latents up to which all correlations are compared: 780 pairs
TESTS = ("energy_permutation", "mmd_permutation")


@dataclass(frozen=True)
class Effect:
    """One difference between the two posteriors, with its simultaneous limits.

    Attributes:
        name: latent, or two of them.
        kind: `mean` (reference sds), `sd` (log ratio) or `correlation`.
        estimate, low, high: candidate less reference.
        z: estimate in standard errors.
    """

    name: str
    kind: str
    estimate: float
    low: float
    high: float
    z: float

    def outside(self, tolerance: float) -> bool:
        return self.low > tolerance or self.high < -tolerance

    def inside(self, tolerance: float) -> bool:
        return -tolerance < self.low and self.high < tolerance


def compare(reference: str | Path | Posterior, candidate: str | Path | Posterior, *, tolerance: float = TOLERANCE,
            seed: int = 0) -> dict[str, Any]:  # fmt: skip
    """The JSON document of a comparison, schema `veribayes.comparison/1`.

    Raises:
        InputError: files that hold no draws, or no latents in common.
        ReferenceRefused: the reference's chains have not converged.
    """
    if not tolerance > 0:
        raise InputError("a positive tolerance", f"{tolerance}")
    truth, judged = (p if isinstance(p, Posterior) else posteriors.read(p) for p in (reference, candidate))
    certificates = [certificate(p) for p in (truth, judged)]
    if certificates[0]["verdict"] != "trusted":
        raise ReferenceRefused(truth.name, certificates[0]["reasons"])
    names, left_out, frozen = _common(truth, judged)
    mine, theirs = (np.stack([p.scalars[n] for n in names]) for p in (truth, judged))
    found = effects(mine, theirs, names)
    converged = certificates[1]["verdict"] == "trusted"  # chains that have not met may still part
    tests = _tests(_rows(mine), _rows(theirs), seed) if converged else {}
    decided = "different" if frozen else _verdict(found, tests, tolerance)
    if decided == "equivalent" and not converged:
        decided = "undecided"
    return {
        "schema": SCHEMA,
        "reference": {"name": truth.name, "certificate": certificates[0]},
        "candidate": {"name": judged.name, "certificate": certificates[1]},
        "verdict": decided,
        "tolerance": tolerance,
        "largest": max((max(abs(e.low), abs(e.high)) for e in found), default=0.0),
        "effects": [asdict(e) for e in sorted(found, key=lambda e: -abs(e.estimate))],
        "tests": tests,
        "left_out": left_out,
        "constant_in_one": frozen,
    }


def summary(found: dict[str, Any], most: int = 10) -> str:
    """The comparison as lines of text, the largest effects first."""
    sides = [f"{role}: {found[role]['name']}, {_said(found[role]['certificate'])}" for role in ("reference", "candidate")]
    head = f"{found['verdict']} (tolerance {found['tolerance']:g} sd)"
    rows = [f"  {e['kind']:<12}{e['name']:<24}{e['estimate']:>9.3f}  [{e['low']:.3f}, {e['high']:.3f}]"
            for e in found["effects"][:most]]  # fmt: skip
    tests = [f"  {name}: p = {t['p_value']:.3g} ({t['draws']} draws a side)" for name, t in found["tests"].items()]
    notes = [f"in one only: {', '.join(found['left_out'])}"] if found["left_out"] else []
    notes += [f"constant in one: {', '.join(found['constant_in_one'])}"] if found["constant_in_one"] else []
    return "\n".join([head, *sides, *rows, *tests, *notes])


def _said(certificate: dict[str, Any]) -> str:
    d = certificate["diagnostics"]
    known = f"{certificate['verdict']} (R-hat {d['rank_r_hat']:.4g}, ESS {d['ess_bulk']:.4g} bulk, {d['ess_tail']:.4g} tail)" \
        if None not in d.values() else certificate["verdict"]  # fmt: skip
    unknown = f"; not saved: {', '.join(certificate['unknown'])}" if certificate["unknown"] else ""
    return known + "".join(f"; {r}" for r in certificate["reasons"]) + unknown


def certificate(posterior: Posterior) -> dict[str, Any]:
    """What the draws themselves say about their convergence; what was not saved is `unknown`."""
    gates, _ = posterior.measured()
    reasons = gates.reasons()
    names = ("rank_r_hat", "ess_bulk", "ess_tail", "divergences", "e_bfmi")
    measured = {n: number(float(getattr(gates, n)[0])) for n in names if n not in posterior.unknown}
    verdict = "trusted" if gates.passed.all() else "refused"
    return {"verdict": verdict, "reasons": reasons, "diagnostics": measured, "unknown": posterior.unknown}


def effects(truth: Array, judged: Array, names: Sequence[str]) -> list[Effect]:
    """All effects between draws (scalar, chain, draw) of the same scalars."""
    sd, centre = truth.std(axis=(1, 2), ddof=1), truth.mean(axis=(1, 2))
    white = [(draws - centre[:, None, None]) / sd[:, None, None] for draws in (truth, judged)]
    pairs = list(combinations(range(len(names)), 2)) if len(names) <= PAIRED else []
    limit = float(norm.isf(LEVEL / 2 / (2 * len(names) + len(pairs))))
    out = _effects(names, "mean", [_moment(w) for w in white], limit)
    out += _effects(names, "sd", [_log_sd(w) for w in white], limit)
    if not pairs:
        return out
    both = [f"{names[i]}, {names[j]}" for i, j in pairs]
    return out + _effects(both, "correlation", [_correlations(w, pairs) for w in white], limit)


def _effects(names: Sequence[str], kind: str, sides: Sequence[Array], limit: float) -> list[Effect]:
    """Differences between the estimates of both sides, (2, scalar) each: value and standard error."""
    truth, judged = sides
    estimate, error = judged[0] - truth[0], np.hypot(truth[1], judged[1])
    z = np.divide(estimate, error, out=np.zeros_like(estimate), where=error > 0)
    rows = zip(names, estimate, error, z, strict=True)
    return [Effect(n, kind, float(d), float(d - limit * e), float(d + limit * e), float(s)) for n, d, e, s in rows]


def _moment(draws: Array) -> Array:
    """Mean and its Monte Carlo standard error, (2, scalar)."""
    error = draws.std(axis=(1, 2), ddof=1) / np.sqrt(ess(split(draws[None]))[0])
    return np.stack([draws.mean(axis=(1, 2)), error])


def _log_sd(draws: Array) -> Array:
    """log sd, by the delta method from the mean square."""
    mean, error = _moment((draws - draws.mean(axis=(1, 2), keepdims=True)) ** 2)
    return np.stack([0.5 * np.log(mean), 0.5 * error / mean])


def _correlations(draws: Array, pairs: Sequence[tuple[int, int]]) -> Array:
    """Correlations; their errors from the influence z_i z_j - r (z_i^2 + z_j^2) / 2."""
    z = (draws - draws.mean(axis=(1, 2), keepdims=True)) / draws.std(axis=(1, 2), keepdims=True)
    i, j = np.array(pairs).T
    r = (z[i] * z[j]).mean(axis=(1, 2))
    influence = z[i] * z[j] - r[:, None, None] * (z[i] ** 2 + z[j] ** 2) / 2
    spread = influence.std(axis=(1, 2))
    safe = np.where(spread > 0, spread, 1.0)  # two latents that are one: no error
    size = np.where(spread > 1e-12, ess(split((influence / safe[:, None, None])[None]))[0], np.inf)
    return np.stack([r, spread / np.sqrt(size)])


def _tests(truth: Array, judged: Array, seed: int) -> dict[str, Any]:
    """Permutation tests on draws (draw, scalar), p-values adjusted by Holm."""
    outcomes = {name: registry.load("test", name).run(truth, judged, seed=seed, thin=False) for name in TESTS}
    adjusted = holm({name: o.p_value for name, o in outcomes.items()})
    return {name: {"p_value": adjusted[name], "draws": o.n} for name, o in outcomes.items()}


def _rows(draws: Array) -> Array:
    """At most `MOST` nearly independent draws, (draw, scalar): chains (scalar, chain, draw) thinned to their effective size."""
    total = draws.shape[1] * draws.shape[2]
    apart = 2 * total / float(np.nanmin(ess(split(draws[None]))))  # correlation e^-2 and less
    step = max(1, int(np.ceil(apart)), int(np.ceil(total / MOST)))
    return np.asarray(draws[..., ::step].reshape(len(draws), -1).T)


def _common(truth: Posterior, judged: Posterior) -> tuple[list[str], list[str], list[str]]:
    """Scalars that both have and that vary; those that only one has; those that vary in one only."""
    mine, theirs = truth.scalars, judged.scalars
    both = [n for n in mine if n in theirs]
    if broken := [n for n in both if not np.isfinite(theirs[n]).all()]:
        raise InputError(f"finite draws in '{judged.name}'", f"NaN or infinite ones of {', '.join(broken[:8])}")
    varies = [(np.ptp(mine[n]) > 0, np.ptp(theirs[n]) > 0) for n in both]
    shared = [n for n, v in zip(both, varies, strict=True) if all(v)]
    if not shared:
        raise InputError(f"latents of '{truth.name}' ({', '.join(list(mine)[:8])})", f"{', '.join(list(theirs)[:8])}")
    frozen = [n for n, v in zip(both, varies, strict=True) if v[0] != v[1]]
    return shared, sorted(set(mine) ^ set(theirs)), frozen


def _verdict(found: Sequence[Effect], tests: dict[str, Any], tolerance: float) -> str:
    rejected = any(t["p_value"] < TEST_LEVEL for t in tests.values())
    if rejected or any(e.outside(tolerance) for e in found):
        return "different"
    return "equivalent" if all(e.inside(tolerance) for e in found) else "undecided"
