"""What can go wrong, as one tree; a class is chosen by what the caller would do about it.

    VeribayesError                     exit code
    ├── InputError                     2   change what you typed, the file, or the arrays
    │   ├── ModelError                 2   the model specification or model file is not a model
    │   ├── ShapeError                 2   an array has the wrong axes
    │   ├── EntryError                 2   some entries of an array cannot be; says how many, and
    │   │                                  where the first is
    │   └── CheckpointError            2   the weights or their card cannot be trusted
    ├── ReferenceRefused               4   the ground truth did not earn its certificate
    └── Interrupted                    130 stopped by the user; the same command continues

Anything else that escapes is a defect of veribayes and ends in exit code 70.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar


class VeribayesError(Exception):
    """Base of every error that veribayes raises on purpose; `exit_code` is what the command line
    returns.
    """

    exit_code: ClassVar[int] = 70


class InputError(VeribayesError):
    """Bad usage or bad input. The message says what was expected, what came, and what to do."""

    exit_code: ClassVar[int] = 2

    def __init__(self, expected: str, got: str, remedy: str = "") -> None:
        self.expected, self.got, self.remedy = expected, got, remedy
        super().__init__(f"expected {expected}, got {got}" + (f"; {remedy}" if remedy else ""))


class ModelError(InputError):
    """The specification or the file does not describe a model."""


class ShapeError(InputError):
    """An array has the wrong axes; veribayes never broadcasts silently."""


class EntryError(InputError):
    """Some of the distributions of a batch cannot be.

    Attributes:
        index: of the first one, in the leading axes of the batch.
        problem: what stands there.
        concerned, size: how many there are, of how many.
    """

    def __init__(
        self,
        expected: str,
        problem: str,
        remedy: str,
        index: tuple[int, ...],
        concerned: int,
        size: int,
        place: str = "",
    ) -> None:
        self.index, self.problem, self.concerned, self.size = index, problem, concerned, size
        first = f", first {place or f'at index {index}'}" if index else ""
        super().__init__(
            expected, f"{problem} in {concerned:,} of {size:,} distributions{first}", remedy
        )

    def placed(self, place: Callable[[tuple[int, ...]], str]) -> EntryError:
        """The same error with its place in words, for example `in data set 17, position 3 (n = 20),
        query 0`.
        """
        at = place(self.index)
        return EntryError(
            self.expected, self.problem, self.remedy, self.index, self.concerned, self.size, at
        )


class CheckpointError(InputError):
    """A checkpoint is missing, was changed, or belongs to another model."""


class ReferenceRefused(VeribayesError):
    """The reference did not earn its certificate; `reasons` says why, one sentence each."""

    exit_code: ClassVar[int] = 4

    def __init__(self, engine: str, reasons: Sequence[str]) -> None:
        self.engine, self.reasons = engine, tuple(reasons)
        super().__init__(f"reference '{engine}' refused: " + "; ".join(self.reasons))


class Interrupted(VeribayesError):
    """Stopped by the user. Finished shards are kept; the same command continues."""

    exit_code: ClassVar[int] = 130


class PluginWarning(UserWarning):
    """A plug-in cannot be used; the rest goes on without it."""


def shown(value: object, limit: int = 60) -> str:
    """A value as it appears in a one-line message; a scalar of NumPy as Python's."""
    if isinstance(value, str):
        value = value[:limit]  # a file may hold a word of 60 MB
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        value = value.item()  # type: ignore[attr-defined]
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
