"""The frame of an endpoint: what it needs, its unit and tolerance,
and how it is measured on a comparison.

need        the comparison has it where
reference   the truth about the data sets that are asked about is known, and not sampled again
latents     the candidate says something about latents
joint       the candidate and the reference both have a joint predictive of the queries
askable     the candidate can be asked again
list        the layout says that the order of a context means nothing, and the candidate can be
            asked again
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from veribayes.errors import InputError
from veribayes.predictive import Array
from veribayes.validation.case import Case
from veribayes.validation.endpoints._size import Size

LAST = 100  # place of an endpoint that says none: behind those of this package
Values = Array | Mapping[str, Array] | None
Level = Literal["standard", "all"]


def _has_latents(case: Case) -> bool:
    return case.judged.exposes and bool(case.said.posterior)


def _has_joint(case: Case) -> bool:
    if not case.judged.exposes or case.said.joint is None:
        return False
    return case.truth is not None and case.truth.joint is not None


NEEDS: Mapping[str, Callable[[Case], bool]] = {
    "reference": lambda case: case.truth is not None,
    "latents": _has_latents,
    "joint": _has_joint,
    "askable": lambda case: case.judged.askable,
    "list": lambda case: bool(case.listed),
}


def primary_tolerance(case: Case) -> float:
    """That of the endpoint that decides."""
    return case.primary.tolerance


def constant(tolerance: float) -> Callable[[Case], float]:
    """The same tolerance for every comparison."""
    return lambda case: tolerance


def no_error(case: Case) -> float:
    """Of what is not held against a reference, or against one whose error is nothing beside the
    tolerance.
    """
    del case
    return 0.0


@dataclass(frozen=True, eq=False)
class Endpoint:
    """A question about a candidate whose answer has a tolerance; beyond it the run is `different`.

    Attributes:
        name: the part's name.
        label: what is measured, for a table.
        about: what it means to be beyond the tolerance, a clause.
        needs: words of `NEEDS`; where one is not met the endpoint is not asked.
        measure: comparison -> one value a data set, (dataset,), or several ways to ask by name, of
            which the largest counts; data sets that say nothing are left out, and None, or no data
            set, is no answer.
        unit: of the values; None for that of the primary endpoint.
        tolerance: comparison -> largest mean that counts as none, in this unit.
        reference_error: comparison -> what the reference's error may add to the mean.
        level: `standard` is asked in every run, `all` only where everything is wanted.
        place: endpoints are asked and listed by it, then by name.
    """

    name: str
    label: str
    about: str
    needs: tuple[str, ...]
    measure: Callable[[Case], Values]
    unit: str | None = None
    tolerance: Callable[[Case], float] = primary_tolerance
    reference_error: Callable[[Case], float] = no_error
    level: Level = "standard"
    place: int = LAST

    def __post_init__(self) -> None:
        unknown = [word for word in self.needs if word not in NEEDS]
        if unknown:
            raise InputError(f"needs among {', '.join(NEEDS)}", ", ".join(unknown))

    def ask(self, case: Case) -> Size | None:
        """Its size for this candidate; None where a need is not met, or no data set says
        anything.
        """
        if not all(NEEDS[word](case) for word in self.needs):
            return None
        values = self.measure(case)
        if values is None:
            return None
        unit = case.primary.unit if self.unit is None else self.unit
        if not isinstance(values, Mapping):
            if not values.size:
                return None
            return Size(values, self.tolerance(case), unit, self.reference_error(case))
        answered = {way: each for way, each in values.items() if each.size}
        return Size.largest(answered, self.tolerance(case), unit) if answered else None
