"""What the answers of a candidate depend on, as hashes that a stored shard is bound to."""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path

from veribayes.predictive import Predictive
from veribayes.storage.store import digest_of, source_digest


def part_identity(kind: str, name: str, part: object) -> str:
    """Hash of a part: its options, the file that defines it, and the package."""
    file = file_digest(part)
    return digest_of({kind: name, "options": repr(part), "file": file, "source": source_digest()})


def file_digest(thing: object) -> str | None:
    """SHA-256 of the file that defines a function or the class of an object; None for what is in no
    file.
    """
    defined = thing if inspect.isfunction(thing) else type(thing)
    try:
        source = inspect.getsourcefile(defined)
    except (TypeError, OSError):  # built in, or typed in
        return None
    if not source or not Path(source).is_file():
        return None
    return hashlib.sha256(Path(source).read_bytes()).hexdigest()


def predictive_digest(predictive: Predictive) -> str:
    """SHA-256 of a batch of predictives."""
    digest = hashlib.sha256(predictive.form.encode())
    for name, values in predictive.variables().items():
        digest.update(f"{name} {values.shape} ".encode() + values.tobytes())
    return digest.hexdigest()
