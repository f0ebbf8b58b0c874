"""The command line: `app` holds the commands of `commands/`, and `main` is the entry point.

Results go to standard output, everything else to standard error; exit codes are a contract
(`console`).
"""

from __future__ import annotations

from veribayes.cli.app import app, main

__all__ = ["app", "main"]
