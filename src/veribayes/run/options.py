"""How a run is made; what it is about is the task and the candidate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from veribayes.checked import integer
from veribayes.errors import InputError
from veribayes.validation import questions

DEFAULT_DATASETS = 1000
DEFAULT_AUDIT = 4


@dataclass(frozen=True)
class Options:
    """How a run is made.

    Attributes:
        datasets: at most; a sequential run ends as soon as it is sure that the candidate is
            different.
        audit: data sets on which NUTS checks an exact reference.
        tests: how much is asked beside the primary endpoint: none, standard, or all (`checks`).

    Raises:
        InputError: a number out of its range, or a level of tests that there is not.
    """

    datasets: int = DEFAULT_DATASETS
    seed: int = 0
    audit: int = DEFAULT_AUDIT
    reference: str | None = None
    reference_options: Mapping[str, str] = field(default_factory=dict)
    candidate_options: Mapping[str, str] = field(default_factory=dict)
    audit_options: Mapping[str, str] = field(default_factory=dict)
    keep_predictions: bool = False
    tests: str = "standard"
    sequential: bool = False

    def __post_init__(self) -> None:
        for name, least in (("datasets", 1), ("seed", 0), ("audit", 0)):
            value = integer(name, getattr(self, name), at_least=least)
            object.__setattr__(self, name, value)
        if self.tests not in questions.LEVELS:
            raise InputError(f"tests: one of {', '.join(questions.LEVELS)}", f"'{self.tests}'")
