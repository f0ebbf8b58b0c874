"""The command line's contract: exit codes, one JSON document,
one clear line for what went wrong.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from veribayes import cli, registry
from veribayes.cli import doctor
from veribayes.models import _spec
from veribayes.run import ownership

GOOD_BIF = """network tiny {
}
variable A {
  type discrete [ 2 ] { yes, no };
}
variable B {
  type discrete [ 2 ] { yes, no };
}
probability ( A ) {
  table 0.3, 0.7;
}
probability ( B | A ) {
  (yes) 0.9, 0.1;
  (no) 0.2, 0.8;
}
"""


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["veribayes", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


def bif(folder: Path, text: str) -> str:
    path = folder / "tiny.bif"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("verify", "bn-general5", "--candidate", "prior_only", "--datasets", "40"), 1),
        pytest.param(
            ("verify", "mtd-q5-m3", "--candidate", "prior_only", "--datasets", "40"),
            1,
            marks=pytest.mark.study,
        ),
        (("verify", "bn-general5", "--candidate", "row-quadrature", "--datasets", "500"), 0),
        (("verify", "bn-general5", "--candidate", "row_quadrature", "--datasets", "8"), 3),
        (
            (
                "verify",
                "bn-general5",
                "--candidate",
                "row_quadrature",
                "--datasets",
                "40",
                "--tolerance",
                "1e-3",
            ),
            3,
        ),
    ],
)
def test_the_exit_code_is_the_verdict(
    arguments: tuple[str, ...],
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, *arguments, "--audit", "0", "--out", str(tmp_path), "--json") == code
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "veribayes.result/1"
    assert {0: "equivalent", 1: "different", 3: "undecided"}[code] == document["results"][0][
        "verdict"
    ]
    assert (tmp_path / "report.html").is_file()


BAD = {
    "missing file": (("verify", "{tmp}/none.bif", "--candidate", "enumeration"), "a file"),
    "unknown task": (("verify", "bn-nothing"), "shipped tasks"),
    "unknown candidate": (("verify", "bn-general5", "--candidate", "nobody"), "list candidates"),
    "engine of another family": (
        ("verify", "bn-general5", "--candidate", "cholesky", "--datasets", "4"),
        "gaussian_process",
    ),
    "no such module": (
        ("verify", "bn-general5", "--candidate", "no_such_module:f"),
        "no_such_module",
    ),
    "too few data sets": (("verify", "bn-general5", "--datasets", "1"), "between 2 and"),
    "negative tolerance": (("verify", "bn-general5", "--tolerance", "-1"), "positive"),
    "set without a value": (("verify", "bn-general5", "--set", "draws"), "ROLE.OPTION=VALUE"),
    "set of no role": (("verify", "bn-general5", "--set", "draws=3"), "reference"),
    "unknown option": (("verify", "bn-general5", "--set", "reference.colour=3"), "colour"),
    "option of another type": (
        ("verify", "mtd-q5-m3", "--candidate", "mirror_descent", "--set", "candidate.steps=few"),
        "steps",
    ),
    "a reference without an ending": (
        ("reference", "gp-rbf-1d", "--datasets", "2", "--out", "{tmp}/truth"),
        "ends in .nc",
    ),
    "a reference in a folder's place": (
        ("reference", "gp-rbf-1d", "--datasets", "2", "--out", "{tmp}/here.nc/x.nc"),
        "folder",
    ),
    "two posteriors that are none": (("compare", "{tmp}/one.nc", "{tmp}/other.json"), "no file"),
    "no run": (("report", "{tmp}"), "run.nc"),
    "unknown preset": (("train", "bn-general5", "--preset", "huge"), "preset"),
    "list of nothing": (("list", "colours"), "colours"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_line_and_exit_code_2(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, message = BAD[case]
    given = [a.replace("{tmp}", str(tmp_path)) for a in arguments]
    (tmp_path / "here.nc").write_text("a file where a folder is asked for")
    extra = ["--audit", "0", "--out", str(tmp_path / "out")] if arguments[0] == "verify" else []
    assert run(monkeypatch, *given, *extra) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.strip().splitlines()) == 1
    assert message in said.err
    assert "Traceback" not in said.err


BAD_BIF = {
    "truncated": (GOOD_BIF[:-40], "tiny.bif"),
    "cyclic": (
        GOOD_BIF.replace(
            "probability ( A ) {\n  table 0.3, 0.7;",
            "probability ( A | B ) {\n (yes) .3, .7;\n (no) .3, .7;",
        ),
        "cycle",
    ),
    "rows that do not sum": (GOOD_BIF.replace("0.9, 0.1", "0.9, 0.9"), "sum"),
    "empty": ("", "tiny.bif"),
}


@pytest.mark.parametrize("case", BAD_BIF)
def test_a_broken_network_file_is_refused(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text, message = BAD_BIF[case]
    assert (
        run(
            monkeypatch,
            "verify",
            bif(tmp_path, text),
            "--candidate",
            "enumeration",
            "--out",
            str(tmp_path / "out"),
        )
        == 2
    )
    said = capsys.readouterr().err
    assert len(said.strip().splitlines()) == 1
    assert message in said


def test_a_network_file_is_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(
        monkeypatch,
        "verify",
        bif(tmp_path, GOOD_BIF),
        "--candidate",
        "enumeration",
        "--datasets",
        "500",
        "--out",
        str(tmp_path / "out"),
    )
    assert code == 0, capsys.readouterr().err


def test_several_tasks_one_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The broken one is said and decides the exit code; the other is still done."""
    code = run(
        monkeypatch,
        "verify",
        "bn-nothing",
        "bn-general5",
        "--candidate",
        "prior_only",
        "--datasets",
        "40",
        "--audit",
        "0",
        "--out",
        str(tmp_path),
    )
    assert code == 2
    assert "different" in capsys.readouterr().out


CANDIDATES = """
import sys
import numpy as np
def half(context, query):
    return {"probs": np.full((len(context), query.target.size, 2), 0.5)}
def laplace(context, query):
    p = (context[:, :, query.target].sum(1) + 1) / (context.shape[1] + 2)
    return {"probs": np.stack([1 - p, p], -1)}
def chatty(context, query):
    print("debugging")
    return half(context, query)
def raises(context, query):
    raise ValueError("two\\nlines")
def leaves(context, query):
    sys.exit(0)
def deaf(context):
    return None
class Needy:
    def __init__(self, weights): ...
nothing = None
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module with candidates, in the working folder and nowhere else."""
    name = f"candidates_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(CANDIDATES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return name


BROKEN = {
    "raises": "ValueError: two lines",
    "leaves": "SystemExit: 0",
    "deaf": "TypeError",
    "Needy": "needs no arguments",
    "nothing": "NoneType",
    "absent": "no such object",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_candidate_is_the_users_to_read(
    name: str, module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, one line, and the same line in the document;
    never 0 because the candidate called sys.exit(0).
    """
    arguments = (
        "--candidate",
        f"{module}:{name}",
        "--datasets",
        "4",
        "--audit",
        "0",
        "--out",
        "out",
        "--json",
    )
    assert run(monkeypatch, "verify", "bn-general5", *arguments) == 2
    said = capsys.readouterr()
    assert len(said.err.strip().splitlines()) == 1
    assert BROKEN[name] in said.err
    (error,) = json.loads(said.out)["errors"]
    assert (error["task"], error["exit_code"]) == ("bn-general5", 2)
    assert BROKEN[name] in error["message"]


def test_what_a_candidate_prints_is_no_result(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (
        "--candidate",
        f"{module}:chatty",
        "--datasets",
        "40",
        "--audit",
        "0",
        "--out",
        "out",
        "--json",
    )
    assert run(monkeypatch, "verify", "bn-general5", *arguments) == 1
    said = capsys.readouterr()
    assert json.loads(said.out)["errors"] == []
    assert "debugging" in said.err


def test_functions_of_one_file_do_not_share_a_folder(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    estimates = []
    for name in ("half", "laplace"):
        arguments = (
            "--candidate",
            f"{module}:{name}",
            "--datasets",
            "40",
            "--audit",
            "0",
            "--json",
        )
        run(monkeypatch, "verify", "bn-general5", *arguments)
        estimates.append(json.loads(capsys.readouterr().out)["results"][0]["primary"]["estimate"])
    assert estimates[0] > 2 * estimates[1]  # .0650 and .0282


def test_an_unexpected_error_in_one_task_keeps_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from veribayes import api

    real = api.task

    def broken(name: str, **given: Any) -> object:
        if name == "mtd-q5-m3":
            raise RuntimeError("a defect")
        return real(name, **given)

    monkeypatch.setattr("veribayes.api.task", broken)
    arguments = (
        "--candidate",
        "prior_only",
        "--datasets",
        "40",
        "--audit",
        "0",
        "--out",
        str(tmp_path),
        "--json",
    )
    assert run(monkeypatch, "verify", "mtd-q5-m3", "bn-general5", *arguments) == 70
    document = json.loads(capsys.readouterr().out)
    assert [e["exit_code"] for e in document["errors"]] == [70]
    assert [r["task"] for r in document["results"]] == ["bn-general5"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify", "bn-general5", "--candidate", "prior_only", "--datasets", "4", "--audit", "0"),
        ("train", "bn-general5"),
    ],
)
def test_a_folder_that_is_a_file_is_bad_input(
    arguments: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "out").write_text("")
    monkeypatch.setattr(
        "veribayes.transformer._training.train", lambda *a, **k: pytest.fail("it trains in vain")
    )
    assert run(monkeypatch, *arguments, "--out", str(tmp_path / "out")) == 2
    assert "can be written" in capsys.readouterr().err


def test_a_terminal_without_unicode_shows_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "printed"
    with path.open("w", encoding="ascii") as ascii_only:
        monkeypatch.setattr(sys, "stdout", ascii_only)
        arguments = (
            "--candidate",
            "prior_only",
            "--datasets",
            "40",
            "--audit",
            "0",
            "--out",
            str(tmp_path),
        )
        assert run(monkeypatch, "verify", "bn-general5", *arguments) == 1
    assert "different" in path.read_text()


def test_names_never_become_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    from veribayes import api
    from veribayes.run import training

    task = api.task("bn-general5")
    assert ownership.folder_name("bn-general5", task) == "bn-general5"
    assert ownership.folder_name("mine.yaml", task) != "bn-general5"
    assert ownership.folder_name(
        "x", api.task(task.model, positions=(1, 2))
    ) != ownership.folder_name("x", api.task(task.model))
    folders = []

    def stopped(name: str, *, out: Path, **options: object) -> None:
        folders.append(out)
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "train_task", stopped)
    for name in ("/etc/passwd", "../../x.yaml"):
        assert run(monkeypatch, "train", name) == 130
    assert folders == [Path("runs/train/passwd-quick"), Path("runs/train/x.yaml-quick")]


def test_an_unexpected_error_is_70(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(kind: str) -> list[str]:
        raise RuntimeError("a defect")

    monkeypatch.setattr("veribayes.registry.names", broken)
    assert run(monkeypatch, "list", "engines") == 70
    assert "unexpected RuntimeError: a defect" in capsys.readouterr().err


def test_an_interruption_is_130(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("veribayes.run.pipeline.run", stopped)
    assert run(monkeypatch, "verify", "bn-general5", "--out", str(tmp_path)) == 130
    assert "continues" in capsys.readouterr().err


@pytest.mark.parametrize("sampler", [False, pytest.param(True, marks=pytest.mark.study)])
def test_nothing_is_wrong_here(
    sampler: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """To compile a sampler takes longer than everything else together;
    tests/inference does it anyway.
    """
    actions = {
        name: action
        for name, action in doctor.actions().items()
        if sampler or "sampler" not in name
    }
    monkeypatch.setattr(doctor, "actions", lambda: actions)
    assert run(monkeypatch, "doctor", "--json") == 0
    assert json.loads(capsys.readouterr().out)["problems"] == []


def test_the_doctor_tries_one_task_of_every_family_that_is_shipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The cheapest has the smallest network;
    where a family has no shipped task nothing is tried.
    """
    cheapest = doctor.cheapest_of_family()
    assert cheapest.items() >= {
        ("bayesian_network", "bn-asia-inference"),
        ("mtd", "mtd-q3-m3"),
        ("gaussian_process", "gp-matern-1d"),
    }
    assert set(cheapest) == {_spec.load_task(name).model.kind for name in registry.names("task")}
    names = {"task": ["mtd-q5-m3", "mtd-q10-m3"], "engine": ["simplex_quadrature", "nuts"]}
    monkeypatch.setattr("veribayes.registry.names", names.__getitem__)
    assert doctor.cheapest_of_family() == {"mtd": "mtd-q5-m3"}
    assert set(doctor.actions()) == {
        "write and read netCDF",
        "sampler (NumPyro)",
        "reference of mtd",
        "network (torch)",
        "figure (matplotlib)",
    }


def test_commands_are_found_by_file_in_their_order() -> None:
    """A new command is a new file; `--help` shows them as they have always stood."""
    names = [command.name for command in cli.app.registered_commands]
    assert names[:4] == ["list", "verify", "identify", "probe"]
    assert names[-4:] == ["calibrate-tests", "calibrate-engine", "claims", "doctor"]
    files = Path(cli.commands.__file__).parent.glob("[a-z]*.py")
    assert {name.replace("-", "_") for name in names} == {file.stem for file in files}


@pytest.mark.parametrize(
    "name", ["bn-general5", pytest.param("gp-rbf-1d", marks=pytest.mark.study)]
)
def test_a_reference_is_written_and_trusted(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "truth.nc"
    assert run(monkeypatch, "reference", name, "--datasets", "20", "--out", str(path)) == 0
    assert path.is_file()
    assert "trusted" in capsys.readouterr().out


@pytest.mark.study
def test_a_reference_is_audited_where_there_is_something_to_audit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "truth.nc"
    asked = ("reference", "gp-rbf-1d", "--datasets", "4", "--audit", "2", "--out", str(path))
    assert run(monkeypatch, *asked, "--json") == 0
    audit = json.loads(capsys.readouterr().out)["audit"]
    assert (audit["verdict"], audit["datasets"]) == ("agrees", 2)
    assert 0 < audit["max_abs_z"] < audit["limit"]
    assert (
        run(
            monkeypatch,
            *asked[:4],
            "--engine",
            "nuts",
            "--audit",
            "2",
            "--out",
            str(tmp_path / "b.nc"),
        )
        == 2
    )
    assert "another engine than nuts" in capsys.readouterr().err
    assert (
        run(
            monkeypatch,
            "reference",
            "bn-asia-inference",
            "--audit",
            "2",
            "--out",
            str(tmp_path / "b.nc"),
        )
        == 2
    )
    assert not (tmp_path / "b.nc").exists()
