"""Model specifications, their simulators and their NumPyro programs.

A family is one file or folder, found by its name. What it exports (`__all__`, or else its class
alone) is an attribute of this package, imported when it is first asked for. `Design` and `Task` say
where predictions are wanted and what is compared with what.

>>> import veribayes.models as models
>>> models.Design(positions=(1, 10, 100), queries=8).positions
(1, 10, 100)
>>> all(hasattr(models, name) for name in dir(models))
True
"""

from __future__ import annotations

import importlib
from typing import Any

from veribayes.models._task import Design, Task

__all__ = ["Design", "Task"]  # and what the families export, see `__dir__`


def __getattr__(name: str) -> Any:
    if not name.startswith("_"):
        for module in _families():
            if name in _exported(module):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    names = set(__all__)
    for module in _families():
        names.update(_exported(module))
    return sorted(names)


def _exported(module: Any) -> tuple[str, ...]:
    """What a family offers by name."""
    return tuple(getattr(module, "__all__", (module.PART.__name__,)))


def _families() -> list[Any]:
    from veribayes import registry

    shipped = [name for name in registry.names("family") if registry.is_shipped("family", name)]
    return [importlib.import_module(f"{__name__}.{name}") for name in shipped]
