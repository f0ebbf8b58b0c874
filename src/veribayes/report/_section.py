"""A section of a task's part of the page: where it stands, what it shows, and its layout.

Sections are found by file in `sections/`, and in other distributions by the entry point group
`veribayes.section`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from veribayes.report._run import Run

TEMPLATES = files("veribayes.report") / "templates"

# A run and the salt of its figures -> what the template shows, by name; None where the run has
# nothing of the kind. The salt differs between the tasks of a page; every figure of a section adds
# a name of its own (`_svg.inline`).
Prepare = Callable[[Run, str], Mapping[str, Any] | None]


@dataclass(frozen=True)
class Section:
    """What a file of `sections/` offers as `PART`.

    Attributes:
        order: sections stand in increasing order; ours are multiples of ten.
        template: source of a Jinja template. Whatever it shows is escaped; `words` are the
            functions and constants of `_words`, and `parts.html` has macros for figures.
        prepare: see `Prepare`.
    """

    order: int
    template: str
    prepare: Prepare


def shipped_template(name: str) -> str:
    """The source of a template of ours."""
    return (TEMPLATES / name).read_text("utf-8")
