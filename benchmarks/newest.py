"""Installs what is newest, without constraints, for every Python that is here,
and does with it what a user does.

    python -m benchmarks.newest [--minors 3.11 3.12 3.13] [--folder runs/newest] [--keep] [--torch
    REQUIREMENT]

Needs nothing but the standard library. Interpreters are found on PATH, in pyenv's folder, and at
/usr/bin/python3; of one minor version the newest, and the system's own beside it. Each gets a fresh
environment, and in it: `doctor`, a small `verify` of three families, `report`, `reference` twice
and `compare`, and a short `train`. Prints one row an interpreter; exit code 0 where every step
ended as it must. An environment takes about 6 GB and is removed unless it is kept,
and used again if there.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
MINORS = ("3.11", "3.12", "3.13")
LEFT_OUT = (".git", ".venv", "runs", "build", "dist", "*.egg-info", "__pycache__", ".*_cache")
SHOWN = ("jax", "numpyro", "torch", "numpy", "xarray", "arviz")
VERSION = "import platform; print(platform.python_version())"
VERSIONS = (
    "import importlib.metadata as m, sys; print(' '.join(f'{n} {m.version(n)}' for n in "
    "sys.argv[1:]))"
)
PROGRAM = """
import numpyro
import numpyro.distributions as dist


def mean(y):
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    with numpyro.plate("n", 10):
        numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)
"""
DATA = {"y": [0.1, 0.3, -0.2, 0.8, 1.1, 0.2, 0.4, -0.5, 0.9, 0.3]}
TASK = """
name: tiny
model: {kind: mtd, q: 3, m: 2}
design: {positions: [4, 8]}
training:
  tiny:
    {steps: 20, batch: 8, groups: 1, queries: 1, learning_rate: 0.003,
     network: {width: 16, layers: 1, heads: 2}}
"""
VERDICTS = (0, 1, 3)


@dataclass(frozen=True)
class Step:
    """A command, the exit codes that are right, and the file that it has to write."""

    name: str
    arguments: Sequence[str]
    codes: Sequence[int] = (0,)
    file: str = ""


SAMPLED = ("reference", "program:mean", "--set", "data=data.json")
STEPS = (
    Step("doctor", ("doctor",)),
    Step(
        "verify",
        (
            "verify",
            "bn-general5",
            "mtd-q5-m3",
            "gp-rbf-1d",
            "--datasets",
            "40",
            "--audit",
            "1",
            "--out",
            "run",
        ),
        VERDICTS,
        "run/result.json",
    ),
    Step("report", ("report", "run", "--out", "page.html"), file="page.html"),
    Step("reference", (*SAMPLED, "--out", "one.nc"), file="one.nc"),
    Step("again", (*SAMPLED, "--seed", "1", "--out", "two.nc"), file="two.nc"),
    Step("compare", ("compare", "one.nc", "two.nc"), (0, 3)),
    Step(
        "train",
        ("train", "tiny.yaml", "--preset", "tiny", "--out", "trained"),
        file="trained/card.json",
    ),
    Step(
        "use",
        ("verify", "tiny.yaml", "--candidate", "trained", "--datasets", "40", "--out", "own"),
        VERDICTS,
        "own/result.json",
    ),
)


def main(given: Sequence[str] | None = None) -> int:
    """Exit code 0 where all went well on every interpreter that was asked for."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.newest", description="Newest versions, on every Python."
    )
    parser.add_argument("--minors", nargs="+", default=list(MINORS))
    parser.add_argument("--folder", type=Path, default=TOP / "runs" / "newest")
    parser.add_argument("--keep", action="store_true", help="keep the environments")
    parser.add_argument(
        "--torch",
        default="torch",
        help="for example torch==2.13.0, where only that is a small build",
    )
    chosen = parser.parse_args(given)
    found = interpreters(chosen.minors)
    missing = [
        minor for minor in chosen.minors if not any(v.startswith(f"{minor}.") for v in found)
    ]
    for minor in missing:
        print(f"no Python {minor} here")
    lines = [
        examine(v, path, chosen.folder, chosen.torch, chosen.keep) for v, path in found.items()
    ]
    print("\n".join(text for _, text in lines))
    return 1 if missing or not all(well for well, _ in lines) else 0


def interpreters(minors: Sequence[str]) -> dict[str, Path]:
    """Full version -> interpreter: the newest of each minor version, and the system's own."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    paths = [path for minor in minors for path in pyenv.glob(f"{minor}.*/bin/python")]
    paths += [Path(path) for minor in minors if (path := shutil.which(f"python{minor}"))]
    system = Path("/usr/bin/python3")
    by_version = {
        v: path for path in (*paths, system) if (v := version_of(path)).rpartition(".")[0] in minors
    }
    newest = {v.rpartition(".")[0]: v for v in sorted(by_version, key=numbers)}
    own = version_of(system)
    return {
        v: by_version[v] for v in sorted({*newest.values(), own} & set(by_version), key=numbers)
    }


def version_of(interpreter: Path) -> str:
    """The full version; empty where it does not start."""
    try:
        done = subprocess.run(
            [interpreter, "-c", VERSION], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def numbers(version: str) -> tuple[int, ...]:
    """For sorting."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def examine(
    version: str, interpreter: Path, folder: Path, torch: str, keep: bool
) -> tuple[bool, str]:
    """Whether every step ended well with this interpreter, and one line."""
    place, work = folder / version, folder / f"{version}-work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    started = time.perf_counter()
    try:
        install(interpreter, place, work, torch)
        installed = time.perf_counter() - started
        outcomes = [
            (step.name, outcome(step, place / "bin" / "veribayes", work)) for step in prepared(work)
        ]
        shown = subprocess.run(
            [place / "bin" / "python", "-c", VERSIONS, *SHOWN],
            capture_output=True,
            text=True,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        return (
            False,
            f"{version}: {' '.join(map(str, error.cmd[:5]))} failed: {(error.stderr or '')[-500:]}",
        )
    finally:
        if not keep:
            shutil.rmtree(place, ignore_errors=True)
    broken = [f"{name} {reason}" for name, reason in outcomes if reason]
    seconds = (
        f"installed in {installed:.0f} s, {len(outcomes)} steps in "
        f"{time.perf_counter() - started - installed:.0f} s"
    )
    return (
        not broken,
        f"{version}: {'; '.join(broken) or 'all steps well'} ({seconds}; {shown.stdout.strip()})",
    )


def install(interpreter: Path, place: Path, work: Path, torch: str) -> None:
    """A fresh environment with this project and the newest of all that it needs;
    nothing constrains the versions.
    """
    if (place / "bin" / "veribayes").exists():
        command: list[str | Path] = [place / "bin" / "python", "-m", "pip", "install", "--quiet"]
    else:
        subprocess.run(
            [interpreter, "-m", "venv", "--clear", place],
            check=True,
            capture_output=True,
            text=True,
        )
        command = [place / "bin" / "python", "-m", "pip", "install", "--quiet", torch]
    source = work / "source"
    shutil.copytree(TOP, source, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
    free = {k: v for k, v in os.environ.items() if k != "PIP_CONSTRAINT"}
    subprocess.run([*command, source], check=True, capture_output=True, text=True, env=free)
    shutil.rmtree(source)


def prepared(work: Path) -> Sequence[Step]:
    """The steps, once their files are there."""
    (work / "program.py").write_text(PROGRAM)
    (work / "data.json").write_text(json.dumps(DATA))
    (work / "tiny.yaml").write_text(TASK)
    return STEPS


def outcome(step: Step, program: Path, work: Path) -> str:
    """What is wrong with how a step ended; empty where nothing is."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment = {**kept, "XDG_CACHE_HOME": str(work / "cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [program, *step.arguments],
        cwd=work,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    print(
        f"  {program.parents[1].name} {step.name}: exit code {done.returncode}",
        file=sys.stderr,
        flush=True,
    )
    if done.returncode not in step.codes:
        return f"ended with {done.returncode}: {' '.join(done.stderr.split())[-300:]}"
    return f"wrote no {step.file}" if step.file and not (work / step.file).is_file() else ""


if __name__ == "__main__":
    sys.exit(main())
