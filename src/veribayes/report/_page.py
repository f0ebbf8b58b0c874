"""The HTML page: a table of all tasks, then each task's sections.

Autoescape is on; the only markup that passes is that of templates, `_svg.inline`, which escapes
what it is given, and our own style sheet. A section of another distribution that fails is said and
left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup

from veribayes import registry
from veribayes.report import _overview
from veribayes.report import _words as words
from veribayes.report._run import Run
from veribayes.report._section import Section, shipped_template
from veribayes.report._style import DARK, LIGHT

KIND = "section"  # of parts, in the registry


@dataclass(frozen=True)
class Ready:
    """A section whose template is compiled."""

    name: str
    section: Section
    template: Template

    def shown(self, run: Run, salt: str) -> Markup:
        """The section of a run as markup; empty where the run has nothing of the kind."""
        prepared = self.section.prepare(run, salt)
        return Markup() if prepared is None else Markup(self.template.render(**prepared))


@dataclass(frozen=True)
class Part:
    """What the page shows of one task."""

    overview: _overview.Line
    sections: list[Markup]


def render(runs: Sequence[Run]) -> str:
    """The page as text."""
    environment = _environment()
    sections = _sections(environment)
    parts = [_part(run, number, sections) for number, run in enumerate(runs, 1)]
    return environment.get_template("page.html").render(parts=parts, title=_title(runs))


def fill(template: str, **shown: Any) -> str:
    """A page from its template: autoescaped, with our style sheet and nothing from elsewhere."""
    return _environment().get_template(template).render(**shown)


def _environment() -> Environment:
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        loader=FunctionLoader(shipped_template),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    css = Markup(shipped_template("style.css"))
    environment.globals.update(words=words, light=LIGHT, dark=DARK, css=css)
    return environment


def _sections(environment: Environment) -> list[Ready]:
    """All sections that can be used, in their order."""
    sections = []
    for name in registry.usable(KIND):
        ready = registry.attempted(KIND, name, partial(_ready, environment, name))
        if ready is not None:
            sections.append(ready)
    return sorted(sections, key=lambda ready: (ready.section.order, ready.name))


def _ready(environment: Environment, name: str) -> Ready:
    section = registry.load(KIND, name)
    if not isinstance(section.order, int):
        raise TypeError(f"expected an integer order, got {section.order!r}")
    return Ready(name, section, environment.from_string(section.template))


def _part(run: Run, number: int, sections: Sequence[Ready]) -> Part:
    shown = []
    for ready in sections:
        markup = registry.attempted(KIND, ready.name, partial(ready.shown, run, str(number)))
        if markup is not None:
            shown.append(markup)
    return Part(_overview.line(run, number), shown)


def _title(runs: Sequence[Run]) -> str:
    if len(runs) > 1:
        return f"Verification report: {len(runs)} tasks"
    first = str(runs[0].result.get("task") or "run")
    return f"{first}: verification report"
