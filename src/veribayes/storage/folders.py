"""Where results go: files that appear whole or not at all, and folders that belong to one request
and have one writer.

A folder holds what one request asked for: a task, a candidate and options, each as it was named.
`request.json` in the folder says which. What stands behind a name may change (weights, source,
versions): then the same request computes again what has changed. Another request is refused, and
nothing of the folder is touched.

A writer holds `.lock`, an advisory lock that the system gives back when the process ends, however
it ends; the file itself stays, and tells who holds it.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from veribayes.errors import InputError

SCHEMA = "veribayes.request/1"
REQUEST, LOCK = "request.json", ".lock"
Request = Mapping[str, Any]


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to; it is renamed when the block ends well and
    removed when it does not.

    Raises:
        InputError: the file cannot be written there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all.

    Raises:
        InputError: the file cannot be written there.
    """
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def require_room(path: Path, size: int) -> None:
    """Refuse, before anything is written, a file for which the disk, a quota or a limit leaves no
    room.

    Raises:
        OSError: as the system says it.
    """
    if hasattr(os, "posix_fallocate"):
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)


def require_writable(path: Path) -> None:
    """Refuse, before any work, a file that could not be written.

    Raises:
        InputError: a folder has this name, or a file cannot be made beside it.
    """
    if path.is_dir():
        raise InputError(
            "the name of a file for --out", f"the folder '{path}'", "name a file in it"
        )
    probe = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"\0")
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from error
    finally:
        with suppress(OSError, ValueError):
            probe.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Be the only writer of a folder.

    Args:
        folder: made where it is not there.
        wait: until another writer is done; otherwise it is refused.

    Raises:
        InputError: the folder cannot be written, or another process writes to it.
    """
    with _opened(folder) as file:
        _acquire(file, folder, wait)
        _sign(file, folder)
        try:
            yield
        finally:
            with suppress(OSError):
                file.truncate(0)


@contextmanager
def owned(folder: Path, request: Request) -> Iterator[None]:
    """Be the only writer of the folder of a request; nothing of a folder of another one is touched.

    Args:
        folder: made where it is not there.
        request: plain data; equal for the same task, candidate and options.

    Raises:
        InputError: the folder belongs to another request, cannot be written, or has a writer.
    """
    require_own(folder, request)
    with locked(folder):
        require_own(folder, request)  # another writer may have come first
        if not (folder / REQUEST).exists():
            write_text(
                folder / REQUEST,
                json.dumps({"schema": SCHEMA, **request}, indent=1, sort_keys=True) + "\n",
            )
        yield


def require_own(folder: Path, request: Request) -> None:
    """Refuse a folder that belongs to another request.

    Raises:
        InputError: it does, and the message says in what they differ.
    """
    path = folder / REQUEST
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    except NotADirectoryError as error:
        raise _unwritable(folder, error) from error
    except (OSError, ValueError) as error:
        remedy = "remove it, or choose another --out"
        raise InputError(f"a readable '{path}'", f"{type(error).__name__}", remedy) from None
    plain = json.loads(json.dumps(request))
    stored = stored if isinstance(stored, dict) else {}
    differences = [key for key in plain if plain[key] != stored.get(key)]
    if differences:
        held = "; ".join(_difference(key, stored.get(key), plain[key]) for key in differences)
        raise InputError(
            f"a folder of this request for '{folder}'",
            held,
            "choose another --out, or remove that folder",
        )


def _difference(key: str, stored: object, asked: object) -> str:
    """What a folder holds and what was asked for, in words."""
    if isinstance(stored, dict) and isinstance(asked, dict):
        names = [name for name in {**stored, **asked} if stored.get(name) != asked.get(name)]
        pairs = [
            f"{name} {_shown(stored.get(name))} and not {_shown(asked.get(name))}" for name in names
        ]
        return f"one with the {key} {', '.join(pairs)}"
    return f"one with the {key} {_shown(stored)} and not {_shown(asked)}"


def _shown(value: object, most: int = 80) -> str:
    if value is None:
        text = "none"
    elif isinstance(value, str):
        text = value
    else:
        text = json.dumps(value)
    return f"'{text[:most]}'"


@contextmanager
def _opened(folder: Path) -> Iterator[IO[str]]:
    """The lock file of a folder, which is made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a+", encoding="utf-8")
    except (OSError, ValueError) as error:
        raise _unwritable(folder, error) from error
    try:
        yield file
    finally:
        with suppress(OSError):  # a full disk may refuse what was left to write
            file.close()


def _acquire(file: IO[str], folder: Path, wait: bool) -> None:
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        file.seek(0)
        raise InputError(
            f"a folder that no other process writes to for '{folder}'",
            f"one that {_writer(file.read())} writes to",
            "wait until it is done, or choose another --out",
        ) from None
    except OSError:  # a file system without locks: written without one, as before there were locks
        return


def _sign(file: IO[str], folder: Path) -> None:
    """Leave the note that tells who writes."""
    try:
        file.truncate(0)
        file.write(json.dumps({"process": os.getpid(), "host": platform.node(), "since": _now()}))
        file.flush()
    except OSError as error:
        raise _unwritable(folder, error) from error


def _writer(note: str) -> str:
    try:
        found = json.loads(note)
        return f"process {found['process']} on {found['host']} since {found['since']}"
    except (ValueError, KeyError, TypeError):
        return "another process"


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _unwritable(path: Path, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or str(error)
    return InputError(
        f"a place where '{path}' can be written",
        reason,
        "choose another --out, or make room and rights",
    )
