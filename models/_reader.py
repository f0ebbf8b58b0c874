"""The frame of a reader: which files it reads, and what it makes of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from veribayes.models._model import Model


@dataclass(frozen=True)
class Reader:
    """A part that reads model files; each of them may be gzipped as well.

    Attributes:
        suffixes: of the files, in small letters, with the dot.
        read: path -> model. Raises `InputError` for what is no file and `ModelError` for what does
            not describe a model.
    """

    suffixes: tuple[str, ...]
    read: Callable[[Path], Model]
