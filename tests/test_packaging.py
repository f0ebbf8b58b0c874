"""The packages in pyproject, the links in src/veribayes and the folders are one thing;
so are imports and their contracts.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from setuptools import find_packages

import veribayes
from veribayes import registry

TOP = Path(__file__).resolve().parents[1]
FOLDERS = ("models", "inference", "transformer", "validation")
SETTINGS = tomllib.loads((TOP / "pyproject.toml").read_text())


def package_folders() -> dict[str, Path]:
    """Every folder with an __init__.py under the five roots, by import name."""
    roots = {"veribayes": TOP / "src" / "veribayes", **{f"veribayes.{f}": TOP / f for f in FOLDERS}}
    found = {}
    for package, root in roots.items():
        for init in root.rglob("__init__.py"):
            inside = init.parent.relative_to(root).parts
            if package != "veribayes" or not (inside and inside[0] in FOLDERS):
                found[".".join((package, *inside))] = init.parent
    return found


def test_every_package_is_in_the_wheel() -> None:
    """Packages are found through the links: a new folder needs no line anywhere."""
    (where,) = SETTINGS["tool"]["setuptools"]["packages"]["find"]["where"]
    assert set(find_packages(str(TOP / where))) == set(package_folders())


@pytest.mark.parametrize("folder", FOLDERS)
def test_links_lead_to_the_folders(folder: str) -> None:
    link = TOP / "src" / "veribayes" / folder
    assert link.is_symlink()
    assert not link.readlink().is_absolute()
    assert link.resolve() == TOP / folder


def test_public_surface() -> None:
    public = {n for n in dir(veribayes) if not n.startswith("_")}
    assert public == set(veribayes.__all__)
    for name in veribayes.__all__:
        assert getattr(veribayes, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = veribayes.nothing


HEAVY = (
    "torch",
    "jax",
    "numpyro",
    "xarray",
    "arviz_base",
    "arviz_stats",
    "pgmpy",
    "scipy",
    "matplotlib",
)


@pytest.mark.parametrize("arguments", [["list"], ["--help"], ["verify", "--help"]])
def test_the_shell_answers_without_heavy_imports(arguments: list[str]) -> None:
    code = f"""
import sys
from veribayes.cli import main
sys.argv = ["veribayes", *{arguments!r}]
try:
    main()
except SystemExit as end:
    assert end.code in (0, None), end.code
print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_environment()
    )
    assert done.stderr.strip() == "[]"


def test_parts_have_names_and_summaries() -> None:
    for kind in registry.FOLDERS:
        assert registry.names(kind)
        for name in registry.names(kind):
            assert registry.summary(kind, name), f"{kind} {name} has no docstring"
            assert registry.load(kind, name) is not None


def rooms() -> set[str]:
    """Packages and modules directly under `veribayes`."""
    shell = TOP / "src" / "veribayes"
    entries = [path for path in shell.iterdir() if path.suffix == ".py" or path.is_dir()]
    return {path.stem for path in entries if not path.name.startswith("__")}


def contracts() -> list[dict[str, object]]:
    found: list[dict[str, object]] = SETTINGS["tool"]["importlinter"]["contracts"]
    return found


def test_every_room_has_its_layer() -> None:
    """import-linter's `exhaustive` says the same, from the outside."""
    (layers,) = [contract["layers"] for contract in contracts() if contract["type"] == "layers"]
    named = {name for layer in layers for name in re.split(r"\W+", layer)}  # type: ignore[attr-defined]
    assert named == rooms()


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        ("torch", {"transformer"}),
        ("jax", {"models", "inference"}),
        ("numpyro", {"models", "inference"}),
        ("matplotlib", {"report", "api"}),
    ],
)
def test_a_heavy_library_is_forbidden_in_every_other_room(library: str, homes: set[str]) -> None:
    """`api` names the type of a figure, for annotations alone."""
    forbidden: set[str] = set()
    for contract in contracts():
        if library in contract.get("forbidden_modules", ()):  # type: ignore[operator]
            forbidden |= {name.split(".")[1] for name in contract["source_modules"]}  # type: ignore[attr-defined]
    assert forbidden == rooms() - homes


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(TOP / "src")}


STANDARD = set(sys.stdlib_module_names) | {"veribayes", "benchmarks"}
DISTRIBUTIONS = {  # import name -> what brings it, where the names differ
    "yaml": "pyyaml",
    "sklearn": "scikit-learn",
    "flint": "python-flint",
    "arviz_base": "arviz-base",
    "arviz_stats": "arviz-stats",
    "PIL": "pillow",
}
APART = {"pfns", "sbi"}  # peers that the Makefile puts into environments of their own


def imports_of(folder: Path) -> set[str]:
    """Top-level names of everything that is imported below a folder, lazily or not;
    links are followed once.
    """
    found: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split(".")[0])
    return found - STANDARD


def declared(*extras: str) -> set[str]:
    """Names of the distributions that an installation with these extras asks for."""
    project = SETTINGS["project"]
    listed = [
        *project["dependencies"],
        *(line for e in extras for line in project["optional-dependencies"][e]),
    ]
    return {re.split(r"[\[<>=!~; ]", line)[0].lower() for line in listed}


@pytest.mark.parametrize(
    ("folders", "extras"),
    [
        ((*FOLDERS, "src"), ("ball", "tensorboard")),
        (("tests", "benchmarks", "examples"), ("dev", "peers")),
    ],
)
def test_what_is_imported_is_declared(folders: tuple[str, ...], extras: tuple[str, ...]) -> None:
    wanted = {
        DISTRIBUTIONS.get(name, name).lower()
        for folder in folders
        for name in imports_of(TOP / folder)
    }
    local = {path.stem.lower() for folder in folders for path in (TOP / folder).glob("*.py")}
    assert wanted - declared(*extras) - APART - local - {"tests", "examples"} == set()


def test_what_opens_a_run_is_declared() -> None:
    """h5netcdf imports h5py by name where a file is opened;
    no dependency of ours brings it any more.
    """
    assert {"h5netcdf", "h5py"} <= declared()
