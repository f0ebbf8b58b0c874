"""XMLBIF, UAI, NET and XDSL: round trips of published networks, ways to write the same network,
and what must be refused.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from veribayes.errors import InputError, ModelError
from veribayes.models._spec import load_model_file, load_task
from veribayes.models.bayesian_network import BayesianNetwork
from veribayes.models.readers.net import parse_net
from veribayes.models.readers.uai import parse_uai
from veribayes.models.readers.xdsl import parse_xdsl
from veribayes.models.readers.xmlbif import parse_xmlbif
from veribayes.tree import IntArray

TABLE_B = [[0.1, 0.2, 0.7], [0.3, 0.3, 0.4]]
TEXTS = {
    "xmlbif": """<?xml version="1.0" encoding="US-ASCII"?>
<!DOCTYPE BIF [ <!ELEMENT BIF ( NETWORK )*> <!ATTLIST BIF VERSION CDATA #REQUIRED> ]>
<BIF VERSION="0.3"><NETWORK><NAME>tiny</NAME>
<VARIABLE TYPE="nature"><NAME>a</NAME><OUTCOME>yes</OUTCOME><OUTCOME>&lt;5</OUTCOME><PROPERTY>x = 1</PROPERTY></VARIABLE>
<VARIABLE TYPE="nature"><NAME>b</NAME><OUTCOME>low</OUTCOME><OUTCOME>mid</OUTCOME><OUTCOME>high</OUTCOME></VARIABLE>
<DEFINITION><FOR>b</FOR><GIVEN>a</GIVEN><TABLE>0.1 0.2 0.7 <!-- yes above --> 0.3 .3 4e-1</TABLE></DEFINITION>
<DEFINITION><FOR>a</FOR><TABLE>0.25 0.75</TABLE></DEFINITION>
</NETWORK></BIF>""",  # noqa: E501
    "xdsl": """<?xml version="1.0" encoding="UTF-8"?>
<smile version="1.0" id="tiny"><nodes>
<cpt id="a"><state id="yes" /><state id="&lt;5" /><probabilities>0.25 0.75</probabilities></cpt>
<cpt id="b"><state id="low" /><state id="mid" /><state id="high" /><parents>a</parents>
<probabilities>0.1 0.2 0.7 0.3 .3 4e-1</probabilities></cpt>
</nodes><extensions><genie version="1.0"><node id="a"><name>A &amp; B</name></node></genie></extensions></smile>""",  # noqa: E501
    "net": """% a comment { with ; signs
net { name = "tiny; {not} a block"; node_size = (80 40); }
node a { states = ("yes" "<5"); position = (1 2); HR_Desc = "x; y"; }
discrete node b { label = ""; states = ("low" "mid" "high"); }
potential ( b | a ) { data = (( 0.1 0.2 0.7 ) % yes ; ( above
 ( 0.3 .3 4e-1 )); }
potential (a) { data = ( 0.25 0.75 ); }""",
    "uai": "BAYES\n2\n2 3\n2\n1 0\n2 0 1\n\n2\n 0.25 0.75\n\n6\n 0.1 0.2 0.7\n 0.3 .3 4e-1\n",
}
PARSERS: dict[str, Callable[[str], BayesianNetwork]] = {
    "xmlbif": lambda t: parse_xmlbif(t, "x.xmlbif"),
    "xdsl": lambda t: parse_xdsl(t, "x.xdsl"),
    "net": lambda t: parse_net(t, "x.net"),
    "uai": lambda t: parse_uai(t, "x.uai"),
}


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("zipped", [False, True])
def test_the_same_network_in_every_format(kind: str, zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / (f"tiny.{kind}" + ".gz" * zipped)
    content = TEXTS[kind].replace("\n", "\r\n").encode()
    path.write_bytes(gzip.compress(content) if zipped else content)
    task = load_task(path)
    model = task.model
    assert task.name == "tiny"
    assert isinstance(model, BayesianNetwork)
    if kind == "uai":
        assert (model.nodes, model.states) == (("x0", "x1"), (("0", "1"), ("0", "1", "2")))
    else:
        assert (model.nodes, model.states) == (("a", "b"), (("yes", "<5"), ("low", "mid", "high")))
    np.testing.assert_array_equal(model.table(0), [0.25, 0.75])
    np.testing.assert_allclose(model.table(1), TABLE_B, atol=1e-15)


def test_deterministic_nodes_are_tables_of_zeros_and_ones() -> None:
    more = (
        '<deterministic id="d"><state id="no"/><state id="on"/><parents>b a</parents>'
        "<resultingstates>no on on on no no</resultingstates></deterministic></nodes>"
    )
    model = parse_xdsl(TEXTS["xdsl"].replace("</nodes>", more))
    assert model.parents[2] == (1, 0)
    assert model.table(2)[..., 1].tolist() == [[0, 1], [1, 1], [0, 0]]


# -- real networks ---------------------------------------------------------------------------------


def to_uai(model: BayesianNetwork) -> str:
    sizes = model.cardinalities.tolist()
    scopes = [" ".join(map(str, (len(p) + 1, *p, i))) for i, p in enumerate(model.parents)]
    tables = [f"{t.size} " + " ".join(map(repr, t.ravel().tolist())) for t in model.tables]
    return "\n".join(
        ["BAYES", str(len(sizes)), " ".join(map(str, sizes)), str(len(sizes)), *scopes, *tables]
    )


def to_net(model: BayesianNetwork) -> str:
    nodes = [
        f'node "{n}" {{ states = ({" ".join(f"{chr(34)}{s}{chr(34)}" for s in states)}); }}'
        for n, states in zip(model.nodes, model.states, strict=True)
    ]
    out = ["net { }", *nodes]
    for node, parents, table in zip(model.nodes, model.parents, model.tables, strict=True):
        given = " ".join(f'"{model.nodes[p]}"' for p in parents)
        data = str(table.tolist()).replace("[", "(").replace("]", ")").replace(",", " ")
        out.append(f'potential ( "{node}" | {given} ) {{ data = {data}; }}')
    return "\n".join(out)


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def to_xmlbif(model: BayesianNetwork) -> str:
    out = []
    for node, states in zip(model.nodes, model.states, strict=True):
        outcomes = "".join(f"<OUTCOME>{escaped(s)}</OUTCOME>" for s in states)
        out.append(f'<VARIABLE TYPE="nature"><NAME>{escaped(node)}</NAME>{outcomes}</VARIABLE>')
    for node, parents, table in zip(model.nodes, model.parents, model.tables, strict=True):
        given = "".join(f"<GIVEN>{escaped(model.nodes[p])}</GIVEN>" for p in parents)
        values = " ".join(map(repr, table.ravel().tolist()))
        out.append(
            f"<DEFINITION><FOR>{escaped(node)}</FOR>{given}<TABLE>{values}</TABLE></DEFINITION>"
        )
    return f'<BIF VERSION="0.3"><NETWORK>{"".join(out)}</NETWORK></BIF>'


def to_xdsl(model: BayesianNetwork) -> str:
    out = []
    for node, states, parents, table in zip(
        model.nodes, model.states, model.parents, model.tables, strict=True
    ):
        listed = "".join(f'<state id="{escaped(s)}"/>' for s in states)
        given = (
            f"<parents>{escaped(' '.join(model.nodes[p] for p in parents))}</parents>"
            if parents
            else ""
        )
        values = " ".join(map(repr, table.ravel().tolist()))
        out.append(
            "<cpt "
            f'id="{escaped(node)}">{listed}{given}<probabilities>{values}</probabilities></cpt>'
        )
    return f"<smile><nodes>{''.join(out)}</nodes></smile>"


WRITERS: dict[str, Callable[[BayesianNetwork], str]] = {
    "uai": to_uai,
    "net": to_net,
    "xmlbif": to_xmlbif,
    "xdsl": to_xdsl,
}
SMALL = [
    "asia",
    "cancer",
    "earthquake",
    "survey",
    "sachs",
    "child",
    "alarm",
    "insurance",
    "hailfinder",
    "win95pts",
    "hepar2",
]
LARGE = [
    "andes",
    "pigs",
    "water",
    "mildew",
    "barley",
    "pathfinder",
    "diabetes",
    "munin",
    "munin1",
    "munin2",
    "munin3",
    "munin4",
    "link",
]


def published(name: str) -> BayesianNetwork:
    from importlib import resources

    with resources.as_file(
        resources.files("pgmpy.utils.example_models") / f"{name}.bif.gz"
    ) as path:
        model = load_model_file(path)
    assert isinstance(model, BayesianNetwork)
    return model


@pytest.mark.parametrize(
    "name", [*SMALL, *(pytest.param(n, marks=pytest.mark.study) for n in LARGE)]
)
def test_every_published_network_in_every_format(name: str) -> None:
    model = published(name)
    for kind, write in WRITERS.items():
        again = PARSERS[kind](write(model))
        if kind != "uai":
            assert (again.nodes, again.states) == (model.nodes, model.states)
        assert again.parents == model.parents
        for mine, other in zip(again.tables, model.tables, strict=True):
            np.testing.assert_array_equal(mine, other, err_msg=kind)


@pytest.mark.parametrize("name", ["asia", "survey"])
def test_what_pgmpy_writes_is_read(name: str, tmp_path: Path) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pgmpy's own deprecations
        from pgmpy.readwrite import NETWriter, XDSLWriter, XMLBIFWriter
        from pgmpy.utils import get_example_model

        theirs: Any = get_example_model(name)
        for kind, writer in (("xmlbif", XMLBIFWriter), ("xdsl", XDSLWriter), ("net", NETWriter)):
            writer(theirs).write(str(tmp_path / f"x.{kind}"))
    model = published(name)
    joint = law(model, list(model.nodes))
    for kind in ("xmlbif", "xdsl", "net"):
        again = load_model_file(tmp_path / f"x.{kind}")
        assert isinstance(again, BayesianNetwork)
        np.testing.assert_allclose(
            law(again, list(model.nodes)), joint, atol=1e-6, err_msg=kind
        )  # float32 tables


def law(model: BayesianNetwork, order: list[str]) -> Any:
    """P(all nodes), axes in the given order;
    states in the order of their names where they are names.
    """
    names = [model.nodes.index(n) for n in order]
    operands: list[Any] = []
    for i, (table, parents) in enumerate(zip(model.tables, model.parents, strict=True)):
        turned: Any = table
        for axis, node in enumerate((*parents, i)):
            turned = turned.take(ranks(model, node), axis=axis)
        operands += [turned, [*parents, i]]
    return np.einsum(*operands, names)


def ranks(model: BayesianNetwork, node: int) -> IntArray:
    return np.argsort(model.states[node])


# -- what is refused -------------------------------------------------------------------------------

BOMB = (
    '<!DOCTYPE b [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY a{i} "{"&a" + str(i - 1) * (i > 0) + ";"}{"&a;" * 9}">' for i in range(9))
    + "]>"
)
OUTSIDE = '<!DOCTYPE b [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
X, S, N, U = (TEXTS[k] for k in ("xmlbif", "xdsl", "net", "uai"))
ALL = " ".join(map(str, range(1, 30)))
REFUSED: list[tuple[str, str, str]] = [
    ("xmlbif", "", "well-formed XML in x.xmlbif"),
    ("xmlbif", "network tiny { }", "well-formed XML"),
    ("xmlbif", X[:-20], "well-formed XML"),
    (
        "xmlbif",
        BOMB + "<BIF>&a8;</BIF>",
        "XML without entities in x.xmlbif, line 1, got the entity 'a'",
    ),
    ("xmlbif", OUTSIDE + "<BIF>&x;</BIF>", "got the entity 'x'; write the text out"),
    ("xmlbif", '<!DOCTYPE BIF SYSTEM "http://x.y/z.dtd"><BIF>&x;</BIF>', "XML"),
    ("xmlbif", "<a>" * 100_000, "32 deep, in x.xmlbif, got more in line 1"),
    ("xmlbif", "<a " + "b" * 70_000 + "='1'/>", "tags of less than 65536 characters"),
    (
        "xmlbif",
        "<BIF><NETWORK/><NETWORK/></BIF>",
        "one NETWORK in a BIF element in x.xmlbif, line 1, got 2",
    ),
    ("xmlbif", "<BIF><NETWORK/></BIF>", "at least one variable in x.xmlbif"),
    (
        "xmlbif",
        X.replace('"nature"><NAME>b', '"decision"><NAME>b'),
        "type nature in x.xmlbif, line 5, got 'decision'",
    ),
    (
        "xmlbif",
        X.replace("<FOR>b</FOR>", "<FOR>b</FOR><FOR>a</FOR>"),
        "one FOR with a text in DEFINITION in x.xmlbif, line 6",
    ),
    (
        "xmlbif",
        X.replace("<TABLE>0.25 0.75</TABLE>", ""),
        "one TABLE with a text in DEFINITION in x.xmlbif, line 7, got 0",
    ),
    (
        "xmlbif",
        X.replace("<NAME>b", "<NAME>a"),
        "variables with different names in x.xmlbif, line 5, got 'a' twice",
    ),
    (
        "xmlbif",
        X.replace("<FOR>a", "<FOR>b"),
        "one table for each variable in x.xmlbif, line 7, got two for 'b'",
    ),
    (
        "xmlbif",
        X.replace("<GIVEN>a", "<GIVEN>z"),
        "a declared variable in x.xmlbif, line 6, got 'z'",
    ),
    (
        "xmlbif",
        X.replace("<FOR>a</FOR><TABLE>", "<FOR>a</FOR><GIVEN>b</GIVEN><TABLE>0 1 0 1 "),
        "without cycles",
    ),
    ("xmlbif", X.replace("mid", "low"), "different states of 'b'"),
    (
        "xmlbif",
        X.replace("0.25", "0.5"),
        "sum to one in the table of 'a' in x.xmlbif, line 7, got 1.25 in row 1",
    ),
    ("xmlbif", X.replace("0.25", "nan"), "a number in x.xmlbif, line 7, got 'nan'"),
    ("xmlbif", X.replace("0.25 0.75", "-0.25 1.25"), "got -0.25"),
    ("xmlbif", X.replace("0.25 ", ""), "2 numbers in x.xmlbif, line 7, got 1"),
    ("xmlbif", X.replace("0.25 ", "0 0.25 "), "2 numbers in x.xmlbif, line 7, got more"),
    ("xdsl", "<smile/>", "one element 'nodes' in a smile element in x.xdsl, line 1, got 0"),
    (
        "xdsl",
        S.replace("cpt", "noisymax"),
        "type cpt or deterministic in x.xdsl, line 3, got 'noisymax'; write the full table",
    ),
    ("xdsl", S.replace("cpt", "decision"), "got 'decision'"),
    ("xdsl", S.replace(' id="a"', ""), "an id in x.xdsl, line 3, got none"),
    (
        "xdsl",
        S.replace("<parents>a<", "<parents>a z<"),
        "a declared variable in x.xdsl, line 4, got 'z'",
    ),
    (
        "xdsl",
        S.replace("<parents>a<", "<parents>b<"),
        "each parent of 'b' once, and not itself in x.xdsl, line 4",
    ),
    ("xdsl", S.replace("probabilities", "delays"), "one element probabilities for 'a'"),
    (
        "xdsl",
        S.replace("cpt", "deterministic").replace("probabilities", "resultingstates"),
        "a state of the node in x.xdsl",
    ),
    ("xdsl", S.replace("0.75", "1e999"), "finite probabilities"),
    ("net", "", "at least one variable in x.net"),
    ("net", N[:-30], "cut off"),
    (
        "net",
        N.replace("discrete node", "continuous node"),
        "net, node or potential in x.net, line 4, got 'continuous'",
    ),
    ("net", "class x { " + N + "}", "got 'class'"),
    (
        "net",
        N.replace("( b | a )", "( b a )"),
        "one node, then '|' and its parents in x.net, line 5, got 'a'",
    ),
    ("net", N.replace("data = ( 0.25", "model_data = ( 0.25"), "write the full table"),
    ("net", N.replace("0.25 0.75", "NoisyOR(a)"), "a number in x.net, line 7, got 'NoisyOR'"),
    (
        "net",
        N.replace("potential (a)", "potential (z)"),
        "a declared variable in x.net, line 7, got 'z'",
    ),
    ("net", N.replace("potential (a) { data", "potential (b) { data"), "two for 'b'"),
    ("net", N.replace('states = ("yes" "<5");', ""), "states of 'a' in x.net, line 3, got none"),
    ("net", N.replace("0.25 0.75", "0.25 0.75 0"), "2 numbers in x.net, line 7, got more"),
    ("net", 'node a { states = ("' + "x" * 100_000, "states, then '\\)' in x.net"),
    ("uai", "", "BAYES in x.uai, line 1, got the end of the file"),
    ("uai", U.replace("BAYES", "MARKOV"), "got 'MARKOV'; the factors of a Markov network"),
    ("uai", "BAYES 99999999", "number of variables between 1 and 131072"),
    ("uai", "BAYES 60 " + "131072 " * 60, "states in all"),
    (
        "uai",
        U.replace("\n2\n1 0", "\n1\n1 0"),
        "2 tables, one for each variable, in x.uai, line 4, got '1'",
    ),
    ("uai", U.replace("2 0 1", "2 1 1"), "9 entries of the table of x1"),
    ("uai", U.replace("2 0 1", "1 0").replace("\n6\n", "\n2 .5 .5"), "two for 'x0'"),
    ("uai", U.replace("2 0 1", "2 7 1"), "a variable between 0 and 1 in x.uai, line 6, got '7'"),
    ("uai", U.replace("\n6\n", "\n5\n"), "6 entries of the table of x1 in x.uai, line 11, got '5'"),
    ("uai", U.replace("4e-1", ""), "6 numbers in x.uai, line 11, got 5"),
    ("uai", U + "0.5", "the end of the file in x.uai"),
    (
        "uai",
        U.replace("0.75", "-0.75"),
        "finite probabilities >= 0 in the table of 'x0' in x.uai, line 8, got -0.75",
    ),
    (
        "uai",
        f"BAYES 30 {'2 ' * 30} 30 30 {ALL} 0 "
        + " ".join(f"1 {i}" for i in range(1, 30))
        + " 1073741824 .5 2 .5 .5",
        "at most 2097152 table entries in x.uai, got 1073741882",
    ),
]


@pytest.mark.parametrize(("kind", "text", "message"), REFUSED)
def test_what_is_no_network_is_refused_in_one_line(kind: str, text: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        PARSERS[kind](text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    assert f"x.{kind}" in str(caught.value)


def test_a_gzip_bomb_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bomb.net.gz").write_bytes(gzip.compress(b" " * (65 * 2**20), 1))
    with pytest.raises(ModelError, match=r"at most 64 MiB of text in bomb\.net\.gz"):
        load_task(tmp_path / "bomb.net.gz")
    with pytest.raises(InputError, match="a readable file"):
        load_model_file(tmp_path / "none.xdsl")


def chain(kind: str, nodes: int) -> str:
    """A chain of two-state variables."""
    if kind == "uai":
        scopes = "1 0\n" + "".join(f"2 {i - 1} {i}\n" for i in range(1, nodes))
        return (
            f"BAYES\n{nodes}\n{'2 ' * nodes}\n{nodes}\n{scopes}"
            + "2 .5 .5\n"
            + "4 .9 .1 .2 .8\n" * (nodes - 1)
        )
    out = []
    for i in range(nodes):
        parent, values = (f"v{i - 1}", ".9 .1 .2 .8") if i else ("", ".5 .5")
        if kind == "net":
            out.append(
                f'node v{i} {{ states = ("a" "b"); }}\npotential ( v{i} | {parent} ) {{ data = ( '
                f"{values} ); }}\n"
            )
        elif kind == "xdsl":
            given = f"<parents>{parent}</parents>" if parent else ""
            out.append(
                f'<cpt id="v{i}"><state id="a"/><state '
                f'id="b"/>{given}<probabilities>{values}</probabilities></cpt>\n'
            )
        else:
            given = f"<GIVEN>{parent}</GIVEN>" if parent else ""
            out.append(
                "<VARIABLE "
                f'TYPE="nature"><NAME>v{i}</NAME><OUTCOME>a</OUTCOME><OUTCOME>b</OUTCOME></VARIABLE>\n'
                f"<DEFINITION><FOR>v{i}</FOR>{given}<TABLE>{values}</TABLE></DEFINITION>\n"
            )
    body = "".join(out)
    around = {
        "net": "{}",
        "xdsl": "<smile><nodes>{}</nodes></smile>",
        "xmlbif": "<BIF><NETWORK>{}</NETWORK></BIF>",
    }
    return around[kind].replace("{}", body)


@pytest.mark.parametrize("kind", TEXTS)
def test_a_long_chain_is_read(kind: str) -> None:
    model = PARSERS[kind](chain(kind, 3000))
    assert model.n_rows == 2 * 3000 - 1
    np.testing.assert_array_equal(model.table(2999), [[0.9, 0.1], [0.2, 0.8]])
