"""The BIF reader: real files against pgmpy's reader, what real files hold,
and what must be refused in one line.
"""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from veribayes.errors import InputError, ModelError
from veribayes.models.bayesian_network import BayesianNetwork
from veribayes.models.readers import _files
from veribayes.models.readers.bif import parse_bif, read_bif

HEAD = """network tiny { }
variable a { type discrete [ 2 ] { yes, no }; }
variable b { type discrete [ 3 ] { low, mid, high }; }
"""
PRIOR = "probability ( a ) { table 0.25, 0.75; }\n"
ROWS = "probability ( b | a ) { (yes) 0.1, 0.2, 0.7; (no) 0.3, 0.3, 0.4; }\n"
TABLE_B = [[0.1, 0.2, 0.7], [0.3, 0.3, 0.4]]


def pgmpy_files() -> Path:
    spec = find_spec("pgmpy")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "utils" / "example_models"


@pytest.mark.parametrize(
    "name",
    ["asia", "cancer", "earthquake", "survey", "sachs", "child", "alarm", "insurance", "water"],
)
def test_real_files_agree_with_another_reader(name: str) -> None:
    from pgmpy.readwrite import BIFReader

    path = pgmpy_files() / f"{name}.bif.gz"
    ours = read_bif(path)
    theirs = BIFReader(string=gzip.decompress(path.read_bytes()).decode())
    assert set(ours.nodes) == set(theirs.variable_names)
    parents, values, states = theirs.variable_parents, theirs.variable_cpds, theirs.variable_states
    for i, node in enumerate(ours.nodes):
        assert [ours.nodes[p] for p in ours.parents[i]] == list(parents[node])
        assert list(ours.states[i]) == list(states[node])
        table = ours.table(i).reshape(-1, len(states[node]))
        # the other reader does not renormalise: measured at most 7e-8
        assert np.abs(table - np.asarray(values[node]).T).max() < 2e-7


def test_every_network_that_pgmpy_carries_is_read() -> None:
    for path in sorted(pgmpy_files().glob("*.bif.gz")):
        if path.stat().st_size < 30_000:
            model = read_bif(path)
            assert np.abs(model.theta.sum(1) - 1).max() < 1e-11, path.name


def test_asia_is_read_to_the_last_digit() -> None:
    """P(xray = yes) by enumeration is .11029004; tables kept in float32 give .110290045."""
    model = read_bif(pgmpy_files() / "asia.bif.gz")
    assert model.nodes == ("asia", "tub", "smoke", "lung", "bronc", "either", "xray", "dysp")
    xray = np.einsum("a,at,s,sl,sb,lte,ex,bed->x", *map(model.table, range(8)))
    assert abs(xray[0] - 0.11029004) < 1e-15


SAME: dict[str, str] = {
    "rows by label in another order": HEAD
    + PRIOR
    + "probability ( b | a ) { (no) 0.3, 0.3, 0.4; (yes) 0.1, 0.2, 0.7; }",
    "a table with the child slowest": HEAD
    + PRIOR
    + "probability ( b | a ) { table 0.1, 0.3, 0.2, 0.3, 0.7, 0.4; }",
    "a default for what is not listed": HEAD
    + PRIOR
    + "probability ( b | a ) { default 0.3, 0.3, 0.4; (yes) 0.1, 0.2, 0.7; }",
    "CRLF": (HEAD + PRIOR + ROWS).replace("\n", "\r\n"),
    "one line": (HEAD + PRIOR + ROWS).replace("\n", " "),
    "blocks in another order": ROWS + HEAD.replace("network tiny { }", PRIOR),
    "no commas": (HEAD + PRIOR + ROWS).replace(",", " ").replace("|", " "),
    "quotes": (HEAD + PRIOR + ROWS).replace("yes", '"yes"').replace(" b ", ' "b" '),
    "comments": HEAD
    + "// one; { more\n/* two;\n } */"
    + PRIOR.replace("0.25,", "0.25, // half; done\n")
    + ROWS.replace("0.4", "/* ; */ 0.4"),
    "properties": HEAD.replace(
        "{ }", '{ property "author = x; y"; property url http://x.y/z; property 12" pipe; }'
    ).replace("};", "}; property position = (1, 2);")
    + PRIOR.replace("{", "{ property note { odd };")
    + ROWS,
    "numbers": HEAD
    + PRIOR.replace("0.25", "2.5e-1").replace("0.75", ".75")
    + ROWS.replace("0.1", "+1E-1"),
    "byte order mark": "\ufeff" + HEAD + PRIOR + ROWS,
}


@pytest.mark.parametrize("case", SAME)
def test_ways_to_write_the_same_network(case: str, tmp_path: Path) -> None:
    path = tmp_path / "tiny.bif"
    path.write_bytes(SAME[case].encode())
    model = read_bif(path)
    assert model.nodes == ("a", "b")
    assert model.states == (("yes", "no"), ("low", "mid", "high"))
    assert np.allclose(model.table(0), [0.25, 0.75], atol=1e-15)
    assert np.allclose(model.table(1), TABLE_B, atol=1e-15)


def test_odd_names_are_names() -> None:
    text = (
        "variable 7 { type discrete [ 4 ] { <5, 12+, Asy/Patch, a.b-c:d }; } probability ( 7 ) { "
        "table 0.1 0.2 0.3 0.4; }"
    )
    model = parse_bif(text)
    assert model.nodes == ("7",)
    assert model.states == (("<5", "12+", "Asy/Patch", "a.b-c:d"),)
    latin = "variable größe { type discrete [ 1 ] { é }; } probability ( größe ) { table 1; }"
    assert parse_bif(latin).states == (("é",),)


HUGE = "".join(
    f"variable v{i} {{ type discrete [2] {{ a, b }}; }} probability ( v{i} "
    f"{'|' if i == 0 else ')'} "
    + (" ".join(f"v{j}" for j in range(1, 60)) + " )" if i == 0 else "")
    + "{ default 0.5, 0.5; }"
    for i in range(60)
)

REFUSED: list[tuple[str, str, str]] = [
    ("empty", "", "at least one variable"),
    (
        "not BIF",
        "<?xml version='1.0'?>",
        "network, variable or probability in x.bif, line 1, got '<\\?xml'",
    ),
    ("cut in a name", HEAD + PRIOR + ROWS[:20], "the file seems to be cut off"),
    ("cut in a table", HEAD + PRIOR + ROWS[:34], "line 5, got the end of the file"),
    (
        "cut between blocks",
        HEAD + PRIOR,
        "a probability block for each variable in x.bif, got none for 'b'",
    ),
    ("open comment", HEAD + "/* never closed", "line 4"),
    ("duplicate variable", HEAD + HEAD, "different names in x.bif, line 5, got 'a' twice"),
    (
        "duplicate block",
        HEAD + PRIOR + PRIOR + ROWS,
        "one probability block for each variable in x.bif, line 5",
    ),
    (
        "undeclared variable",
        HEAD + PRIOR.replace("( a )", "( z )"),
        "a declared variable in x.bif, line 4, got 'z'",
    ),
    (
        "undeclared parent",
        HEAD + PRIOR + ROWS.replace("| a", "| z"),
        "a declared variable in x.bif, line 5, got 'z'",
    ),
    (
        "cycle",
        HEAD + "probability ( a | b ) { default .5 .5; }" + ROWS,
        "without cycles in x.bif, got a -> b -> a",
    ),
    (
        "own parent",
        HEAD + "probability ( a | a ) { default .5 .5; }" + ROWS,
        "cycles in x.bif, got a -> a",
    ),
    (
        "parent twice",
        HEAD + PRIOR + "probability ( b | a, a ) { default .2 .3 .5; }",
        "each parent of 'b' once",
    ),
    (
        "missing row",
        HEAD + PRIOR + ROWS.replace("(no) 0.3, 0.3, 0.4;", ""),
        "2 rows for 'b' in x.bif, line 5, got 1",
    ),
    ("row twice", HEAD + PRIOR + ROWS.replace("(no)", "(yes)"), "each row of 'b' once"),
    (
        "unknown label",
        HEAD + PRIOR + ROWS.replace("(no)", "(never)"),
        "a state of each parent of 'b' in x.bif, line 5",
    ),
    ("too many labels", HEAD + PRIOR + ROWS.replace("(no)", "(no, no)"), "a state of each parent"),
    (
        "too few values",
        HEAD + PRIOR + ROWS.replace("0.1, ", ""),
        "3 numbers in x.bif, line 5, got 2",
    ),
    (
        "too many values",
        HEAD + PRIOR + ROWS.replace("0.1, ", "0.1, 0, "),
        "3 numbers in x.bif, line 5, got more",
    ),
    (
        "short table",
        HEAD + PRIOR + "probability ( b | a ) { table 0.1, 0.2, 0.7; }",
        "6 numbers in x.bif, line 5, got 3",
    ),
    (
        "table and rows",
        HEAD + PRIOR + ROWS.replace("{ ", "{ table 0.1, 0.3, 0.2, 0.3, 0.7, 0.4; "),
        "either a table or rows",
    ),
    (
        "two tables",
        HEAD + PRIOR.replace("{ ", "{ table 0.25, 0.75; ") + ROWS,
        "one table, one default",
    ),
    (
        "a word",
        HEAD + PRIOR.replace("0.25", "x0.25") + ROWS,
        "a number in x.bif, line 4, got 'x0.25'",
    ),
    ("NaN", HEAD + PRIOR.replace("0.25", "nan") + ROWS, "a number in x.bif, line 4, got 'nan'"),
    ("underscore", HEAD + PRIOR.replace("0.25", "0.2_5") + ROWS, "a number"),
    (
        "overflow",
        HEAD + PRIOR.replace("0.25", "1e999") + ROWS,
        "finite probabilities .* line 4, got inf",
    ),
    (
        "negative",
        HEAD + PRIOR.replace("0.25, 0.75", "-0.25, 1.25") + ROWS,
        "in the table of 'a' in x.bif, line 4, got -0.25",
    ),
    (
        "sum .3",
        HEAD + PRIOR + ROWS.replace("0.7", "0"),
        "sum to one in the table of 'b' in x.bif, line 5, got 0.3 in row 1",
    ),
    ("sum 1500", HEAD + PRIOR + ROWS.replace("0.7", "1499.7"), "got 1500 in row 1"),
    (
        "noisy max",
        HEAD + PRIOR + "probability ( b | a ) { property function max; default 0, 0, 0; }",
        "write the full table",
    ),
    (
        "2 declared, 3 listed",
        HEAD.replace("[ 3 ]", "[ 2 ]"),
        "2 states of 'b' as declared in x.bif, line 3, got 3 listed",
    ),
    (
        "state twice",
        (HEAD + PRIOR + ROWS).replace("low, mid", "mid, mid"),
        "different states of 'b'",
    ),
    (
        "continuous",
        HEAD.replace("discrete [ 2 ] { yes, no }", "continuous"),
        "only finite variables are read",
    ),
    (
        "no type",
        HEAD.replace("type discrete [ 2 ] { yes, no };", ""),
        "the type of 'a' in x.bif, line 2",
    ),
    ("missing semicolon", HEAD + PRIOR.replace(";", "") + ROWS, "';' in x.bif, line 4, got '}'"),
    ("missing brace", HEAD.replace("}; }\nvariable b", "};\nvariable b"), "got 'variable'"),
    ("huge table", HUGE, "at most 2097152 table entries in x.bif, got 1152921504606847094"),
    ("binary", "\x00\x01\x02", "line 1"),
]


@pytest.mark.parametrize(("text", "message"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_what_is_no_network_is_refused_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.bif").write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=message) as caught:
        read_bif(tmp_path / "x.bif")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    assert "x.bif" in str(caught.value)


def test_unreadable_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"a readable file, got 'none\.bif'"):
        read_bif(tmp_path / "none.bif")
    with pytest.raises(InputError, match="a readable file"):
        read_bif(tmp_path)
    whole = gzip.compress((HEAD + PRIOR + ROWS).encode())
    for name, content in (
        ("cut.bif.gz", whole[:-20]),
        ("bad.bif.gz", whole[:30] + b"\0\0\0\0" + whole[34:]),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelError, match=f"a whole gzip file {name}"):
            read_bif(tmp_path / name)
    (tmp_path / "tiny.bif").write_bytes(whole)  # told by its first bytes, not by its name
    assert read_bif(tmp_path / "tiny.bif").nodes == ("a", "b")
    (tmp_path / "bomb.bif.gz").write_bytes(gzip.compress(b" " * 300_000))
    monkeypatch.setattr(_files, "MAX_BYTES", 200_000)
    with pytest.raises(ModelError, match="got more"):
        read_bif(tmp_path / "bomb.bif.gz")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a" * 20_000_000, "got 'a"),
        (
            HEAD + PRIOR.replace("0.25", "0.1 " * 5_000_000) + ROWS,
            "2 numbers in text, line 4, got more",
        ),
        ("variable x { type discrete [2] { " + "a, " * 5_000_000, "131072 names"),
        ("network n { property " + '"' * 20_000_001 + "; }", "';' in text, line 1"),
        ("/* " * 5_000_000, "got '/"),
    ],
    ids=["word", "numbers", "states", "quotes", "comments"],
)
def test_long_lines_are_refused_without_trouble(text: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        parse_bif(text)
    assert len(str(caught.value)) < 300


def test_a_long_chain_is_read() -> None:
    n = 20_000
    variables = "".join(f"variable v{i} {{ type discrete [2] {{ a, b }}; }}\n" for i in range(n))
    links = "".join(
        f"probability ( v{i} | v{i + 1} ) {{ (a) 0.9, 0.1; (b) 0.2, 0.8; }}\n" for i in range(n - 1)
    )
    model = parse_bif(variables + links + f"probability ( v{n - 1} ) {{ table 0.5, 0.5; }}")
    assert isinstance(model, BayesianNetwork)
    assert model.nodes[0] == f"v{n - 1}"
