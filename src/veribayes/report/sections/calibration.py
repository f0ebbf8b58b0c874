"""Whether outcomes fall where the candidate says,
and whether it is right as often as it is sure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from veribayes.report import _svg, figures
from veribayes.report import _words as words
from veribayes.report._run import Run, mapping
from veribayes.report._section import Section, shipped_template

REGIONS = {"central": "central interval", "hpd": "region of highest density"}
PIT_LABEL = "Histogram of the probability integral transform"
PARTS = ("miscalibration", "discrimination", "uncertainty")  # of the Brier score


def prepare(run: Run, salt: str) -> Mapping[str, Any]:
    calibration = mapping(run.result.get("calibration"))
    adjusted = mapping(mapping(run.result.get("secondary")).get("adjusted"))
    regions = calibration.get("coverage") or []
    reliability = mapping(calibration.get("reliability"))
    return {
        "moments": run.moments,
        "reason": "" if run.moments else _sentence(str(calibration.get("reason") or "")),
        "pit": _pit(run, salt),
        "reliability_figure": _reliability_figure(run, salt) if reliability else None,
        "coverage": [_coverage(mapping(region), adjusted) for region in regions],
        "reliability": _reliability(reliability, adjusted) if reliability else "",
    }


def _sentence(reason: str) -> str:
    """Why there is nothing to show, as a sentence; empty where there is something."""
    return f"{reason[:1].upper()}{reason[1:]}." if reason else ""


def _pit(run: Run, salt: str) -> Markup | None:
    if run.array("/scores/candidate", "pit") is None or run.moments:
        return None
    return _svg.inline(figures.pit(run), PIT_LABEL, f"{salt}-pit")


def _reliability_figure(run: Run, salt: str) -> Markup:
    return _svg.inline(figures.reliability(run), "Confidence against hits", f"{salt}-reliability")


def _coverage(region: Mapping[str, Any], adjusted: Mapping[str, Any]) -> dict[str, Any]:
    level, kind = region.get("level"), str(region.get("kind", ""))
    p = adjusted.get(f"{kind} coverage {level:.0%}") if isinstance(level, int | float) else None
    return {
        "name": REGIONS.get(kind, kind),
        "level": words.share(level),
        "held": words.percent(region),
        "p": words.p_value(p),
    }


def _reliability(reliability: Mapping[str, Any], adjusted: Mapping[str, Any]) -> str:
    """The calibration error of the most probable category beside what a calibrated candidate
    shows.
    """
    error = words.number(reliability.get("smooth_error"))
    floor = words.number(reliability.get("floor"))
    p = words.p_value(adjusted.get("reliability"))
    first, second, third = (words.number(reliability.get(part)) for part in PARTS)
    return (
        f"Smooth calibration error of the most probable category: {error}; a calibrated candidate "
        f"stays below {floor} in 95{words.THIN}% of runs, p = {p}. Brier score: {first} − {second} "
        f"+ {third} (miscalibration − discrimination + uncertainty)."
    )


PART = Section(order=90, template=shipped_template("calibration.html"), prepare=prepare)
