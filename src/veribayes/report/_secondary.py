"""What was asked beside the primary endpoint, as rows of tables: endpoints, tests, joint scores, calibration, concentration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from veribayes.report import _words as words
from veribayes.report._run import Run, mapping

GROUPS_SHOWN = 6
LEVEL = 0.05
LEAST = 1e-4  # p-values below are not told apart
QUESTIONS = {
    "joint_kl": "KL between the joint predictives of all queries",
    "leaked_mass": "posterior mass outside the support of the latents",
    "latent_kl": "KL between the posteriors of the latents, as normals",
    "repeatability": "half the divergence of two answers to the same request",
    "batch_dependence": "what its answers change in another batch, or alone, beyond its noise",
    "order_dependence": "what its answers change with the order of the context, beyond its noise",
    "pit_uniform": "outcomes fall where the candidate says (uniform PIT)",
    "e_process": "a bettor who knows the exact predictive does not win against it",
    "rosenblatt": "joint draws are white under the exact predictive",
    "martingale": "predictions stay, on average, on continuations that it draws itself",
    "reliability": "confidence is how often it is right",
    "energy_score": "energy score",
    "energy_divergence": "energy distance",
    "sliced_w2": "sliced Wasserstein-2 distance",
    "covariance_error": "error of the covariance, in exact standard deviations",
}
REGIONS = {"central": "central interval", "hpd": "region of highest density"}


def secondary(run: Run, power: int) -> dict[str, Any]:
    """Everything that the template says about it."""
    found = mapping(run.result.get("secondary"))
    calibrated = mapping(run.result.get("calibration"))
    return {
        "endpoints": [
            _endpoint(n, mapping(e), power) for n, e in mapping(found.get("endpoints")).items()
        ],
        "tests": [_test(n, mapping(t)) for n, t in mapping(found.get("tests")).items()],
        "asked": words.count(found.get("datasets")),
        "joint": [_joint(n, mapping(s)) for n, s in mapping(found.get("joint")).items()],
        "coverage": [
            _coverage(mapping(c), mapping(found.get("adjusted")))
            for c in calibrated.get("coverage") or []
        ],
        "reliability": _reliability(
            mapping(calibrated.get("reliability")), mapping(found.get("adjusted"))
        ),
        "groups": _groups(mapping(run.result.get("concentration"))),
        "searched": words.count(mapping(run.result.get("concentration")).get("searched")),
        "multiplicity": [
            (k.replace("_", " "), str(v))
            for k, v in mapping(run.result.get("multiplicity")).items()
        ],
    }


def _endpoint(name: str, e: Mapping[str, Any], power: int) -> dict[str, Any]:
    scale = power if "nats" in str(e.get("unit")) else 0
    return {
        "name": _question(name),
        "size": words.interval(e, scale),
        "unit": "" if e.get("unit") == "1" else e.get("unit"),
        "tolerance": words.number(e.get("tolerance"), power=scale),
        "verdict": words.VERDICTS.get(str(e.get("verdict")), words.VERDICTS["undecided"]),
    }


def _test(name: str, t: Mapping[str, Any]) -> dict[str, str]:
    rejected = _rejected(t.get("adjusted"))
    worst = f": {t['worst']}" if rejected and t.get("worst") else ""
    answer = f"no{worst}" if rejected else "not refuted"
    return {
        "name": _question(name),
        "n": words.count(t.get("n")),
        "p": p_value(t.get("adjusted")),
        "answer": answer,
    }


def _joint(name: str, score: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": _question(name),
        "size": words.interval(score),
        "floor": words.number(score.get("floor")),
        "regret": words.interval(mapping(score.get("regret"))),
        "unit": "" if score.get("unit") == "1" else score.get("unit"),
    }


def _coverage(c: Mapping[str, Any], adjusted: Mapping[str, Any]) -> dict[str, Any]:
    level = c.get("level")
    kind = str(c.get("kind", ""))
    p = adjusted.get(f"{kind} coverage {level:.0%}") if isinstance(level, int | float) else None
    return {
        "name": REGIONS.get(kind, kind),
        "level": words.share(level),
        "held": words.percent(c),
        "p": p_value(p),
    }


def _reliability(found: Mapping[str, Any], adjusted: Mapping[str, Any]) -> str:
    """The calibration error of the most probable category beside what a calibrated candidate shows."""
    if not found:
        return ""
    parts = (
        words.number(found.get(k)) for k in ("miscalibration", "discrimination", "uncertainty")
    )
    return (
        f"Smooth calibration error of the most probable category: {words.number(found.get('smooth_error'))}; a calibrated "
        f"candidate stays below {words.number(found.get('floor'))} in 95{words.THIN}% of runs, p = "
        f"{p_value(adjusted.get('reliability'))}. Brier score: {' − '.join([next(parts), next(parts)])} + {next(parts)} "
        "(miscalibration − discrimination + uncertainty)."
    )


def _groups(found: Mapping[str, Any]) -> list[dict[str, str]]:
    return [
        {
            "name": str(g.get("group")),
            "ratio": words.number(g.get("ratio")),
            "low": words.number(g.get("low")),
            "share": words.share(g.get("share")),
            "weight": words.share(g.get("weight")),
            "p": p_value(g.get("p_value")),
        }
        for g in map(mapping, (found.get("groups") or [])[:GROUPS_SHOWN])
    ]


def p_value(p: object) -> str:
    """A p-value at two digits, 1 or less than what is told apart."""
    if not isinstance(p, int | float):
        return words.MISSING
    return f"<{words.THIN}{LEAST:g}" if p < LEAST else words.number(round(p, 4))


def _question(name: str) -> str:
    return QUESTIONS.get(name, name.replace("_", " "))


def _rejected(p: object) -> bool:
    return isinstance(p, int | float) and p <= LEVEL
