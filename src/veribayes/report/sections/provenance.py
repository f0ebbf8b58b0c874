"""What the run was made with, and everything that it stored, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from veribayes.report import _words as words
from veribayes.report._run import Run
from veribayes.report._section import Section, shipped_template

BRIEF = 200  # characters; longer values wait in the JSON


def prepare(run: Run, salt: str) -> Mapping[str, Any]:
    del salt  # no figure
    return {
        "provenance": _brief(run.provenance),
        "provenance_json": words.as_json(run.provenance),
        "task_hash": str(run.result.get("task_hash") or words.MISSING),
        "result_json": words.as_json(run.result),
    }


def _brief(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Plain data as (name, text) pairs, without what is too long to read in a line."""
    pairs = []
    for name, value in values.items():
        text = "" if value in words.EMPTY else words.plain(value)
        if 0 < len(text) <= BRIEF:
            pairs.append((str(name).replace("_", " "), text))
    return pairs


PART = Section(order=120, template=shipped_template("provenance.html"), prepare=prepare)
