"""Groups of predictions in which the divergence is largest against the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from veribayes.report import _words as words
from veribayes.report._run import Run, mapping
from veribayes.report._section import Section, shipped_template

GROUPS_SHOWN = 6


def prepare(run: Run, salt: str) -> Mapping[str, Any] | None:
    del salt  # no figure
    concentration = mapping(run.result.get("concentration"))
    groups = [_row(mapping(group)) for group in (concentration.get("groups") or [])[:GROUPS_SHOWN]]
    if not groups:
        return None
    return {"groups": groups, "searched": words.count(concentration.get("searched"))}


def _row(group: Mapping[str, Any]) -> dict[str, str]:
    return {
        "name": str(group.get("group")),
        "ratio": words.number(group.get("ratio")),
        "low": words.number(group.get("low")),
        "share": words.share(group.get("share")),
        "weight": words.share(group.get("weight")),
        "p": words.p_value(group.get("p_value")),
    }


PART = Section(order=50, template=shipped_template("concentration.html"), prepare=prepare)
