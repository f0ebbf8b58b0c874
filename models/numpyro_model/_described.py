"""A program in a task file: named, never written there.

    model:
      kind: numpyro
      program: package.module:function
      data: {n: 33}
      predict: y

The module is imported when the task is read, as one that is named on the command line is. Modules
in the working folder are found like installed ones.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

from veribayes.checked import mapping, sequence, text
from veribayes.errors import InputError, ModelError
from veribayes.models._callable import is_program, source_digest

if TYPE_CHECKING:
    from veribayes.models.numpyro_model._prediction import PredictedProgram

ALLOWED = ("program", "source", "data", "predict", "axis", "inputs", "ask")


def read(spec: Any) -> PredictedProgram:
    """The predicted program that `PredictedProgram.spec` describes.

    Raises:
        InputError: no such program, a site that is not there, or arguments of which only a digest
            is known.
        ModelError: the program has changed since.
    """
    from veribayes.models.numpyro_model._prediction import PredictedProgram

    given = mapping("a program", spec, allowed=list(ALLOWED), required=["program", "predict"])
    name = text("program", given["program"])
    function = imported(name)
    source = given.get("source")
    if source is not None and source != source_digest(function):
        remedy = "run it again, or leave 'source' out of the file"
        raise ModelError(f"the program '{name}' as it was", "another source", remedy)
    data = mapping("data", given.get("data", {}), allowed=list(given.get("data", {})))
    for argument, value in data.items():
        if isinstance(value, Mapping):
            wanted = f"numbers for the argument '{argument}'"
            raise InputError(wanted, "the digest of an array", "give it by --set data=FILE")
    inputs = given.get("inputs")
    return PredictedProgram(
        function,
        data,
        name,
        predict=text("predict", given["predict"]),
        axis=given.get("axis", 0),
        inputs_drawn=None if inputs is None else tuple(sequence("inputs", inputs)),
        ask=tuple(sequence("ask", given.get("ask", ()))),
    )


def imported(name: str) -> Any:
    """The program behind `package.module:function`.

    Raises:
        InputError: the module or the function is not there, or is no program.
    """
    module_name, _, path = name.partition(":")
    if not path:
        raise InputError("a program package.module:function", f"'{name}'")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        with redirect_stdout(sys.stderr):
            found: Any = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # what a user's module raises is the user's to read
        reason = f"{type(error).__name__}: {error}"
        remedy = "check PYTHONPATH and the name"
        raise InputError(f"an importable module '{module_name}'", reason, remedy) from error
    for part in path.split("."):
        if not hasattr(found, part):
            raise InputError(f"'{path}' in the module '{module_name}'", "no such object")
        found = getattr(found, part)
    if not is_program(found):
        raise InputError(f"a program '{name}'", type(found).__name__)
    return found
