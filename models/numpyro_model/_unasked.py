"""Which declared sites are not asked for, and why: nothing is left out in silence."""

from __future__ import annotations

from veribayes.models.numpyro_model._program import Program
from veribayes.models.numpyro_model._sites import Site, is_enumerated, is_observed

SUMMED_OUT = "discrete, summed out"
DERIVED = "derived from what is discrete and summed out"
CONSTANT = "it never varies"
NOT_CHOSEN = "not among the latents that were chosen"


def unasked(program: Program, asked: frozenset[str]) -> dict[str, str]:
    """Latents and deterministic sites that no query asks for, name -> reason.

    Args:
        asked: names of the sites that queries ask for.
    """
    reasons = {}
    for name, site in program.sites.items():
        if _is_declared(site) and name not in asked:
            reasons[name] = _reason(program, name, site)
    return reasons


def _is_declared(site: Site) -> bool:
    return site["type"] in ("sample", "deterministic") and not is_observed(site)


def _reason(program: Program, name: str, site: Site) -> str:
    if is_enumerated(site):
        return SUMMED_OUT
    if name in program.varying:
        return NOT_CHOSEN
    varies = program.variation.get(name)
    moves = varies is None or bool(varies.any())
    return DERIVED if moves or name in program.by_chance else CONSTANT
