"""The map in pyproject, the links in src/veribayes and the folders are one thing; so are imports and their contracts."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

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
    assert set(SETTINGS["tool"]["setuptools"]["packages"]) == set(package_folders())


@pytest.mark.parametrize("folder", FOLDERS)
def test_links_and_map_agree(folder: str) -> None:
    link = TOP / "src" / "veribayes" / folder
    assert link.is_symlink()
    assert not link.readlink().is_absolute()
    assert link.resolve() == TOP / folder
    assert SETTINGS["tool"]["setuptools"]["package-dir"][f"veribayes.{folder}"] == folder


def test_public_surface() -> None:
    public = {n for n in dir(veribayes) if not n.startswith("_")}
    assert public == set(veribayes.__all__)
    for name in veribayes.__all__:
        assert getattr(veribayes, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = veribayes.nothing


@pytest.mark.parametrize(
    ("arguments", "forbidden"),
    [
        (["list"], ("torch", "jax", "numpyro", "xarray", "arviz_base", "arviz_stats", "pgmpy", "scipy", "matplotlib")),
        (
            ["--help"],
            ("torch", "jax", "numpyro", "xarray", "arviz_base", "arviz_stats", "pgmpy", "scipy", "matplotlib"),
        ),
        (
            ["verify", "--help"],
            ("torch", "jax", "numpyro", "xarray", "arviz_base", "arviz_stats", "pgmpy", "scipy", "matplotlib"),
        ),
    ],
)
def test_the_shell_answers_without_heavy_imports(arguments: list[str], forbidden: tuple[str, ...]) -> None:
    code = f"""
import sys
from veribayes.cli import main
sys.argv = ["veribayes", *{arguments!r}]
try:
    main()
except SystemExit as end:
    assert end.code in (0, None), end.code
print([m for m in {forbidden!r} if m in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_environment())
    assert done.stderr.strip() == "[]"


def test_parts_have_names_and_summaries() -> None:
    for kind in ("engine", "metric", "construction", "test"):
        assert registry.names(kind)
        for name in registry.names(kind):
            assert registry.summary(kind, name), f"{kind} {name} has no docstring"
            assert registry.load(kind, name) is not None


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(TOP / "src")}
