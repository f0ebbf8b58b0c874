"""`python -m benchmarks.programs [NAME...] [--write]`:
what the reference engine makes of eight programs as users write them.

Each program of `tests/inference/numpyro_models.py` has one data set. The table says which rung of
the ladder satisfied the gates, or why none did;
CPU seconds include compilation. --write puts it into docs/programs.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import time
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu", "PJRT_NPROC": "1"}

from benchmarks import _documents
from veribayes import api, registry

SOURCE = Path(__file__).resolve().parent.parent / "tests" / "inference" / "numpyro_models.py"
RUNGS = ("HMC", "NUTS", "NUTS alone")
SHARES = ("nuts_share", "nuts_alone_share")


def main() -> int:
    """Run the programs, print, and write where that is asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.programs", description=__doc__.partition("\n\n")[0]
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="programs; default all")
    parser.add_argument("--write", action="store_true", help="put the table into docs/programs.md")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")  # a rejected trajectory may overflow
    module = programs()
    rows = []
    for name in asked.names or module.DATA:
        rows.append(referenced(module, name))
        print(rows[-1], flush=True)
    print(f"written: {_documents.keep('benchmarks-programs', 'veribayes.benchmarks/1', rows)}")
    if asked.write:
        table = _documents.table([shown(row) for row in rows])
        print(f"written: {_documents.put('programs.md', 'programs', table)}")
    return 0


def programs() -> ModuleType:
    """The programs of the tests."""
    spec = importlib.util.spec_from_file_location("numpyro_models", SOURCE)
    if spec is None or spec.loader is None:
        raise LookupError(f"{SOURCE} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules["numpyro_models"] = module
    spec.loader.exec_module(module)
    return module


def referenced(module: ModuleType, name: str) -> dict[str, Any]:
    """The certificate of one program's reference."""
    function, start = getattr(module, name), time.process_time()
    task = api.task(function, data=module.DATA[name])
    branch = registry.engine(task.reference)(task, task.simulate(range(1), seed=0).data, seed=0)
    found, latents = branch.certificate, sum(int(v.sum()) for v in task.model.varying.values())
    return {
        "program": name,
        "what": function.__doc__.split(".")[0],
        "latents": latents,
        "verdict": found.verdict,
        "reasons": list(found.reasons),
        "seconds": time.process_time() - start,
        **found.diagnostics,
    }


def shown(row: dict[str, Any]) -> dict[str, str]:
    """One row of the table in the documentation."""
    rung = RUNGS[sum(row.get(share, 0) > 0 for share in SHARES)]
    said = (
        f"certified ({rung})"
        if row["verdict"] == "trusted"
        else f"refused: {'; '.join(row['reasons'][1:])}"
    )
    return {
        "program": f"`{row['program']}`: {row['what']}",
        "scalars": str(row["latents"]),
        "reference": said,
        "rank R-hat": f"{row['rank_r_hat']:.4f}",
        "bulk / tail ESS": f"{row['ess_bulk']:.0f} / {row['ess_tail']:.0f}",
        "divergences": f"{row['divergences']:.0f}",
        "CPU s": f"{row['seconds']:.0f}",
    }


if __name__ == "__main__":
    sys.exit(main())
