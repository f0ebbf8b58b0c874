"""Endpoints beside the primary one: what may veto a verdict, one file each.

A plain file is a part, found by its name; other distributions add theirs by the entry point
`veribayes.endpoint`. Both offer an `Endpoint`, or any object with `level`, `place`, `about` and
`ask(case) -> Size | None`.
"""

from veribayes.validation.endpoints._endpoint import Endpoint as Endpoint
from veribayes.validation.endpoints._size import Size as Size
