"""Network files as pgmpy and pyAgrum write them today,
and what else goes by the suffixes that we read.
"""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from veribayes.errors import InputError, ModelError
from veribayes.inference.enumeration import Enumeration
from veribayes.models._spec import load_model_file, load_task, task_of
from veribayes.models.bayesian_network import BayesianNetwork
from veribayes.models.readers.uai import parse_uai
from veribayes.models.readers.xdsl import parse_xdsl
from veribayes.models.readers.xmlbif import parse_xmlbif
from veribayes.predictive import Array
from veribayes.tree import Data

# Two and three parents of different sizes, tables with 17 digits, zeros;
# states that are numbers, truth values and words.
STATES = {
    "p": ["yes", "no"],
    "net": ["1", "2", "3", "4"],
    "flag": ["true", "false"],
    "c": ["low", "mid", "high"],
    "node": ["0", "1", "2"],
}
PARENTS = {"p": [], "net": [], "flag": ["p"], "c": ["net", "flag", "p"], "node": ["c", "net"]}


def tables(seed: int = 0) -> dict[str, Array]:
    """(configurations, states), a fifth of them zero."""
    rng = np.random.default_rng(seed)
    out = {}
    for node, parents in PARENTS.items():
        rows = int(np.prod([len(STATES[p]) for p in parents], dtype=int))
        weight = rng.exponential(size=(rows, len(STATES[node]))) * (
            rng.random((rows, len(STATES[node]))) > 0.2
        )
        weight[:, 0] += weight.sum(1) == 0
        out[node] = weight / weight.sum(1, keepdims=True)
    return out


def marginals(model: BayesianNetwork) -> list[Array]:
    """Of every node, by our exact engine."""
    evidence = np.full((1, len(model.nodes)), -1)
    one = np.zeros(1, dtype=np.int64)
    data = Data({"evidence": evidence, "target": np.arange(len(model.nodes))}, one, one)
    probs = Enumeration()(task_of(model), data, seed=0).predictive.probs[0, 0]  # type: ignore[attr-defined]
    return [probs[i, : len(states)] for i, states in enumerate(model.states)]


def of_pgmpy() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pgmpy's own deprecations
        from pgmpy.factors.discrete import TabularCPD
        from pgmpy.models import DiscreteBayesianNetwork

        network = DiscreteBayesianNetwork()
        network.add_nodes_from(PARENTS)
        for node, parents in PARENTS.items():
            network.add_edges_from((p, node) for p in parents)
            sizes, names = (
                [len(STATES[p]) for p in parents],
                {v: STATES[v] for v in (node, *parents)},
            )
            table = tables()[node].T
            network.add_cpds(
                TabularCPD(
                    node,
                    len(STATES[node]),
                    table,
                    parents or None,
                    sizes or None,
                    state_names=names,
                )
            )
    return network


def of_pyagrum() -> Any:
    gum = pytest.importorskip("pyagrum")
    network = gum.BayesNet("dialects")
    for node, states in STATES.items():
        network.add(gum.LabelizedVariable(node, "", states))
    for node, parents in PARENTS.items():
        for parent in parents:
            network.addArc(parent, node)
    for node in PARENTS:
        factor = network.cpt(node)  # its own order of variables is looked up, state by state
        table = tables()[node]
        for number, labels in enumerate(itertools.product(*(STATES[p] for p in PARENTS[node]))):
            for k, state in enumerate(STATES[node]):
                factor[{**dict(zip(PARENTS[node], labels, strict=True)), node: state}] = float(
                    table[number, k]
                )
    return network


def of_us() -> BayesianNetwork:
    return BayesianNetwork(list(PARENTS), PARENTS, STATES, cpts=tables())


@pytest.mark.parametrize("suffix", ["bif", "xmlbif", "net", "xdsl", "uai"])
def test_what_pgmpy_writes(suffix: str, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pgmpy import readwrite

        getattr(readwrite, f"{suffix.upper()}Writer")(of_pgmpy()).write(
            str(tmp_path / f"x.{suffix}")
        )
    require_the_same(tmp_path / f"x.{suffix}", 2e-8)  # NET has eight digits


@pytest.mark.parametrize("suffix", ["bif", "bifxml", "net", "xdsl", "uai"])
def test_what_pyagrum_writes(suffix: str, tmp_path: Path) -> None:
    gum = pytest.importorskip("pyagrum")
    gum.saveBN(of_pyagrum(), str(tmp_path / f"x.{suffix}"))
    require_the_same(tmp_path / f"x.{suffix}", 5e-6)  # some have six digits


def require_the_same(path: Path, error: float) -> None:
    """All marginals and tables of a file are those of the network;
    nodes of UAI are told by their tables.
    """
    found, wanted = load_model_file(path), of_us()
    assert isinstance(found, BayesianNetwork)
    for i, expected in enumerate(marginals(wanted)):
        place = (
            found.nodes.index(wanted.nodes[i])
            if path.suffix != ".uai"
            else closest(marginals(found), expected)
        )
        np.testing.assert_allclose(
            marginals(found)[place],
            expected,
            atol=error,
            err_msg=f"{path.suffix} {wanted.nodes[i]}",
        )


def closest(all_of_them: list[Array], expected: Array) -> int:
    alike = [i for i, p in enumerate(all_of_them) if p.size == expected.size]
    return min(alike, key=lambda i: float(np.abs(all_of_them[i] - expected).max()))


@pytest.mark.parametrize(
    "suffix",
    ["dsl", "o3prm", "jgum", "pkl", "dne", "dsc", "xbn", "oobn", "pgmx", "neta", "rds", "json"],
)
def test_other_formats_are_refused_by_their_names(suffix: str, tmp_path: Path) -> None:
    from veribayes.models._dialects import SUFFIXES

    (tmp_path / f"x.{suffix}").write_text("x")
    with pytest.raises(InputError) as caught:
        load_task(tmp_path / f"x.{suffix}")
    assert SUFFIXES[f".{suffix}"].name in str(caught.value)
    assert "not a number" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.bif", "<?xml version='1.0'?><BIF/>", "looks like XML"),
        ("x.net", "network a { }", "looks like BIF"),
        ("x.uai", "net { }", "looks like NET"),
        ("x.net", "// ~->[DNET-1]->~\nbnet x { };", "Netica"),
        ("x.net", "class A { }", "object-oriented"),
        ("x.net", "decision a { }", "influence diagrams"),
        ("x.xml", "<smile><nodes/></smile>", "XDSL"),
        ("x.xml", "<ANALYSISNOTEBOOK/>", "XBN"),
        ("x.xdsl", "<BIF/>", "XMLBIF"),
        ("x.xdsl", "<smile><nodes/><dynamic/></smile>", "over time"),
        ("x.xdsl", "<smile><nodes><decision id='a'/></nodes></smile>", "influence"),
        ("x.xdsl", "<smile><nodes><noisymax id='a'/></nodes></smile>", "full table"),
        ("x.xdsl", "<smile><nodes><cpt id='a b'/></nodes></smile>", "without blanks"),
        ("x.bif", "variable a b { type discrete [ 1 ] { x }; }", "need quotes"),
        ("x.net", 'node a b { states = ("x"); }', "need quotes"),
    ],
)
def test_a_file_of_another_kind_is_named(
    name: str, text: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ModelError, match=message):
        load_model_file(tmp_path / name)


# -- UAI: the order of the numbers -----------------------------------------------------------------

SIZES = (2, 4, 2, 3, 3)  # of the nodes above
PLACE = {name: i for i, name in enumerate(PARENTS)}


def uai(scopes: dict[str, list[str]], order: dict[str, list[str]], comment: str = "") -> str:
    """A file with these scopes, and tables over the variables of `order`,
    the last varying fastest.
    """
    lines = ["BAYES", "5", " ".join(map(str, SIZES)), "5"]
    lines += [
        f"{len(s)} {' '.join(str(PLACE[v]) for v in s)}{comment and comment + n}"
        for n, s in scopes.items()
    ]
    for node, parents in PARENTS.items():
        table = tables()[node].reshape([SIZES[PLACE[v]] for v in (*parents, node)])
        table = table.transpose([[*parents, node].index(v) for v in order[node]])
        lines += [str(table.size), " ".join(map(repr, table.ravel().tolist()))]
    return "\n".join(lines)


LAST = {n: [*ps, n] for n, ps in PARENTS.items()}
FIRST = {n: [n, *ps] for n, ps in PARENTS.items()}
ORDERS = {
    "the format": (LAST, LAST, ""),
    "comments": (LAST, LAST, " # the child is "),
    "child first": (FIRST, FIRST, ""),
    "pgmpy": (LAST, {n: s[::-1] for n, s in LAST.items()}, ""),
    "pyAgrum": (LAST, {n: [*s[-2::-1], n] for n, s in LAST.items()}, "   # "),
}


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_of_a_uai_file(order: str) -> None:
    model = parse_uai(uai(*ORDERS[order]))
    for node, name in enumerate(model.nodes):
        wanted = list(PARENTS)[int(name[1:])]
        np.testing.assert_allclose(
            model.table(node).reshape(tables()[wanted].shape), tables()[wanted], atol=1e-15
        )
    assert bool(model.notes) == (order not in ("the format", "comments"))


def test_a_uai_file_that_can_be_read_in_two_ways_is_refused() -> None:
    cyclic = "0 1 0  0 0 1  1 0 0"
    text = f"BAYES 2 3 3 2 1 0 2 0 1 3 .2 .3 .5 9 {cyclic}"
    with pytest.raises(ModelError, match="that can be read in one way only"):
        parse_uai(text)
    decided = f"BAYES 3 3 3 3 3 1 0 2 0 1 2 0 2 3 .2 .3 .5 9 {cyclic} 9 .1 .9 0 .3 .3 .4 1 0 0"
    assert parse_uai(decided).table(1).tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
    assert (
        parse_uai("BAYES 2 2 2 2 1 0 2 0 1 2 .2 .8 4 .9 .1 .1 .9").notes == ()
    )  # one table in both orders


# -- what else was misread -------------------------------------------------------------------------


def test_quotes_and_backslashes_in_net() -> None:
    from veribayes.models.readers.net import parse_net

    model = parse_net(
        r'node a { states = ("say \"yes\"" "C:\\x" "100%" "a;b" % "c"'
        "\n"
        r'); label = "5\" disk; {"; }'
        " potential (a) { data = (.1 .2 .3 .4); }"
    )
    assert model.states == (('say "yes"', "C:\\x", "100%", "a;b"),)
    bare = parse_net(
        "node a { states = ([0;1[ [1;2.5] 10% ); } potential (a) { data = (.1 .2 .7); }"
    )  # pyAgrum's
    assert bare.states == (("[0;1[", "[1;2.5]", "10%"),)
    with pytest.raises(ModelError, match="blanks between them"):
        parse_net('node a { states = ("x"y"  "z"); } potential (a) { data = (.1 .9); }')  # pgmpy's


def test_xml_namespaces() -> None:
    body = (
        "<{0}NETWORK><{0}VARIABLE "
        "TYPE='nature'><{0}NAME>a</{0}NAME><{0}OUTCOME>x</{0}OUTCOME></{0}VARIABLE><{0}DEFINITION><{0}FOR>a</{0}FOR><{0}TABLE>1</{0}TABLE></{0}DEFINITION>{1}</{0}NETWORK>"
    )
    for root, prefix in (("BIF xmlns='u:x'", ""), ("b:BIF xmlns:b='u:x'", "b:")):
        text = f"<{root}>{body.format(prefix, '')}</{root.split()[0]}>"
        assert parse_xmlbif(text).nodes == ("a",)
    other = body.format("", "<o:VARIABLE xmlns:o='u:other'/>")
    with pytest.raises(ModelError, match="u:other"):
        parse_xmlbif(f"<BIF>{other}</BIF>")
    assert parse_xdsl(
        "<s:smile xmlns:s='u'><s:nodes><s:cpt id='a'><s:state "
        "id='x'/><s:probabilities>1</s:probabilities>"
        "</s:cpt></s:nodes></s:smile>"
    ).nodes == ("a",)


TEXTS = {
    "latin-1": "größe é",
    "cp1252": "“naïve” große",
    "cp1251": "погода дождь",
    "koi8-r": "погода дождь",
    "shift_jis": "天気 はれ テスト",
    "euc_jp": "天気 はれ テスト",
    "gbk": "天气 晴天 变量 网络",
    "cp1253": "καιρός βροχή",
}
LIKELY = {
    "latin-1": "ISO-8859-1",
    "cp1252": "WINDOWS-1252",
    "cp1251": "WINDOWS-1251",
    "koi8-r": "KOI8-R",
    "shift_jis": "SHIFT_JIS",
    "euc_jp": "EUC-JP",
    "gbk": "GBK",
    "cp1253": "WINDOWS-1253",
}


@pytest.mark.parametrize("encoding", TEXTS)
def test_an_undeclared_encoding_is_refused_by_its_likely_name(
    encoding: str, tmp_path: Path
) -> None:
    names = TEXTS[encoding].split()
    text = (
        f"variable {names[0]} {{ type discrete [ 2 ] {{ {names[-1]}, b }}; }} // "
        f"{TEXTS[encoding]}\n"
    )
    (tmp_path / "x.bif").write_bytes(
        (text + f"probability ( {names[0]} ) {{ table .5 .5; }}").encode(encoding)
    )
    with pytest.raises(ModelError, match=f"likely {LIKELY[encoding]}; save it as UTF-8"):
        load_model_file(tmp_path / "x.bif")
    (tmp_path / "x.yaml").write_bytes(f"model: {names[0]}".encode(encoding))
    with pytest.raises(ModelError, match="save it as UTF-8"):
        load_task(tmp_path / "x.yaml")


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1251", "utf-16-le"]
)
def test_what_a_file_declares(encoding: str, tmp_path: Path) -> None:
    name = "ж" if encoding == "cp1251" else "é"
    declared = {"cp1251": "windows-1251", "latin-1": "ISO-8859-1", "utf-8-sig": "UTF-8"}.get(
        encoding, encoding[:6]
    )
    text = (
        f"<?xml version='1.0' encoding='{declared}'?><BIF><NETWORK><VARIABLE "
        f"TYPE='nature'><NAME>{name}</NAME><OUTCOME>x</OUTCOME></VARIABLE><DEFINITION><FOR>{name}</FOR><TABLE>1</TABLE></DEFINITION></NETWORK></BIF>"
    )
    (tmp_path / "x.xml").write_bytes(text.encode(encoding))
    model = load_model_file(tmp_path / "x.xml")
    assert isinstance(model, BayesianNetwork)
    assert model.nodes == (name,)
    (tmp_path / "y.xml").write_bytes(
        text.replace(declared, "UTF-8").encode("cp1251" if encoding == "cp1251" else "latin-1")
    )
    with pytest.raises(ModelError, match=r"text in UTF-8 in y\.xml"):
        load_model_file(tmp_path / "y.xml")


def test_a_codec_that_is_no_character_set_is_refused(tmp_path: Path) -> None:
    for codec in ("zip_codec", "unicode_escape", "punycode", "nonsense"):
        (tmp_path / "x.xml").write_bytes(f"<?xml version='1.0' encoding='{codec}'?><BIF/>".encode())
        with pytest.raises(ModelError, match="the name of a character set"):
            load_model_file(tmp_path / "x.xml")


def test_names_that_look_alike_get_a_note() -> None:
    states = {"é": 2, "e\u0301": 2, "plain": ["a", "\u202ea"]}
    twins = BayesianNetwork(["é", "e\u0301", "plain"], {}, states, cpts=[[0.5, 0.5]] * 3)
    assert len(twins.nodes) == 3
    assert "look alike" in twins.notes[1]
    assert "U+202E" in twins.notes[0]
    assert not BayesianNetwork(["é", "ж"], {}, 2, cpts=[[0.5, 0.5]] * 2).notes
