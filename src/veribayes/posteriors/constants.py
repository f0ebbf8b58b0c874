"""Entries of two posteriors that are not compared as laws: constants and padding."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from veribayes.posteriors.alignment import Alignment
from veribayes.posteriors.chains import Posterior


@dataclass(eq=False)
class Constants:
    """What is not compared as a law, by why.

    Attributes:
        one_sided: constant in one of them only.
        unequal: constant in both, with different values.
        padding: NaN in every draw of the reference -> a sentence.
        stuck: of the reference and of the candidate, own names of constants that vary in the other
            one.
        all: every entry that is constant or padding somewhere.
    """

    one_sided: set[str] = field(default_factory=set)
    unequal: set[str] = field(default_factory=set)
    padding: dict[str, str] = field(default_factory=dict)
    stuck: tuple[list[str], list[str]] = field(default_factory=lambda: ([], []))
    all: set[str] = field(default_factory=set)

    @property
    def differ(self) -> bool:
        """Whether the posteriors differ by their constants alone."""
        return bool(self.one_sided or self.unequal)


def find_constants(truth: Posterior, other: Posterior, common: Alignment) -> Constants:
    """Constants and padding among the entries that both posteriors have."""
    constants = Constants()
    for name in common.reference:
        own, others = common.reference_names[name], common.candidate_names[name]
        if own in truth.absent:
            constants.padding[name] = "NaN in every draw of the reference"
            constants.all.add(name)
            continue
        fixed, other_fixed = own in truth.constants, others in other.constants
        if fixed or other_fixed:
            constants.all.add(name)
        if fixed and other_fixed:
            if not _equal(common, name):
                constants.unequal.add(name)
        elif fixed:
            constants.one_sided.add(name)
            if own in truth.frozen:
                constants.stuck[0].append(own)
        elif other_fixed:
            constants.one_sided.add(name)
            if others in other.frozen:
                constants.stuck[1].append(others)
    return constants


def _equal(common: Alignment, name: str) -> bool:
    value, other = common.reference[name].flat[0], common.candidate[name].flat[0]
    return bool(np.isclose(value, other, rtol=1e-5, atol=1e-8))
