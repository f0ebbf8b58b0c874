"""Tasks and models from user files: YAML read by schema, model files read by their own readers,
nothing ever executed.

The schema is the dataclasses themselves: every key must be a field, and each value checks itself
when the model is built.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from veribayes import checked, registry
from veribayes.errors import InputError, ModelError
from veribayes.models._check import choice, mapping
from veribayes.models._dialects import dialect_of
from veribayes.models._encoding import decoded
from veribayes.models._model import Model
from veribayes.models._reader import Reader
from veribayes.models._task import Design, Task, Tolerance

MAX_YAML_BYTES = 2**20  # YAML is read slowly: a larger table belongs in a model file
YAML_SUFFIXES = (".yaml", ".yml")
TRUTH, FLOAT = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:float"
NUMBER = re.compile(  # of YAML 1.2: a point or an exponent
    r"^(?:[-+]?(?:[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?"
    r"|[0-9]+[eE][-+]?[0-9]+|\.inf)|\.nan)$"
)


def load_task(name_or_path: str | Path) -> Task:
    """A shipped task by name, a task file, or a model file in its family's default design.

    Raises:
        InputError: no such task or file.
        ModelError: the file does not describe a task or a model.
    """
    shipped = registry.task_path(str(name_or_path))
    path = shipped or Path(name_or_path)
    if shipped is None and str(name_or_path) in registry.names("task"):
        plugged: Task = registry.load("task", str(name_or_path))
        return plugged
    if not path.exists():
        remedy = f"shipped tasks: {', '.join(registry.names('task'))}"
        raise InputError("a shipped task or a file", f"'{name_or_path}'", remedy)
    if path.name.lower().endswith(YAML_SUFFIXES):
        spec = read_yaml(path)
        if isinstance(spec, Mapping) and "model" in spec:
            return task_from_dict(spec)
    return task_of(load_model_file(path), name=_slug(path))


def load_model_file(path: str | Path) -> Model:
    """A model from a file that a reader knows by its suffix (plain or with `.gz`), or the YAML of a
    model or a task.
    """
    path = Path(path)
    readers = _readers()
    for suffix, reader in readers.items():
        if path.name.lower().removesuffix(".gz").endswith(suffix):
            return reader.read(path)
    if path.name.lower().endswith(YAML_SUFFIXES):
        spec = read_yaml(path)
        is_task = isinstance(spec, Mapping) and "model" in spec
        return model_from_spec(spec["model"] if is_task else spec)
    dialect = dialect_of(path.name)
    if dialect is not None:
        wanted = "a model file in a format that is read"
        raise InputError(wanted, f"'{path.name}', {dialect.name}", dialect.remedy)
    known = ", ".join((*readers, *YAML_SUFFIXES))
    raise InputError(f"a model file {known}", f"'{path.name}'", "network files may be gzipped")


def model_from_spec(spec: Any) -> Model:
    """The model that `{"kind": model.kind, **model.spec()}` describes."""
    kind = spec.get("kind") if isinstance(spec, Mapping) else None
    known = kinds()
    family = known[choice("kind of the model", kind, list(known))]
    described = {key: value for key, value in spec.items() if key != "kind"}
    return family.from_spec(described)


def kinds() -> dict[str, type[Model]]:
    """Families that a file can describe, by their kind; a program is none, since nothing in a file
    is executed.
    """
    families: list[type[Model]] = [
        registry.load("family", name) for name in registry.usable("family")
    ]
    return {family.kind: family for family in families if family.described}


def replaced(model: Model, changes: Mapping[str, Any]) -> Model:
    """The model with some fields of its specification replaced, for example by a wrong prior."""
    return model.altered(changes)


def task_of(model: Model, *, name: str = "custom", **changes: Any) -> Task:
    """A model in its family's default design, engines and wrong prior.

    Args:
        model: the model.
        name: name of the task.
        changes: fields of `Design` (positions, queries, shard) or of `Task` that replace the
            defaults.

    Raises:
        InputError: a change that is no field of either.
    """
    of_design = {field.name for field in fields(Design)}
    of_task = {field.name for field in fields(Task)}
    allowed = sorted(of_design | of_task - {"name", "model"})
    given = checked.mapping("task_of", changes, allowed=allowed)
    base = model.default_design()
    design = {field: given.pop(field, getattr(base, field)) for field in of_design}
    frame = {"name": name, "model": model, "design": Design(**design)}
    return Task(**{**frame, **model.defaults(), **given})


def task_from_dict(spec: Any) -> Task:
    """The task that `Task.to_dict` describes; engines, design and wrong prior may be left out."""
    allowed = [f.name for f in fields(Task)]
    given = mapping("a task", spec, allowed=allowed, required=["name", "model"])
    model = model_from_spec(given.pop("model"))
    if given.get("wrong_prior"):
        replaced(model, mapping("wrong_prior", given["wrong_prior"], allowed=list(model.spec())))
    design = mapping("design", given.pop("design", {}), allowed=[f.name for f in fields(Design)])
    if given.get("tolerance") is not None:
        # those of quantiles and points are computed when a candidate answers in them
        limits = [f.name for f in fields(Tolerance) if f.name not in ("quantiles", "point")]
        required = ["kl", "draws"]
        tolerance = mapping("tolerance", given["tolerance"], allowed=limits, required=required)
        given["tolerance"] = Tolerance(**tolerance)
    return task_of(model, **given, **design)


def read_yaml(path: str | Path) -> Any:
    """Plain data of a YAML file; words such as `yes` stay words, keys are unique, aliases are
    refused.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_YAML_BYTES + 1)
        if len(data) > MAX_YAML_BYTES:
            wanted = f"at most {MAX_YAML_BYTES // 2**20} MiB of YAML in {path.name}"
            raise ModelError(wanted, "more", "use a BIF file")
        return yaml.load(decoded(data, path.name), _Loader)  # a SafeLoader
    except OSError as error:
        raise InputError("a readable file", f"'{path.name}'", error.strerror or "") from None
    except RecursionError:
        raise ModelError("YAML of reasonable depth", path.name) from None
    except ModelError:
        raise
    except (yaml.YAMLError, ValueError) as error:
        raise ModelError(f"valid YAML in {path.name}", " ".join(str(error).split())) from None


def write_yaml(task: Task, path: str | Path) -> None:
    """Store a task; floats by their shortest text that reads back as the same number."""
    path = Path(path)
    plain = task.to_dict()
    text = yaml.safe_dump(
        plain, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None
    )
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _without_truth_and_floats(resolvers: Mapping[str, Any]) -> dict[str, Any]:
    """The table of a loader without YAML 1.1's words for truth values and its floats."""
    kept = {}
    for first, table in resolvers.items():
        kept[first] = [(tag, pattern) for tag, pattern in table if tag not in (TRUTH, FLOAT)]
    return kept


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars: only `true` and `false` are truth values, `1e-5` is a number."""

    yaml_implicit_resolvers = _without_truth_and_floats(yaml.SafeLoader.yaml_implicit_resolvers)

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are refused: write the value again")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        times = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        for key, count in times.items():
            if count > 1:
                raise yaml.YAMLError(f"the key {key!r} occurs {count} times")
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(TRUTH, re.compile("^(?:true|false)$"), list("tf"))
_Loader.add_implicit_resolver(FLOAT, NUMBER, list("-+0123456789."))


def _readers() -> dict[str, Reader]:
    """Suffix -> its reader."""
    parts: list[Reader] = [registry.load("reader", name) for name in registry.usable("reader")]
    return {suffix: part for part in parts for suffix in part.suffixes}


def _slug(path: Path) -> str:
    """A task name from a file name."""
    suffixes = "|".join(map(re.escape, (*_readers(), *YAML_SUFFIXES)))
    stem = re.sub(rf"({suffixes})?(\.gz)?$", "", path.name, count=1, flags=re.IGNORECASE)
    return re.sub(r"^[^A-Za-z0-9]+|[^A-Za-z0-9._+-]+", "-", stem).lstrip("-._+")[:64] or "model"
