"""Measurements in several processes: Ctrl-C ends all of them, and only one of them says so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PATIENCE = 60  # seconds; processes start in one or two
SLOW = """
import os, signal, sys, time
from dataclasses import dataclass
from pathlib import Path
from veribayes.validation import _shards

@dataclass(frozen=True)
class Slow(_shards.Job):
    name = "slow"

    def source(self):
        return ""

    def measure(self):
        Path(f"{os.getpid()}.started").touch()
        time.sleep(600 if self.n == 1 else 0)
        return {"done": 1}

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it

if __name__ == "__main__":
    try:
        _shards.run([Slow(1, 1, 0), Slow(2, 1, 0)], Path("out"), lambda done: None, workers=2)
    except KeyboardInterrupt:
        sys.exit(130)
"""


def test_an_interruption_from_the_terminal_ends_all_processes_quietly(tmp_path: Path) -> None:
    """A terminal sends SIGINT to the whole group. One worker is busy;
    one, without work, wrote a traceback.
    """
    (tmp_path / "slow.py").write_text(SLOW)
    with subprocess.Popen(
        [sys.executable, "slow.py"],
        cwd=tmp_path,
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as run:
        until = time.monotonic() + PATIENCE
        while (
            not (list(tmp_path.glob("*.started"))[1:] and list(tmp_path.glob("out/*-2-0.json")))
            and time.monotonic() < until
        ):
            time.sleep(0.05)
        os.killpg(run.pid, signal.SIGINT)
        _, said = run.communicate(timeout=PATIENCE)
    assert (run.returncode, said) == (130, "")
