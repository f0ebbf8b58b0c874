"""Reader for XDSL (GeNIe, SMILE), plain or gzipped:
chance nodes with tables, and deterministic ones.

    <smile><nodes> <cpt id="b"><state id="yes"/>… <parents>a c</parents>
    <probabilities>…</probabilities></cpt> <deterministic id="d"><state id="no"/>…
    <parents>b</parents> <resultingstates>no yes</resultingstates></deterministic>

The states of a node vary fastest in its table, those of its last parent next; in files of pyAgrum,
which name it, those of its first parent (versions 1.10 to 3.3 write them so, and read them so).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from veribayes.models._check import shown
from veribayes.models._dialects import ROOTS
from veribayes.models._reader import Reader
from veribayes.models._xml import Element, parse_xml
from veribayes.models.bayesian_network import BayesianNetwork
from veribayes.models.readers._files import Draft, read_text

FULL_TABLE = "write the full table as cpt: parameters of other functions are no probabilities"
KINDS: Mapping[str, str] = {
    "DECISION": "influence diagrams are not read: a decision has no probabilities",
    "UTILITY": "influence diagrams are not read: a utility is no variable",
    "MAU": "influence diagrams are not read: a utility is no variable",
    "EQUATION": "continuous nodes are not read: discretise them in GeNIe",
    "DYNAMIC": "networks over time are not read: unroll it in GeNIe",
}
PYAGRUM = "aGrUM"  # as what it signs its files
REVERSED = (
    "tables are read in pyAgrum's order of parents, the first one varying faster than the last"
)


def read_xdsl(path: str | Path) -> BayesianNetwork:
    """The network in an XDSL file, with known tables.

    Raises:
        InputError: no readable file.
        ModelError: the text is not XDSL, or holds other nodes than tables; the message gives file
            and line.
    """
    path = Path(path)
    return parse_xdsl(read_text(path), path.name)


def parse_xdsl(text: str, name: str = "text") -> BayesianNetwork:
    """The network in an XDSL text; `name` appears in messages."""
    draft, root = Draft(name, int), parse_xml(text, name)
    nodes = list(root.all("NODES"))
    if root.tag != "SMILE" or len(nodes) != 1:
        known = ROOTS.get(root.tag) if root.tag != "SMILE" else None
        remedy = f"it is {known.name}: {known.remedy}" if known else ""
        draft.fail(
            "one element 'nodes' in a smile element",
            f"{len(nodes)} in {shown(root.tag)}",
            root.line,
            remedy,
        )
    for element in root.all("DYNAMIC"):
        draft.fail("a network without time", "'dynamic'", element.line, KINDS["DYNAMIC"])
    signed = [
        genie.attributes.get("app", "")
        for extension in root.all("EXTENSIONS")
        for genie in extension.all("GENIE")
    ]
    reverse = any(app.startswith(PYAGRUM) for app in signed)
    for element in nodes[0].children:
        if element.tag not in ("CPT", "DETERMINISTIC"):
            remedy = KINDS.get(element.tag, FULL_TABLE)
            draft.fail(
                "a node of type cpt or deterministic",
                shown(element.tag.lower()),
                element.line,
                remedy,
            )
        _node(draft, element, reverse)
    if reverse and any(len(parents) > 1 for parents in draft.parents.values()):
        draft.notes.append(REVERSED)
    return draft.network()


def _node(draft: Draft, element: Element, reverse: bool) -> None:
    node = element.attributes.get("id", "")
    if not node:
        draft.fail("an id", "none", element.line)
    if len(node.split()) != 1 or node != node.strip():
        remedy = (
            "parents are listed by ids between blanks; pgmpy writes names as ids without a change"
        )
        draft.fail("an id without blanks", shown(node), element.line, remedy)
    states = [state.attributes.get("id", "") for state in element.all("STATE")]
    draft.declare(node, states, element.line)
    parents = " ".join(element.texts("PARENTS")).split()
    tag = "PROBABILITIES" if element.tag == "CPT" else "RESULTINGSTATES"
    found = element.texts(tag)
    if len(found) != 1:
        draft.fail(f"one element {tag.lower()} for {shown(node)}", f"{len(found)}", element.line)
    values = found[0] if element.tag == "CPT" else _certain(draft, element, states, found[0])
    draft.define(
        node, parents, values, element.line, (*reversed(parents), node) if reverse else None
    )


def _certain(draft: Draft, element: Element, states: list[str], results: str) -> str:
    """A table of zeros and ones."""
    row = {}
    for state in states:
        row[state] = " ".join("1" if s == state else "0" for s in states)
    words = results.split()
    unknown = [word for word in words if word not in row]
    if unknown:
        draft.fail("a state of the node", shown(unknown[0]), element.line)
    return " ".join(row[word] for word in words)


PART = Reader((".xdsl",), read_xdsl)
