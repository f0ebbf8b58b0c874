"""No input ends in exit code 70: command lines, and files of every format that is read.

Files are valid ones with bytes changed, cut, doubled or spliced; command lines are options with
hostile values, with the work behind them replaced at the boundary of the pipeline. The short form
stays in `make test`; the long one, with its figure,
is `python -m pytest tests/test_fuzz.py -m study -s`.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from veribayes import cli
from veribayes.errors import InputError, VeribayesError
from veribayes.models import _spec
from veribayes.models._arguments import read_arguments
from veribayes.posteriors import saved
from veribayes.report import _run
from veribayes.storage import folders, store
from veribayes.transformer._checkpoint import read_card

SHORT = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
LONG = settings(SHORT, max_examples=4000, derandomize=False)
CARD = Path(_spec.__file__).parents[1] / "transformer" / "checkpoints" / "bn-general5" / "card.json"

BIF = """network tiny {
}
variable A { type discrete [ 2 ] { yes, no }; }
variable B { type discrete [ 2 ] { yes, no }; }
probability ( A ) { table 0.3, 0.7; }
probability ( B | A ) { (yes) 0.9, 0.1; (no) 0.2, 0.8; }
"""
XMLBIF = """<?xml version="1.0"?>
<BIF VERSION="0.3"><NETWORK><NAME>tiny</NAME>
<VARIABLE TYPE="nature"><NAME>a</NAME><OUTCOME>yes</OUTCOME><OUTCOME>no</OUTCOME></VARIABLE>
<DEFINITION><FOR>a</FOR><TABLE>0.25 0.75</TABLE></DEFINITION></NETWORK></BIF>"""
XDSL = """<?xml version="1.0" encoding="UTF-8"?>
<smile version="1.0" id="tiny"><nodes>
<cpt id="a"><state id="yes" /><state id="no" /><probabilities>0.25 0.75</probabilities></cpt>
</nodes></smile>"""
NET = """net { name = "tiny"; }
node a { states = ("yes" "no"); }
node b { states = ("low" "high"); }
potential ( b | a ) { data = (( 0.1 0.9 )( 0.3 .7 )); }
potential (a) { data = ( 0.25 0.75 ); }"""
UAI = "BAYES\n2\n2 2\n2\n1 0\n2 0 1\n\n2\n 0.25 0.75\n\n4\n 0.1 0.9\n 0.3 .7\n"
YAML = (
    "name: tiny\nmodel: {kind: mtd, q: 3, m: 2}\ndesign: {positions: [4, 8]}\ntolerance: {kl: "
    "0.1, draws: 0.1}\n"
)
CHAINS = [{"mu": [0.1, 0.4, -0.3], "theta[1]": [1.0, 2.0, 3.0], "theta[2]": [0.0, 1.0, 4.0]}] * 2
REQUEST = {
    "schema": folders.SCHEMA,
    "task": {"name": "t"},
    "candidate": "c",
    "options": {"seed": 1},
}


def zipped(text: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("draws.json", text)
    return file.getvalue()


def arrays() -> bytes:
    file = io.BytesIO()
    np.savez(file, x=np.arange(3.0), y=np.arange(4))
    return file.getvalue()


Read = Callable[[Path], object]
VALID: dict[str, tuple[str, bytes, Read]] = {  # format -> name of the file, content, reader
    "bif": ("m.bif", BIF.encode(), _spec.load_model_file),
    "gzipped bif": ("m.bif.gz", gzip.compress(BIF.encode(), mtime=0), _spec.load_model_file),
    "xmlbif": ("m.xmlbif", XMLBIF.encode(), _spec.load_model_file),
    "xdsl": ("m.xdsl", XDSL.encode(), _spec.load_model_file),
    "net": ("m.net", NET.encode(), _spec.load_model_file),
    "uai": ("m.uai", UAI.encode(), _spec.load_model_file),
    "yaml": ("m.yaml", YAML.encode(), _spec.load_task),
    "program data, json": (
        "d.json",
        b'{"x": [1, 2.5], "n": 3, "z": null, "w": [[1, 2], [3, 4]]}',
        read_arguments,
    ),
    "program data, csv": ("d.csv", b"x,y\n1,2\n3,4.5\n,6\n", read_arguments),
    "program data, npz": ("d.npz", arrays(), read_arguments),
    "posterior, json": ("p.json", json.dumps(CHAINS).encode(), saved.read),
    "posterior, zip": ("p.json.zip", zipped(json.dumps(CHAINS)), saved.read),
    "card": ("card.json", CARD.read_bytes(), lambda path: read_card(path.parent)),
    "request": (
        "request.json",
        json.dumps(REQUEST).encode(),
        lambda path: folders.require_own(path.parent, REQUEST),
    ),
}
WORDS = (
    b"nan",
    b"inf",
    b"-1",
    b"1e999",
    b"9" * 400,
    b"null",
    b"{}",
    b"[]",
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"true",
    b"/*",
    b"*/",
    b"<!--",
    b"&x;",
    b"<![CDATA[",
    b"%",
    b"\\",
    b'"',
    b"'",
    b"(",
    b")",
    b"{",
    b"}",
    b"[",
    b"]",
    b"<",
    b">",
    b",",
    b";",
    b"|",
    b"&a ",
    b"*a",
    b"!!python/none",
    b"\xcc\x81",
    b"\xe2\x80\xae",
    b"\r",
    b"0.5",
    b"2",
)


def changed(content: bytes, changes: list[tuple[int, int, int, bytes]]) -> bytes:
    """The content after some changes, each (kind, place, length, bytes)."""
    for kind, place, length, word in changes:
        at = place % (len(content) + 1)
        part = content[at : at + length]
        if kind == 0:
            content = content[:at] + word + content[at:]
        elif kind == 1:
            content = content[:at] + content[at + length :]
        elif kind == 2:
            content = content[:at] + word + content[at + len(word) :]
        elif kind == 3:
            content = content[:at] + part * 3 + content[at + length :]
        else:
            content = content[:at]
    return content


words = st.one_of(st.sampled_from(WORDS), st.binary(min_size=1, max_size=4))
change = st.tuples(st.integers(0, 4), st.integers(0, 2**20), st.integers(1, 40), words)
changes = st.lists(change, min_size=1, max_size=4)


def ending(read: Read, path: Path) -> str:
    """How reading a file ended: `read`, `refused`,
    or the name of what a command would call unexpected.
    """
    try:
        read(path)
    except VeribayesError as error:
        return "refused" if error.exit_code == 2 else f"exit code {error.exit_code}"
    except Exception as error:  # what this is about
        return f"{type(error).__name__}: {str(error)[:80]}"
    return "read"


def fuzz_files(kind: str, folder: Path, limits: settings) -> Counter[str]:
    """Endings of reading mutated files of one kind."""
    name, content, read = VALID[kind]
    path = folder / name
    path.write_bytes(content)
    read(path)  # the seed is valid
    endings: Counter[str] = Counter()

    @limits
    @given(changes)
    def attempt(given_changes: list[tuple[int, int, int, bytes]]) -> None:
        path.write_bytes(changed(content, given_changes))
        end = ending(read, path)
        endings[end] += 1
        assert end in ("read", "refused"), (kind, path.read_bytes())

    attempt()
    return endings


@pytest.mark.parametrize("kind", VALID)
def test_no_file_is_unexpected(kind: str, tmp_path: Path) -> None:
    assert fuzz_files(kind, tmp_path, SHORT)["refused"] > 0


@pytest.mark.study
@pytest.mark.parametrize("kind", VALID)
def test_no_file_is_unexpected_in_the_long_run(kind: str, tmp_path: Path) -> None:
    endings = fuzz_files(kind, tmp_path, LONG)
    print(
        f"\n{kind}: {sum(endings.values())} files, {endings['read']} read, {endings['refused']} "
        "refused, none unexpected"
    )


@pytest.mark.parametrize(
    "read", [store.read_tree, saved.read, _run.read], ids=["tree", "posterior", "run"]
)
def test_files_that_were_cut_or_are_none(read: Read, tmp_path: Path) -> None:
    """netCDF: the library itself does not survive every flipped bit,
    so it is cut and replaced only.
    """
    path = tmp_path / "run.nc"
    store.write_tree(xr.DataTree(xr.Dataset({"a": (("x",), np.arange(50.0))})), path)
    content = path.read_bytes()
    for part in (
        b"",
        b"\x89HDF\r\n\x1a\n",
        os.urandom(200),
        *(content[: len(content) * i // 8] for i in range(1, 9)),
    ):
        path.write_bytes(part)
        assert ending(read, path) in ("read", "refused"), len(part)


# -- command lines ---------------------------------------------------------------------------------

OPTIONS = {
    "list": ("--json",),
    "verify": (
        "--candidate",
        "--reference",
        "--datasets",
        "--tolerance",
        "--seed",
        "--audit",
        "--out",
        "--set",
        "--keep-predictions",
        "--tests",
        "--sequential",
        "--json",
    ),
    "identify": (
        "--candidate",
        "--against",
        "--datasets",
        "--tolerance",
        "--seed",
        "--out",
        "--set",
        "--json",
    ),
    "probe": ("--task", "--against", "--datasets", "--seed", "--out", "--json"),
    "reference": ("--engine", "--datasets", "--seed", "--out", "--audit", "--set", "--json"),
    "compare": ("--tolerance", "--seed", "--out", "--json"),
    "train": ("--preset", "--device", "--out", "--seed", "--threads", "--tensorboard"),
    "report": ("--out",),
    "calibrate-tests": ("--nulls", "--out", "--seed", "--workers", "--json"),
    "calibrate-engine": ("--engine", "--datasets", "--seed", "--set", "--json"),
    "doctor": ("--json",),
    "nothing": ("--help",),
}
VALUES = (
    "",
    "-",
    "--",
    "-1",
    "0",
    "1",
    "2",
    "40",
    "nan",
    "inf",
    "1e400",
    "9" * 30,
    "x" * 300,
    "../..",
    "/",
    "/proc/x",
    "~",
    "*",
    "Größe 数据",
    "\udcff",
    "\t",
    "%s",
    "{0}",
    "<b>",
    "'",
    "a:b",
    ":",
    "json:loads",
    "json:absent",
    "=",
    ".=",
    "data=",
    "data.x=",
    "data=d.json",
    "data=d.csv",
    "data=none.npz",
    "reference.draws=",
    "reference.draws=-1",
    "reference.draws=1e99",
    "candidate.steps=few",
    "audit.chains=0",
    "reference.=1",
    "gp-rbf-1d",
    "bn-general5",
    "mtd-q5-m3",
    "bn-asia-inference",
    "nuts",
    "row_quadrature",
    "prior-only",
    "mtd_mirror_descent",
    "bn-general5+mle",
    "none",
    "standard",
    "all",
    "quick",
    "cpu",
    "tasks",
    "m.bif",
    "m.yaml",
    "m.uai",
    "m.net",
    "p.json",
    "p.json.zip",
    "bad.nc",
    "bad.bif",
    "bad.yaml",
    "bad.json",
    "file",
    "folder",
    "out",
    "page.html",
)
STUBS = (
    "veribayes.run.pipeline.run",
    "veribayes.run.pipeline.reference",
    "veribayes.run.pipeline.frozen_tolerance",
    "veribayes.run.probes.probe",
    "veribayes.run.training.train_task",
    "veribayes.run.calibration.calibrate",
    "veribayes.cli.doctor.examine",
    "veribayes.validation.checks._measure.run",
    "veribayes.posteriors.comparison.effects",
)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with good and bad files; what costs time ends where it begins."""

    def reached(*args: object, **kwargs: object) -> NoReturn:
        raise InputError("a real run", "the boundary of the pipeline")

    for name, content, _ in VALID.values():
        (tmp_path / name).write_bytes(content)
    for name in ("bad.nc", "bad.bif", "bad.yaml", "bad.json", "file"):
        (tmp_path / name).write_bytes(b"\x00\xffnonsense {")
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for target in STUBS:
        monkeypatch.setattr(target, reached)
    return tmp_path


value = st.one_of(
    st.sampled_from(VALUES),
    st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8),
)
line = st.sampled_from(sorted(OPTIONS)).flatmap(
    lambda command: st.tuples(
        st.just(command),
        st.lists(value, max_size=2),
        st.lists(st.tuples(st.sampled_from(OPTIONS[command]), st.none() | value), max_size=4),
    )
)


def exit_code(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> Any:
    monkeypatch.setattr(sys, "argv", ["veribayes", *arguments])
    try:
        cli.main()
    except SystemExit as end:
        return end.code


def fuzz_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], limits: settings
) -> Counter[int]:
    """Exit codes of hostile command lines."""
    codes: Counter[int] = Counter()

    @limits
    @given(line)
    def attempt(drawn: tuple[str, list[str], list[tuple[str, str | None]]]) -> None:
        command, names, options = drawn
        words = [
            word
            for option, given_value in options
            for word in (option, given_value)
            if word is not None
        ]
        code = exit_code(monkeypatch, [command, *names, *words])
        said = capsys.readouterr()
        codes[code] += 1
        assert code in (0, 1, 2, 3, 4), (command, names, options, said.err)
        assert code == 0 or said.err, (command, names, options)

    attempt()
    return codes


def test_no_command_line_is_unexpected(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fuzz_lines(monkeypatch, capsys, settings(SHORT, max_examples=80))[2] > 25


@pytest.mark.study
def test_no_command_line_is_unexpected_in_the_long_run(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = fuzz_lines(monkeypatch, capsys, LONG)
    with capsys.disabled():
        print(
            f"\ncommand lines: {sum(codes.values())}, by exit code {dict(sorted(codes.items()))}, "
            "none 70"
        )
