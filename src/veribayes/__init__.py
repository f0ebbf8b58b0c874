"""veribayes: is this transformer doing Bayesian inference, and if not,
what is it doing and where does it go wrong?

>>> import veribayes as vb
>>> task = vb.task("gp-rbf-1d")  # or vb.load("asia.bif"), or vb.task(vb.models.MTD(q=5, m=3))
>>> result = vb.verify(task, "sequential", datasets=200)

In the place of "sequential" stands any callable (context, query) -> one of the seven forms.

>>> result.verdict
'equivalent'
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from veribayes.api import Reference as Reference
    from veribayes.api import Result as Result
    from veribayes.api import compare as compare
    from veribayes.api import identify as identify
    from veribayes.api import load as load
    from veribayes.api import open_run as open
    from veribayes.api import probe as probe
    from veribayes.api import recorded as recorded
    from veribayes.api import reference as reference
    from veribayes.api import task as task
    from veribayes.api import track as track
    from veribayes.api import verify as verify

# Threads of XLA's pool, read when JAX starts. jaxlib 0.10 cuts a batch of factorisations into tasks
# for that pool and waits for them inside it:
# as many such calls as threads wait for ever (docs/decisions/2026-11-26-one-thread-for-xla.md).
os.environ.setdefault("PJRT_NPROC", "1")

__version__ = "0.1.0"
__all__ = [
    "Reference",
    "Result",
    "compare",
    "errors",
    "identify",
    "load",
    "models",
    "open",
    "predictive",
    "probe",
    "recorded",
    "reference",
    "report",
    "task",
    "track",
    "verify",
]
_CALLED = {"open": "open_run"}  # in `api`, where Python's own name stays what it is

_SUBMODULES = frozenset({"errors", "models", "predictive", "report"})


def __getattr__(name: str) -> Any:
    """Names are loaded when they are used: importing veribayes costs nothing."""
    if name in _SUBMODULES:
        return importlib.import_module(f"veribayes.{name}")
    if name in __all__:
        return getattr(importlib.import_module("veribayes.api"), _CALLED.get(name, name))
    raise AttributeError(f"module 'veribayes' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
