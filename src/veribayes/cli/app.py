"""The Typer application, put together from the files of `commands/`, and the entry point."""

from __future__ import annotations

import pkgutil
import sys
from importlib import import_module
from types import ModuleType
from typing import NoReturn

import typer

from veribayes.cli import commands, console

PURPOSE = (
    "Is this transformer doing Bayesian inference, and if not, what is it doing and where does it "
    "go wrong?"
)


def _modules() -> list[ModuleType]:
    """Every command's file, in the order of `--help`."""
    names = [found.name for found in pkgutil.iter_modules(commands.__path__)]
    modules = [import_module(f"{commands.__name__}.{name}") for name in names]
    return sorted(modules, key=lambda module: (module.ORDER, module.__name__))


def _built() -> typer.Typer:
    application = typer.Typer(
        add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, help=PURPOSE
    )
    for module in _modules():
        name = module.__name__.rpartition(".")[2].replace("_", "-")
        application.command(name)(module.command)
    return application


app = _built()


def main() -> NoReturn:
    """What the commands return or raise becomes an exit code of the contract,
    and at most a line.
    """
    sys.exit(console.run(app))
