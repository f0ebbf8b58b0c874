"""The frame of a kind of candidate: what it accepts, and what it makes of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from veribayes.errors import InputError
from veribayes.models._task import Task
from veribayes.validation.candidate import Candidate

BY_NAME = 10  # kinds whose names are a list that somebody has made: nothing else is called so
STRANGER = 50  # kinds from other distributions
BY_SHAPE = 90  # kinds that take whatever looks right


class Adapter(ABC):
    """A kind of candidate.

    Attributes:
        order: adapters are asked in this order, those with the same in the order of their names.
    """

    order = STRANGER

    @abstractmethod
    def accepts(self, thing: object) -> bool:
        """Whether this thing, a word of the command line or an object, is of this kind."""

    @abstractmethod
    def candidate(self, thing: object, task: Task) -> Candidate:
        """The candidate behind it.

        Raises:
            InputError: it cannot be a candidate for this task.
        """

    def configured(self, thing: object, task: Task, options: Mapping[str, str]) -> Candidate:
        """The same with options, given as text; a kind that has none refuses them.

        Raises:
            InputError: options for a thing that has none, or that it does not have.
        """
        candidate = self.candidate(thing, task)
        require_no_options(candidate, options)
        return candidate


def require_no_options(candidate: Candidate, options: Mapping[str, str]) -> None:
    """Refuse options for a candidate that has none.

    Raises:
        InputError: there are some.
    """
    if not options:
        return
    wanted = "candidate options for an engine or a construction by name"
    raise InputError(wanted, f"{', '.join(options)} for the {candidate.kind} '{candidate.name}'")
