"""Recipes for tasks that come without one: small networks that train in a minute or two on one core where targets are quick.

The token layout says how many steps of how many data sets, the form of the exact law which head.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from veribayes.models._task import Task
from veribayes.transformer import _parts
from veribayes.transformer._architectures import family_of

LONGER = 6  # times the steps of the quick preset make the full one
WIDER: Mapping[str, int] = {"width": 64, "layers": 4, "heads": 4}
# by the form of the exact law; the last where nothing is known of it, and networks learn from what was drawn
HEADS: Mapping[str, Mapping[str, Any]] = {
    "normal": {"head": "normal"},
    "mixture": {"head": "mixture", "components": 4},
    "bins": {"head": "bins", "cells": 100, "reach": 5.0, "tail_scale": 0.5},
    "quantiles": {"head": "quantiles", "levels": 19},
    "": {"head": "mixture", "components": 4},
}


def presets(task: Task, *, law: str, targets: str) -> dict[str, dict[str, Any]]:
    """`quick` and `full` for a task.

    Args:
        law: form of the predictive that its reference engine gives; empty where that is not known.
        targets: as in a recipe.

    Raises:
        InputError: data that no tokens read.
    """
    tokens = _parts.tokens(family_of(task))
    quick = tokens.recipe(task)
    if task.model.n_categories is None:
        quick["network"] = {**quick["network"], **HEADS.get(law, HEADS["quantiles"])}
    if targets:
        quick = {**quick, "targets": targets, "stretch": 1.0}
    full = {
        **quick,
        "steps": LONGER * quick["steps"],
        "network": {**quick["network"], **WIDER},
    }
    return {"quick": quick, "full": full}
