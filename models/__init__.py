"""Model specifications, their simulators and their NumPyro programs: a family is one file or folder, found by its name.

>>> import veribayes.models as models
>>> models.MTD(q=5, m=3).latents[0].name
'weights'

What a family exports (`__all__`) is an attribute of this package, imported when it is first asked for. `Design` and `Task` say
where predictions are wanted and what is compared with what.
"""

from __future__ import annotations

import importlib
from typing import Any

from veribayes.models._task import Design, Task

__all__ = ["Design", "Task"]  # and what the families export, see `__dir__`


def __getattr__(name: str) -> Any:
    if not name.startswith("_"):
        for module in _families():
            if name in module.__all__:
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for module in _families() for name in module.__all__)})


def _families() -> list[Any]:
    from veribayes import registry

    shipped = [name for name in registry.names("family") if registry.is_shipped("family", name)]
    return [importlib.import_module(f"{__name__}.{name}") for name in shipped]
