"""A family is known by its own files alone:
read from the syntax trees, no other file imports it or names its kind.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from veribayes import registry

TOP = Path(__file__).resolve().parents[1]
ROOMS = ("src/veribayes", "models", "inference", "transformer", "validation")
# folders whose files may serve one family: each is a part, or what parts of one family share
SERVING = (
    "inference",
    "models/readers",
    "transformer/architectures",
    "transformer/constructions",
    "transformer/tokens",
    "validation/claims",
)
# File -> why it may. Every other file has to ask the model, its layout or the registry.
EXCEPTIONS = {
    "models/_pgmpy.py": "a network of pgmpy is a Bayesian network",
    "src/veribayes/api/_tasks.py": "a callable that a user hands over is a NumPyro program",
    "src/veribayes/cli/doctor.py": "numpyro is one of the libraries that are tried",
    "src/veribayes/storage/store.py": "numpyro is one of the libraries whose versions a run keeps",
}


def shipped_families() -> dict[str, type]:
    """Name of the module -> the family's class."""
    names = [name for name in registry.names("family") if registry.is_shipped("family", name)]
    return {name: registry.load("family", name) for name in names}


FAMILIES = shipped_families()
KINDS = {family.kind for family in FAMILIES.values()}  # type: ignore[attr-defined]
CLASSES = {family.__name__ for family in FAMILIES.values()}


def own(path: str) -> bool:
    """Whether a file belongs to a family, or to a folder whose parts may serve one."""
    room, *inside = Path(path).with_suffix("").parts
    if room == "models" and inside[0] in FAMILIES:
        return True
    return any(path.startswith(f"{folder}/") for folder in SERVING)


def strangers() -> Iterator[str]:
    """Every Python file that should know no family, from the top of the repository;
    links are not followed.
    """
    for room in ROOMS:
        for path in sorted((TOP / room).rglob("*.py")):
            inside = path.relative_to(TOP).as_posix()
            if not own(inside) and inside not in EXCEPTIONS:
                yield inside


def imported(node: ast.AST) -> Iterator[str]:
    """Full names of all that a statement imports."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield node.module
        for alias in node.names:
            yield f"{node.module}.{alias.name}"


def is_family(name: str) -> bool:
    """Whether an import name is a family's module, something inside it, or its class."""
    head, _, inside = name.partition("veribayes.models.")
    first = inside.partition(".")[0]
    return not head and (first in FAMILIES or first in CLASSES)


def mentions(source: str) -> list[str]:
    """What a file says of families: imports of their modules and literals that are their kinds,
    with the line.
    """
    found = []
    for node in ast.walk(ast.parse(source)):
        families = filter(is_family, imported(node))
        found += [f"line {node.lineno} imports {name}" for name in families]  # type: ignore[attr-defined]
        if isinstance(node, ast.Attribute) and node.attr in CLASSES:
            found.append(f"line {node.lineno} asks a module for {node.attr}")
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if node.value in KINDS:
                found.append(f"line {node.lineno} names the kind '{node.value}'")
            elif is_family(node.value):
                found.append(f"line {node.lineno} names the module {node.value}")
    return found


def test_only_a_familys_own_files_know_it() -> None:
    found = {path: mentions((TOP / path).read_text(encoding="utf-8")) for path in strangers()}
    assert {path: said for path, said in found.items() if said} == {}


def test_every_exception_is_needed() -> None:
    """A file that knows no family any longer leaves the list;
    one that a copy of the tree lacks is no matter.
    """
    needless = []
    for path in EXCEPTIONS:
        file = TOP / path
        if file.exists() and not mentions(file.read_text(encoding="utf-8")):
            needless.append(path)
    assert needless == []


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("from veribayes.models.{name} import anything", 2),
        ("from veribayes.models.{name}._views import anything", 2),
        ("from veribayes.models import {name}", 1),
        ("from veribayes.models import {cls}", 1),
        ("import veribayes.models.{name} as model", 1),
        ("def later():\n    from veribayes.models.{name} import anything", 2),
        ("import_module('veribayes.models.{name}')", 1),
        ("from veribayes import models\nmodels.{cls}", 1),
        ("model.kind == '{kind}'", 1),
        ("TABLE = {{'{kind}': 1}}", 1),
        ("Family = Literal['{kind}', 'other']", 1),
        ("from veribayes.models._model import Model", 0),
        ("'a {kind} among words'", 0),
    ],
)
def test_what_is_found(source: str, count: int) -> None:
    for name, family in FAMILIES.items():
        kind = family.kind  # type: ignore[attr-defined]
        written = source.format(name=name, kind=kind, cls=family.__name__)
        assert len(mentions(written)) == count, written


def test_the_example_of_the_models_needs_no_family() -> None:
    """A tree without one of them would fail the doctest."""
    example = ast.get_docstring(ast.parse((TOP / "models" / "__init__.py").read_text())) or ""
    assert not [name for name in CLASSES if name in example]
