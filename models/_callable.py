"""What can be called as a NumPyro program, how it is called, and what identifies it.

A program is a function, a lambda, a `functools.partial`, an object with `__call__`, or any of these
inside NumPyro's handlers (`handlers.reparam(program, config)`). Its arguments are those of the
innermost function.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from veribayes.errors import ModelError

BY_NAME = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.KEYWORD_ONLY,
)
DEPTH = 6  # of settings inside settings that tell two wrappers apart


def is_program(found: Any) -> bool:
    """Whether something can be called as it is; of a class, only its instances can."""
    return callable(found) and not inspect.isclass(found)


def parameters_of(function: Any) -> Mapping[str, inspect.Parameter]:
    """Its parameters by name.

    Raises:
        ModelError: nothing that Python can call with arguments by name.
    """
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        raise ModelError(
            "a Python function with NumPyro's sample statements", f"{type(function).__name__}"
        ) from None


def call(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """The function, its arguments by position where the signature wants that."""
    rest, first = dict(arguments), []
    for name, parameter in parameters_of(function).items():
        if parameter.kind is parameter.POSITIONAL_ONLY and name in rest:
            first.append(rest.pop(name))
    return function(*first, **rest)


def defaults_of(function: Any) -> dict[str, Any]:
    """Arguments that are there already: defaults that are not None, and those of a partial."""
    found = {n: p.default for n, p in parameters_of(function).items() if p.kind in BY_NAME}
    return {n: v for n, v in found.items() if v is not inspect.Parameter.empty and v is not None}


def inside(function: Any) -> Any:
    """What a wrapper wraps: the function of a partial or of a handler;
    None for what is no wrapper.
    """
    if isinstance(function, partial):
        return function.func
    found = getattr(function, "fn", None)
    return found if _is_handler(function) and callable(found) else None


def name_of_program(function: Any) -> str:
    """The name of the innermost function, or of the class of an object."""
    core = function
    while inside(core) is not None:
        core = inside(core)
    return str(getattr(core, "__qualname__", type(core).__qualname__))


def source_digest(function: Any) -> str:
    """SHA-256 of the file that defines a function, of a wrapper's settings, or of the code where
    there is no file.
    """
    if inspect.isfunction(function):
        file = inspect.getsourcefile(function)
        if file and Path(file).is_file():
            return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    return hashlib.sha256(_described(function, DEPTH).encode()).hexdigest()


def _described(value: Any, depth: int) -> str:
    """Text that is the same in every process for the same thing: values, names, files and settings,
    no addresses.
    """
    if isinstance(value, np.ndarray) or hasattr(value, "__array__"):
        array = np.asarray(value)
        return hashlib.sha256(
            f"{array.dtype.str}{array.shape}".encode() + array.tobytes()
        ).hexdigest()
    if value is None or isinstance(value, str | bytes | int | float | complex):
        return repr(value)
    if depth == 0:
        return type(value).__qualname__
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k!r}: {_described(v, depth - 1)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple | set | frozenset):
        return "[" + ", ".join(_described(v, depth - 1) for v in value) + "]"
    if inspect.isfunction(value):
        return f"{value.__qualname__} {_code(value, depth)}"
    if isinstance(value, partial):
        return f"partial {_described((value.func, value.args, value.keywords), depth - 1)}"
    settings = {k: v for k, v in getattr(value, "__dict__", {}).items() if not k.startswith("__")}
    return f"{type(value).__qualname__} {_file(type(value))} {_described(settings, depth - 1)}"


def _code(function: Any, depth: int) -> str:
    """The file of a function and what it closes over; its instructions where there is no file."""
    closed = [
        c.cell_contents for c in function.__closure__ or () if c.cell_contents is not function
    ]
    code = function.__code__
    instructions = _file(function) or (code.co_code, code.co_names)
    return f"{instructions} {_described([*closed, function.__defaults__], depth - 1)}"


def _file(thing: Any) -> str:
    try:
        file = inspect.getsourcefile(thing)
    except (TypeError, OSError):  # built in, or typed in
        return ""
    return (
        hashlib.sha256(Path(file).read_bytes()).hexdigest() if file and Path(file).is_file() else ""
    )


def _is_handler(function: Any) -> bool:
    return any(
        c.__module__ == "numpyro.primitives" and c.__name__ == "Messenger"
        for c in type(function).__mro__
    )
