"""Sites of a traced program: what is observed, latent or summed out, and what no posterior is
defined for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from veribayes.errors import InputError, ModelError

Site = Mapping[str, Any]
Sites = Mapping[str, Site]


def is_observed(site: Site) -> bool:
    return bool(site["type"] == "sample" and site["is_observed"])


def is_drawn(site: Site) -> bool:
    """Whether it is sampled and not observed."""
    return bool(site["type"] == "sample" and not site["is_observed"])


def is_enumerated(site: Site) -> bool:
    """Whether it is a discrete latent."""
    return bool(is_drawn(site) and site["fn"].support.is_discrete)


def is_latent(site: Site, varies: npt.NDArray[np.bool_]) -> bool:
    """Whether a posterior of it is asked for.

    These are sampled continuous sites, and deterministic ones that vary and do not carry axes of an
    enumeration.
    """
    if site["type"] not in ("sample", "deterministic") or is_observed(site):
        return False
    return bool(varies.any() and varies.shape == np.shape(site["value"]))


def is_weighted(site: Site) -> bool:
    """Whether `handlers.scale` counts it more or less than once."""
    scale = site.get("scale") if site["type"] == "sample" else None
    return scale is not None and not np.all(np.asarray(scale) == 1)


def takes(site: Site, value: Any) -> bool:
    """Whether the site observes this value whole."""
    if not is_observed(site) or np.shape(site["value"]) != np.shape(value):
        return False
    has_nan = np.asarray(value).dtype.kind == "f"
    return bool(np.array_equal(site["value"], value, equal_nan=has_nan))


def require_posterior(name: str, sites: Sites) -> None:
    """Refuse what no posterior is defined for.

    Raises:
        ModelError: parameters without a prior, subsamples, or discrete latents without an end.
    """
    for at, site in sites.items():
        if site["type"] == "param":
            wanted = f"a program without numpyro.param, '{name}'"
            raise ModelError(wanted, f"the parameter '{at}'", "give it a prior")
        if site["type"] == "plate" and site["args"][0] != np.size(site["value"]):
            remedy = "an exact posterior needs every row"
            raise ModelError("plates of all data", f"the subsample '{at}'", remedy)
        if is_enumerated(site) and not site["fn"].has_enumerate_support:
            law = type(site["fn"]).__name__
            wanted = "discrete latents with finitely many values"
            raise ModelError(wanted, f"'{at}' ~ {law}", "sum it out by hand")


def require_density(name: str, value: Any, site: Site) -> None:
    """Refuse outcomes that are missing or infinite, and fractions of what is counted.

    Raises:
        InputError: no density is defined for them.
    """
    values = np.zeros(0) if value is None else np.asarray(value, dtype=np.float64)
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        place = f", the first at {bad[0].tolist()}" if values.ndim else ""
        got = f"{len(bad)} that are NaN or infinite{place}"
        remedy = "leave them out, or let the program observe the others alone"
        raise InputError(f"finite numbers in the outcome '{name}'", got, remedy)
    if site["fn"].support.is_discrete and (values != np.round(values)).any():
        law = type(site["fn"]).__name__
        wanted = f"whole numbers in the outcome '{name}' ~ {law}"
        raise InputError(wanted, "fractions", "check its column and its site")
