"""What each number is corrected for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from veribayes.report._run import Run, mapping
from veribayes.report._section import Section, shipped_template


def prepare(run: Run, salt: str) -> Mapping[str, Any] | None:
    del salt  # no figure
    corrections = mapping(run.result.get("multiplicity"))
    rows = [(name.replace("_", " "), str(value)) for name, value in corrections.items()]
    return {"multiplicity": rows} if rows else None


PART = Section(order=100, template=shipped_template("multiplicity.html"), prepare=prepare)
