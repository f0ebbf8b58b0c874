"""Which network a card or a recipe means: `architecture` names it, and without that key it is the common one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from veribayes import registry
from veribayes.errors import InputError
from veribayes.models._task import Task
from veribayes.transformer import _parts
from veribayes.transformer._config import Config, InContext
from veribayes.transformer.architectures._architecture import Architecture

COMMON = "network"


def architecture_of(plain: Mapping[str, Any]) -> Architecture:
    """The part that plain data name.

    Raises:
        InputError: no such architecture.
    """
    if not isinstance(plain, Mapping):
        raise InputError("a mapping for a network", type(plain).__name__)
    return _parts.architecture(plain.get("architecture", COMMON))


def config_from(plain: Mapping[str, Any]) -> Config:
    """The config that plain data describe.

    Raises:
        InputError: no such architecture, or settings that it does not have.
    """
    part = architecture_of(plain)
    return part.config(_without_common(plain))


def config_of(task: Task, settings: Mapping[str, Any]) -> Config:
    """The network for a task: the model decides the tokens and outputs, the settings the rest.

    Raises:
        InputError: the model's family has no tokens here.
    """
    family = family_of(task)
    given = dict(settings)
    if given.get("latents") is True:
        given["latents"] = {name: list(values) for name, values in latent_values(task).items()}
    sizes = _parts.tokens(family).sizes(task)
    own = architecture_of(settings).own(task)
    return config_from({"family": family, **sizes, **own, **given})


def build(config: Config) -> InContext:
    """The network of a config, its weights not yet chosen."""
    plain = config.to_dict()
    return architecture_of(plain).network(config)


def family_of(task: Task) -> str:
    """Tokens that read the data of the task's model, as its layout says.

    Raises:
        InputError: none do.
    """
    family = task.model.layout.reader
    known = registry.names("tokens")
    if family not in known:
        wanted = f"a model whose data are read by the tokens {', '.join(known)}"
        raise InputError(wanted, f"'{task.model.kind}' in the task '{task.name}'")
    return family


def latent_values(task: Task) -> dict[str, tuple[float, ...]]:
    """What each latent of the task can be.

    Raises:
        InputError: none, or one with more than finitely many values.
    """
    values = task.model.latent_values()
    if not values:
        raise InputError(
            "latents with grids of values", f"the task '{task.name}'", "leave out latents: true"
        )
    return values


def _without_common(plain: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a config; the common network has no field for its own name."""
    return {k: v for k, v in plain.items() if (k, v) != ("architecture", COMMON)}
