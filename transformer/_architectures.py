"""Which network a card or a recipe means: `architecture` names it, and without that key it is the common one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from veribayes.checked import choice
from veribayes.errors import InputError
from veribayes.transformer.disentangled import Disentangled, DisentangledConfig
from veribayes.transformer.kernel_solver import KernelSolver, KernelSolverConfig
from veribayes.transformer.network import Network, NetworkConfig

AnyConfig = NetworkConfig | DisentangledConfig | KernelSolverConfig
AnyNetwork = Network | Disentangled | KernelSolver
NAMED: Mapping[str, tuple[Any, Any]] = {
    "disentangled": (DisentangledConfig, Disentangled),
    "kernel_solver": (KernelSolverConfig, KernelSolver),
}


def config_from(plain: Mapping[str, Any]) -> AnyConfig:
    """The config that plain data describe.

    Raises:
        InputError: no such architecture, or settings that it does not have.
    """
    if not isinstance(plain, Mapping):
        raise InputError("a mapping for a network", type(plain).__name__)
    if "architecture" not in plain:
        return NetworkConfig.from_dict(plain)
    config: AnyConfig = NAMED[choice("architecture", plain["architecture"], list(NAMED))][
        0
    ].from_dict(plain)
    return config


def build(config: AnyConfig) -> AnyNetwork:
    """The network of a config, its weights not yet chosen."""
    made: AnyNetwork = (
        Network(config)
        if isinstance(config, NetworkConfig)
        else NAMED[config.architecture][1](config)
    )
    return made
