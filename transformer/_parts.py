"""Token layouts, heads and architectures by name; an unknown name is refused before anything is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from veribayes import registry
from veribayes.checked import choice

if TYPE_CHECKING:
    from veribayes.transformer.architectures._architecture import Architecture
    from veribayes.transformer.heads._head import Head
    from veribayes.transformer.tokens._tokens import Tokens


def tokens(name: str) -> Tokens:
    """The token part that a layout, a config or a card names.

    Raises:
        InputError: no such part, or a plug-in that cannot be used.
    """
    part: Tokens = registry.load("tokens", choice("family", name, registry.names("tokens")))
    return part


def head(name: str) -> Head:
    """The head that a config names.

    Raises:
        InputError: no such part, or a plug-in that cannot be used.
    """
    part: Head = registry.load("head", choice("head", name, registry.names("head")))
    return part


def architecture(name: str) -> Architecture:
    """The architecture that a recipe or a card names.

    Raises:
        InputError: no such part, or a plug-in that cannot be used.
    """
    known = registry.names("architecture")
    part: Architecture = registry.load("architecture", choice("architecture", name, known))
    return part
