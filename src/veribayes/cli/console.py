"""What every command has in common: an output that may break, errors in one line, and exit codes.

The codes are a contract: 0 equivalent · 1 different · 2 bad usage or input · 3 undecided · 4
reference refused · 70 unexpected error · 130 interrupted.

A reader that has gone (`veribayes list | head -1`) ends a command quietly with the code that a
shell gives it, and an output that cannot be written is bad input: neither is ever a verdict.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import Any, ClassVar, TextIO, cast

import typer

from veribayes.errors import InputError, Interrupted, PluginWarning, VeribayesError

UNEXPECTED, INTERRUPTED, CLOSED_PIPE = 70, 130, 141  # 128 + SIGPIPE
USAGE = 2
EXIT_OF_VERDICT = {"equivalent": 0, "different": 1, "undecided": 3}
PRECEDENCE = (USAGE, UNEXPECTED, 4, 1, 3)  # several tasks: the first of these that occurs
# Errors of the system that may come without the name of a file.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EMFILE, errno.ENOMEM)


class OutputClosed(VeribayesError):
    """Nobody reads standard output any more."""

    exit_code: ClassVar[int] = CLOSED_PIPE


class Output:
    """Standard output, whose failures are told apart from all other errors of the system."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        return self._done(lambda: self.stream.write(text))

    def flush(self) -> None:
        self._done(self.stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def _done(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except OSError as error:
            discard(self.stream)
            if error.errno in (errno.EPIPE, errno.ESHUTDOWN):
                raise OutputClosed("standard output is closed") from error
            reason = error.strerror or type(error).__name__
            raise InputError(
                "a standard output that can be written", reason, "write it somewhere else"
            ) from error


def run(app: Callable[..., Any]) -> int:
    """Call the commands with the arguments of the process, and return the exit code."""
    _environment()
    given = sys.stdout
    stream = given if given is not None else open(os.devnull, "w")  # noqa: SIM115  lives as long as we
    sys.stdout = cast(TextIO, Output(stream))
    try:
        code = _ended(lambda: _called(app))
        written = _ended(sys.stdout.flush)  # what is still in the buffer may fail too
        code = written or code
    finally:
        sys.stdout = given
    if code == INTERRUPTED:
        say("interrupted; the same command continues")
    return code


def first(codes: Collection[int]) -> int:
    """The exit code of several tasks."""
    return next((code for code in PRECEDENCE if code in codes), 0)


def _called(app: Callable[..., Any]) -> int:
    if not sys.argv[1:]:
        app(["--help"], standalone_mode=False)
        return USAGE
    code = app(standalone_mode=False)
    return code if isinstance(code, int) else 0


def _ended(action: Callable[[], int | None]) -> int:
    """The exit code of an action, whatever it raises; what went wrong is said."""
    try:
        return action() or 0
    except SystemExit as end:
        return _code(end)
    except (Interrupted, KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except OutputClosed as error:
        return error.exit_code
    except Exception as error:
        print_traceback("--debug" in sys.argv)
        code, message = explained(error)
        say(message)
        return code


def _code(end: SystemExit) -> int:
    """What a library ends with; on a closed pipe it gives up with code 1, which is a verdict."""
    if isinstance(end.__context__, BrokenPipeError):
        return CLOSED_PIPE
    if isinstance(end.code, int):
        return end.code
    return UNEXPECTED if end.code else 0


def explained(error: Exception) -> tuple[int, str]:
    """Exit code and one line."""
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # the parser's own
        return USAGE, one_line(_usage(error))
    if isinstance(error, OSError) and (error.filename or error.errno in FULL):
        where = f" at '{error.filename}'" if error.filename else ""
        error = InputError("files that can be read and written", f"{error.strerror}{where}")
    if isinstance(error, MemoryError):
        reason = one_line(str(error)) or "no more"
        error = InputError("a run that fits into memory", reason, "ask for fewer --datasets")
    if isinstance(error, VeribayesError):
        return error.exit_code, one_line(str(error))
    message = f"unexpected {type(error).__name__}: {error}; run again with --debug and report it"
    return UNEXPECTED, one_line(message)


def _usage(error: Any) -> str:
    """What was typed wrongly, with the name of the option and the place of help."""
    options: Sequence[str] = getattr(getattr(error, "param", None), "opts", ())
    option = next((o for o in options if o.startswith("--")), "")
    message = str(error.format_message())
    if option and error.message:
        message = f"{option}: {error.message}"
    context = getattr(error, "ctx", None)
    return f"{message.rstrip('.')}; see '{context.command_path} --help'" if context else message


def one_line(text: str) -> str:
    return " ".join(text.split())


def say(text: str) -> None:
    """A line on standard error, where there is one; what is no Unicode is shown by its bytes."""
    shown = text.encode("utf-8", "backslashreplace").decode("utf-8")
    try:
        print(f"veribayes: {shown}", file=sys.stderr, flush=True)
    except (OSError, ValueError):
        discard(sys.stderr)


def print_traceback(wanted: bool) -> None:
    if wanted:
        traceback.print_exc()


def discard(stream: TextIO | None) -> None:
    """Let nothing more be written: what is in the buffer would fail again at the end."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, cast(TextIO, stream).fileno())
        os.close(nowhere)


@contextmanager
def caught(name: str, errors: list[dict[str, Any]], debug: bool) -> Iterator[None]:
    """One task's failure is said, kept, and does not stop the others; interruption does.

    What candidates print is no result.
    """
    given = sys.stdout
    sys.stdout = sys.stderr
    try:
        yield
    except Interrupted:
        raise
    except Exception as error:
        print_traceback(debug)
        code, message = explained(error)
        say(f"{name}: {message}")
        errors.append({"task": name, "exit_code": code, "message": message})
    finally:
        sys.stdout = given


def _environment() -> None:
    """References are float64 on the CPU, compiled once and kept; set before JAX is imported.

    Any terminal can show results.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    cache = Path(caches) / "veribayes"
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache / "jax"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
    os.environ.setdefault("VERIBAYES_REFERENCES", str(cache / "references"))
    if getattr(warnings.showwarning, "func", None) is not _show_warning:
        warnings.showwarning = partial(_show_warning, warnings.showwarning)


def _show_warning(
    others: Callable[..., None], message: Any, category: type[Warning], *rest: Any, **more: Any
) -> None:
    """A plug-in that cannot be used is said like everything else that goes to standard error."""
    if issubclass(category, PluginWarning):
        say(f"warning: {one_line(str(message))}")
    else:
        others(message, category, *rest, **more)
