"""Probes: what a candidate reads and has learned, one measure a file; nothing is decided here.

A plain file is a part, found by its name; other distributions add theirs by the entry point
`veribayes.probe`. Both offer a `Probe`, or any object with `label`, `place` and `ask(subject)`,
which gives plain data.
"""

from veribayes.validation.probes._probe import Probe as Probe
from veribayes.validation.probes._probe import Subject as Subject
