"""Who was compared with whom, on what: model, reference, candidate and data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from veribayes.report import _words as words
from veribayes.report._run import Run, mapping
from veribayes.report._section import Section, shipped_template


def prepare(run: Run, salt: str) -> Mapping[str, Any]:
    del salt  # no figure
    result, reference = run.result, run.reference
    reasons = mapping(reference.get("certificate")).get("reasons") or []
    seed = result.get("seed")
    return {
        "description": str(result.get("description") or ""),
        "model": words.model(run.model_sentence, run.model),
        "model_json": words.as_json(run.model),
        "engine": run.engine,
        "certificate": words.certificate(reference),
        "reasons": [str(reason) for reason in reasons],
        "candidate": run.candidate,
        "about_candidate": str(result.get("candidate_kind") or ""),
        "datasets": words.count(result.get("datasets")),
        "design": _design(run),
        "seed": words.MISSING if seed is None else str(seed),
    }


def _design(run: Run) -> str:
    """Context sizes and queries, from the stored arrays."""
    context = run.array("/observed_data", "context")
    outcome = run.array("/observed_data", "outcome")
    if context is None or not context.size:
        return ""
    stated = context[0] if context.shape[1] > 1 else context
    sizes = [str(size) for size in np.unique(stated).astype(int)]
    queries = 1 if outcome is None else outcome.shape[-1]
    each = f"{queries} queries each" if queries > 1 else "one query each"
    return f"{', '.join(sizes)} {run.observations()}; {each}"


PART = Section(order=10, template=shipped_template("compared.html"), prepare=prepare)
