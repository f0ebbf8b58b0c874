"""What is judged beside the primary endpoint: other endpoints and tests, calibration, where the
divergence concentrates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from veribayes.run.comparison import Comparison
from veribayes.run.sections.primary import Primary
from veribayes.run.sections.where import Where
from veribayes.validation import secondary
from veribayes.validation.secondary import Checked

MOMENTS = "means and standard deviations of latents are compared as moments: they state no region"
POINT = "not asked: a point has no spread"


@dataclass(frozen=True, eq=False)
class Secondary:
    """Endpoints and tests, with one family of p-values."""

    family: Mapping[str, Any]

    def entry(self) -> Mapping[str, Any]:
        """For the result's JSON."""
        return self.family


@dataclass(frozen=True, eq=False)
class Calibration:
    """Whether outcomes lie where the candidate says, and how often it is right when it is sure.

    Attributes:
        measured: coverage and reliability, as plain data.
        adjusted: p-values of these by name, corrected in the family.
    """

    measured: Mapping[str, Any]
    adjusted: Mapping[str, float | None]

    def entry(self) -> dict[str, Any]:
        """For the result's JSON."""
        return {**self.measured, "adjusted": dict(self.adjusted)}


@dataclass(frozen=True, eq=False)
class Concentration:
    """Groups of contexts in which the divergence is larger than elsewhere."""

    found: Mapping[str, Any]

    def entry(self) -> Mapping[str, Any]:
        """For the result's JSON."""
        return self.found


@dataclass(frozen=True, eq=False)
class Multiplicity:
    """What each number of the result is corrected for."""

    sentences: Mapping[str, str]

    def entry(self) -> Mapping[str, str]:
        """For the result's JSON."""
        return self.sentences


@dataclass(frozen=True, eq=False)
class Beside:
    """All of it, and what was asked for it."""

    asked: Checked
    secondary: Secondary
    calibration: Calibration
    concentration: Concentration
    multiplicity: Multiplicity


def beside_of(comparison: Comparison, asked: Checked, primary: Primary, where: Where) -> Beside:
    """Judge what was asked beside the primary endpoint of a comparison."""
    seed = comparison.seed
    measured, p_values = secondary.calibration(
        comparison.scores,
        seed=seed,
        levels=comparison.scored.levels,
        beside=len(asked.endpoints) + len(asked.outcomes),
        unasked=_unasked(comparison),
    )
    family = secondary.family(asked, p_values, seed=seed)
    groups = {} if primary.is_rounding else comparison.groups
    concentration = secondary.concentration(where.ranked, groups, seed=seed)
    contexts = where.curve.profile.key.size
    queries = len(where.by_query.entry())
    sentences = secondary.multiplicity(contexts, queries, family, concentration)
    adjusted = {name: family["adjusted"][name] for name in p_values}
    return Beside(
        asked,
        Secondary(family),
        Calibration(measured, adjusted),
        Concentration(concentration),
        Multiplicity(sentences),
    )


def _unasked(comparison: Comparison) -> str:
    """Why nothing is asked of the regions of what was compared; empty where something is."""
    if comparison.task.model.moments:
        return MOMENTS
    return POINT if comparison.scored.form == "point" else ""
