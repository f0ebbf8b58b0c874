"""How the truth was audited: its certificate, and NUTS beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from markupsafe import Markup

from veribayes.report import _svg, figures
from veribayes.report import _words as words
from veribayes.report._run import Run, mapping
from veribayes.report._section import Section, shipped_template


def prepare(run: Run, salt: str) -> Mapping[str, Any]:
    return {
        "engine": run.engine,
        "certificate": words.certificate(run.reference),
        "audit": mapping(run.result.get("audit")),
        "numbers": ", ".join((*_summary(run), *_diagnostics(run))),
        "audit_figure": _figure(run, salt),
    }


def _figure(run: Run, salt: str) -> Markup | None:
    if run.array("/audit", "z") is None:
        return None
    return _svg.inline(figures.audit(run), "Exact posterior against NUTS", f"{salt}-audit")


def _summary(run: Run) -> list[str]:
    """What the result entry says of the audit."""
    audit = mapping(run.result.get("audit"))
    numbers = []
    if "datasets" in audit:
        numbers.append(f"{audit['datasets']} data sets")
    if isinstance(audit.get("context"), int):
        numbers.append(run.observations(audit["context"]))
    if "latents" in audit:
        numbers.append(f"{audit['latents']} means")
    if "max_abs_z" in audit:
        numbers.append(f"largest |z| {words.number(audit['max_abs_z'])}")
    if "sd_z" in audit:
        spread = words.number(audit["sd_z"])
        right = "1 when the Monte Carlo errors are right"
        numbers.append(f"standard deviation of z {spread} ({right})")
    return numbers


def _diagnostics(run: Run) -> list[str]:
    """The worst diagnostics, where they were stored."""
    r_hat, ess = run.array("/audit", "rank_r_hat"), run.array("/audit", "ess_bulk")
    numbers = []
    if r_hat is not None and np.isfinite(r_hat).any():
        numbers.append(f"largest rank R-hat {np.nanmax(r_hat):.4f}")
    if ess is not None and np.isfinite(ess).any():
        numbers.append(f"smallest bulk ESS {np.nanmin(ess):,.0f}")
    return numbers


PART = Section(order=110, template=shipped_template("audit.html"), prepare=prepare)
