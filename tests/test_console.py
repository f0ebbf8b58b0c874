"""What ends a command that is no verdict: a closed pipe, a full output, usage, memory;
each with its own code and one line.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from veribayes import cli
from veribayes.cli import console
from veribayes.errors import InputError

TOP = Path(__file__).resolve().parents[1]
COMMAND = [sys.executable, "-c", "from veribayes.cli import main; main()"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(TOP / "src")}


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["veribayes", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


class Broken:
    """A stream whose every write fails."""

    encoding, errors = "utf-8", "replace"

    def __init__(self, number: int) -> None:
        self.number = number

    def write(self, text: str) -> NoReturn:
        raise OSError(self.number, os.strerror(self.number))

    def flush(self) -> None: ...

    def isatty(self) -> bool:
        return False


ENTRY = {
    "task": "t",
    "candidate": "c",
    "verdict": "different",
    "rivals": {},
    "findings": [],
    "primary": {
        "metric": "kl",
        "verdict": "different",
        "estimate": 1.0,
        "low": 0.9,
        "high": 1.1,
        "tolerance": 0.1,
        "datasets_needed": None,
    },
    "recovery": {"estimate": 0.5, "low": 0.4, "high": 0.6},
}


@pytest.mark.parametrize(
    "arguments", [("list",), ("list", "--json"), ("--help",), ("verify", "--help"), ("doctor",)]
)
@pytest.mark.parametrize(
    ("number", "code"), [(errno.EPIPE, 141), (errno.ENOSPC, 2), (errno.EIO, 2)]
)
def test_an_output_that_breaks_is_no_verdict(
    arguments: tuple[str, ...],
    number: int,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("veribayes.cli.doctor.examine", lambda: {"problems": []})
    monkeypatch.setattr("veribayes.cli.doctor.text", lambda found: "well")
    monkeypatch.setattr(sys, "stdout", Broken(number))
    assert run(monkeypatch, *arguments) == code
    said = capsys.readouterr().err
    assert len(said.splitlines()) == (code == 2)


def test_a_table_into_a_closed_pipe_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """rich ends a process with code 1, which is *different*, where a pipe is closed."""
    from veribayes.cli import terminal

    monkeypatch.setattr(sys, "stdout", Broken(errno.EPIPE))
    monkeypatch.setattr("veribayes.registry.names", lambda kind: [])
    target = "veribayes.cli.commands.list.rows"
    monkeypatch.setattr(target, lambda kind: print(terminal.table([ENTRY])))
    assert run(monkeypatch, "list") == 141


def test_real_pipes_and_a_full_device() -> None:
    """The reader is gone before anything is written; `list` answers without heavy imports."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*COMMAND, "list"], stdout=write, stderr=subprocess.PIPE, env=ENVIRONMENT, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*COMMAND, "list"], stdout=full, stderr=subprocess.PIPE, env=ENVIRONMENT, check=False
        )
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert b"standard output that can be written" in done.stderr
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*COMMAND, "list", "x"], stdout=full, stderr=full, env=ENVIRONMENT, check=False
        )
    assert done.returncode == 2


NUMBERS = ("-1", "1.5", "nan", "inf", "1e400", "text", "", "99999999999999999999", "0x10", "--json")
WHOLE = {
    "verify": ("--datasets", "--seed", "--audit"),
    "identify": ("--datasets", "--seed"),
    "probe": ("--datasets", "--seed"),
    "reference": ("--datasets", "--seed", "--audit"),
    "calibrate-engine": ("--datasets", "--seed"),
    "calibrate-tests": ("--nulls", "--seed", "--workers"),
    "compare": ("--seed",),
    "train": ("--seed", "--threads"),
}
POSITIVE = dict.fromkeys(("verify", "identify", "compare"), ("--tolerance",))
NAMED = {"compare": ("a.nc", "b.nc"), "calibrate-tests": ()}
LEAST = {"--seed": 0, "--audit": 0}


@pytest.mark.parametrize("command", WHOLE)
def test_a_number_out_of_range_is_said_with_its_option(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for option in WHOLE[command]:
        for number in (*NUMBERS, *(["0"] if LEAST.get(option) != 0 else [])):
            assert (
                run(monkeypatch, command, *NAMED.get(command, ("bn-general5",)), option, number)
                == 2
            ), (option, number)
            said = capsys.readouterr()
            assert said.out == ""
            assert option in said.err
            assert len(said.err.splitlines()) == 1


@pytest.mark.parametrize("command", POSITIVE)
def test_a_tolerance_is_positive_and_finite(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in ("0", "-0.0", "-1", "nan", "inf", "-inf", "1e400", "text", "", "1,5"):
        assert (
            run(monkeypatch, command, *NAMED.get(command, ("bn-general5",)), "--tolerance", number)
            == 2
        ), number
        assert "--tolerance" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (MemoryError(), 2, "--datasets"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 2, "No space left"),
        (OSError(errno.EACCES, "Permission denied", "/x"), 2, "/x"),
        (
            BrokenPipeError(errno.EPIPE, "Broken pipe"),
            70,
            "BrokenPipeError",
        ),  # of a process of ours, not of the output
        (InputError("two\nlines", "one"), 2, "two lines"),
        (KeyError("x"), 70, "KeyError"),
    ],
)
def test_errors_in_one_line(error: Exception, code: int, said: str) -> None:
    found = console.explained(error)
    assert found[0] == code
    assert said in found[1]
    assert "\n" not in found[1]


def test_an_interruption_anywhere_is_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*args: object, **kwargs: object) -> NoReturn:
        raise KeyboardInterrupt

    for target in ("veribayes.registry.usable", "veribayes.cli.console._called"):
        with monkeypatch.context() as patch:
            patch.setattr(target, stopped)
            assert run(patch, "list", "engines") == 130
            assert "continues" in capsys.readouterr().err


def test_no_arguments_show_help_and_are_bad_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch) == 2
    assert "Usage" in capsys.readouterr().out
