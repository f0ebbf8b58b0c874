"""Single contexts, each where its divergence is largest, with both predictives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from veribayes.report import _svg, figures
from veribayes.report import _words as words
from veribayes.report._cases import Case, cases
from veribayes.report._run import Run
from veribayes.report._section import Section, shipped_template
from veribayes.tree.shown import Shown

WORST_SHOWN, MEDIAN_SHOWN = 3, 1  # an even number fills the grid
TITLES = {"worst": "Among the worst data sets", "median": "A median data set"}


@dataclass(frozen=True)
class Example:
    """A context shown concretely."""

    title: str
    facts: str
    context: Shown
    figure: Markup


def prepare(run: Run, salt: str) -> Mapping[str, Any] | None:
    shown_cases = [*cases(run, "worst", WORST_SHOWN), *cases(run, "median", MEDIAN_SHOWN)]
    examples = []
    for number, case in enumerate(shown_cases):
        examples.append(_example(run, case, f"{salt}-{number}"))
    return {"examples": examples} if examples else None


def _example(run: Run, case: Case, salt: str) -> Example:
    score = words.number(case.score, power=run.power)
    label = f"Predictive distributions for data set {case.index}"
    return Example(
        title=f"{TITLES[case.why]} · no. {case.index}",
        facts=f"{run.observations(case.context)} · {score} {run.unit}",
        context=case.shown,
        figure=_svg.inline(figures.examples([case]), label, salt),
    )


PART = Section(order=60, template=shipped_template("cases.html"), prepare=prepare)
