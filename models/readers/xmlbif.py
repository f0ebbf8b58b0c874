"""Reader for XMLBIF 0.3, plain or gzipped.

    <BIF><NETWORK> <VARIABLE TYPE="nature"><NAME>a</NAME><OUTCOME>yes</OUTCOME>…</VARIABLE>
    <DEFINITION><FOR>b</FOR><GIVEN>a</GIVEN>…<TABLE>…</TABLE></DEFINITION> </NETWORK></BIF>

The table lists the states of the last GIVEN slower than those of FOR, which vary fastest.
"""

from __future__ import annotations

from pathlib import Path

from veribayes.models._check import shown
from veribayes.models._dialects import ROOTS
from veribayes.models._reader import Reader
from veribayes.models._xml import Element, parse_xml
from veribayes.models.bayesian_network import BayesianNetwork
from veribayes.models.readers._files import Draft, read_text


def read_xmlbif(path: str | Path) -> BayesianNetwork:
    """The network in an XMLBIF file, with known tables.

    Raises:
        InputError: no readable file.
        ModelError: the text is not XMLBIF, or does not describe a network; the message gives file
            and line.
    """
    path = Path(path)
    return parse_xmlbif(read_text(path), path.name)


def parse_xmlbif(text: str, name: str = "text") -> BayesianNetwork:
    """The network in an XMLBIF text; `name` appears in messages."""
    draft, root = Draft(name, int), parse_xml(text, name)
    networks = list(root.all("NETWORK"))
    if root.tag != "BIF" or len(networks) != 1:
        known = ROOTS.get(root.tag) if root.tag != "BIF" else None
        remedy = f"it is {known.name}: {known.remedy}" if known else ""
        draft.fail(
            "one NETWORK in a BIF element",
            f"{len(networks)} in {shown(root.tag)}",
            root.line,
            remedy,
        )
    for element in networks[0].children:
        if element.tag == "VARIABLE":
            _variable(draft, element)
        elif element.tag == "DEFINITION":
            _definition(draft, element)
        elif element.tag not in ("NAME", "PROPERTY", "COMMENT"):
            draft.fail("VARIABLE, DEFINITION, NAME or PROPERTY", shown(element.tag), element.line)
    return draft.network()


def _variable(draft: Draft, element: Element) -> None:
    kind = element.attributes.get("TYPE", "nature")
    if kind.lower() != "nature":
        draft.fail(
            "a variable of type nature",
            shown(kind),
            element.line,
            "only finite random variables are read",
        )
    draft.declare(
        _only(draft, element, "NAME"),
        element.texts("OUTCOME") or element.texts("VALUE"),
        element.line,
    )


def _definition(draft: Draft, element: Element) -> None:
    table = _only(draft, element, "TABLE")
    draft.define(_only(draft, element, "FOR"), element.texts("GIVEN"), table, element.line)


def _only(draft: Draft, element: Element, tag: str) -> str:
    found = element.texts(tag)
    if len(found) != 1 or not found[0]:
        draft.fail(f"one {tag} with a text in {element.tag}", f"{len(found)}", element.line)
    return found[0]


PART = Reader((".xmlbif", ".bifxml", ".xml"), read_xmlbif)
