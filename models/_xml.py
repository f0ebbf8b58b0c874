"""XML as a small tree, read without entities: what a document declares beyond the standard five is
refused, not expanded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from veribayes.errors import ModelError
from veribayes.models._check import shown

MAX_ELEMENTS = 2**18  # the largest published network has 2**16
MAX_DEPTH = 32
MAX_TAG = 2**16  # characters; tables are text, not attributes
LONG_TAG = re.compile(rf"<[^<>]{{{MAX_TAG}}}")


@dataclass
class Element:
    """Tag (upper case: writers differ), attributes, the text directly inside, children, and the
    line it starts on.

    A tag has its namespace in braces before it where that is not the document's own.
    """

    tag: str
    attributes: dict[str, str]
    line: int
    pieces: list[str] = field(default_factory=list)
    children: list[Element] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.pieces).strip()

    def all(self, *tags: str) -> Iterator[Element]:
        """Children with one of these tags."""
        return (child for child in self.children if child.tag in tags)

    def texts(self, tag: str) -> list[str]:
        """The text of every child with this tag."""
        return [child.text for child in self.all(tag)]


def parse_xml(text: str, name: str) -> Element:
    """The root element.

    Raises:
        ModelError: not well formed, entities or references to other files, or more elements than a
            network has.
    """
    if LONG_TAG.search(text):
        raise ModelError(f"tags of less than {MAX_TAG} characters in {name}", "a longer one")
    tree = _Tree(name)
    parser = tree.parser
    try:
        parser.Parse(
            re.sub(r"^\s*<\?xml[^>]*\?>", "", text, count=1), True
        )  # it is decoded already
    except expat.ExpatError as error:
        raise ModelError(f"well-formed XML in {name}", str(error)) from None
    return tree.root.children[0]


class _Tree:
    def __init__(self, name: str) -> None:
        self.name, self.count = name, 0
        self.root = Element("", {}, 0)
        self.open = [self.root]
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.namespace: str | None = None  # of the root
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.EntityDeclHandler = self._entity
        self.parser.ExternalEntityRefHandler = self._entity
        self.parser.SkippedEntityHandler = self._entity

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self.count += 1
        if self.count > MAX_ELEMENTS or len(self.open) > MAX_DEPTH:
            wanted = f"at most {MAX_ELEMENTS} elements, {MAX_DEPTH} deep, in {self.name}"
            raise ModelError(wanted, f"more in line {self.parser.CurrentLineNumber}")
        space, _, local = tag.rpartition(" ")
        if self.namespace is None:
            self.namespace = space
        name = local.upper() if space == self.namespace else f"{{{space}}}{local.upper()}"
        element = Element(name, attributes, self.parser.CurrentLineNumber)
        self.open[-1].children.append(element)
        self.open.append(element)

    def _end(self, tag: str) -> None:
        del tag  # expat has matched it
        self.open.pop()

    def _text(self, data: str) -> None:
        self.open[-1].pieces.append(data)

    def _entity(self, name: str | None, *rest: object) -> int:
        del rest
        wanted = f"XML without entities in {self.name}, line {self.parser.CurrentLineNumber}"
        raise ModelError(wanted, f"the entity {shown(name or '')}", "write the text out")
