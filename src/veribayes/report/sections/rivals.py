"""Which other predictors would pass at the same tolerance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from veribayes.report import _svg, figures
from veribayes.report import _words as words
from veribayes.report._rivals import rows
from veribayes.report._run import Run
from veribayes.report._section import Section, shipped_template

ALT = "Every predictor’s divergence over the tolerance"


def prepare(run: Run, salt: str) -> Mapping[str, Any] | None:
    rivals = rows(run)
    if not rivals:
        return None
    overview = None
    if run.primary.get("tolerance"):
        overview = _svg.inline(figures.overview([run]), ALT, f"{salt}-overview")
    return {
        "candidate": run.candidate,
        "verdict": words.verdict(run.result),
        "unit": run.unit,
        "divergence": words.interval(run.primary, run.power),
        "recovery": words.percent(run.recovery),
        "rivals": rivals,
        "overview": overview,
    }


PART = Section(order=30, template=shipped_template("rivals.html"), prepare=prepare)
