"""The parts that the sites of a program play where one of them is predicted entry by entry.

predicted   its first entries are seen, the law of others is asked for
inputs      observed sites that are drawn with each data set; the entries asked about show theirs
continuous  latents that a sampler moves
shared      discrete latents; their joint states are enumerated
by entry    discrete latents with a value an entry, independent of each other given the rest
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from veribayes.errors import InputError, ModelError
from veribayes.models.numpyro_model._sites import Site, is_drawn, is_weighted

if TYPE_CHECKING:
    from veribayes.models.numpyro_model._program import Program

MOST_STATES = 4096  # joint states of discrete latents that are enumerated
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Outline:
    """What is learnt of a program from one run without data.

    Attributes:
        entries: T, of the predicted site.
        shapes: of the values of all sampled sites.
        inputs: names of the observed sites that are drawn with each data set.
        continuous: names of the latents that a sampler moves.
        shared: states of discrete latents, name -> (state, *shape) of all joint states.
        by_entry: states of discrete latents with a value an entry, name -> (state, *shape).
        local: names of the latents whose densities are counted entry by entry.
        chained: values of the discrete latent of a `scan` that makes the entries, by its name.
        inside: names of the other latents of that `scan`.
    """

    entries: int
    shapes: Mapping[str, Shape]
    inputs: tuple[str, ...]
    continuous: tuple[str, ...]
    shared: Mapping[str, Any] = field(default_factory=dict)
    by_entry: Mapping[str, Any] = field(default_factory=dict)
    local: frozenset[str] = frozenset()
    chained: Mapping[str, Any] = field(default_factory=dict)
    inside: frozenset[str] = frozenset()

    @property
    def is_discrete(self) -> bool:
        """Whether no latent is continuous."""
        return not self.continuous

    @property
    def states(self) -> int:
        """Number of joint states of the shared discrete latents, times those of an entry."""
        number = 1
        for of_site in (self.shared, self.by_entry, self.chained):
            number *= len(next(iter(of_site.values()), [0]))
        return number

    @property
    def has_discrete(self) -> bool:
        return bool(self.shared or self.by_entry or self.chained)


def outline_of(
    program: Program, sites: Mapping[str, Site], predict: str, axis: int, inputs: Sequence[str]
) -> Outline:
    """The outline of a program.

    Args:
        program: for its name.
        sites: of one run in which nothing was observed that can be drawn.
        predict: the site that is predicted.
        axis: of its values, along which entries are counted.
        inputs: observed sites that are drawn with each data set.

    Raises:
        InputError: a site that is not there, or is no list of single numbers.
        ModelError: latents that cannot be enumerated, or no law at all.
    """
    drawn = [name for name, site in sites.items() if is_drawn(site)]
    for name in (predict, *inputs):
        _require_drawn(program.shown, name, sites, drawn)
    _require_law(sites)
    shapes = {name: tuple(np.shape(sites[name]["value"])) for name in drawn}
    entries = _entries(predict, shapes[predict], axis)
    for name in inputs:
        if shapes[name][:1] != (entries,):
            wanted = (
                f"{entries} entries of the input '{name}' on its first axis, as '{predict}' has"
            )
            raise InputError(wanted, f"the shape {shapes[name]}")
    plates = _plates(sites[predict])
    latents = [name for name in drawn if name not in (predict, *inputs)]
    local = {name for name in latents if _is_local(sites[name], plates, entries)}
    discrete = [name for name in latents if sites[name]["fn"].support.is_discrete]
    for name in discrete:
        _require_enumerable(name, sites[name])
    chained = [name for name in discrete if _is_scanned(sites[name])]
    _require_chain(sites, chained, predict, entries)
    by_entry = [name for name in discrete if name in local]
    shared = [name for name in discrete if name not in (*local, *chained)]
    return Outline(
        entries,
        shapes,
        tuple(inputs),
        tuple(name for name in latents if name not in discrete),
        _joint_states(sites, shared, together=False),
        _joint_states(sites, by_entry, together=True),
        frozenset(local),
        {name: _support(sites[name]) for name in chained},
        frozenset(name for name in latents if chained and _is_scanned(sites[name])),
    )


def _require_drawn(shown: str, name: str, sites: Mapping[str, Site], drawn: list[str]) -> None:
    if name in drawn:
        return
    listed = ", ".join(drawn) or "none"
    wanted = f"a sampled site '{name}' in the program '{shown}'"
    if name not in sites:
        raise InputError(wanted, f"no such site; it samples {listed}")
    if sites[name]["type"] == "sample":
        remedy = f"leave its data out: data sets are drawn, so the program needs '{name}=None'"
        raise InputError(f"{wanted} that is drawn without data", "one that observes", remedy)
    raise InputError(wanted, f"a {sites[name]['type']} site; it samples {listed}")


def _require_law(sites: Mapping[str, Site]) -> None:
    """Refuse programs of which no data sets can be drawn."""
    from numpyro import distributions as dist

    for name, site in sites.items():
        if site["type"] == "param":
            raise ModelError("a program without numpyro.param", f"'{name}'", "give it a prior")
        if site["type"] == "plate" and site["args"][0] != np.size(site["value"]):
            remedy = "an exact posterior needs every entry"
            raise ModelError("plates of all entries", f"the subsample '{name}'", remedy)
        if site["type"] != "sample":
            continue
        if isinstance(site["fn"], dist.Unit):
            raise ModelError("a program whose sites are distributions", f"the factor '{name}'")
        if isinstance(site["fn"], dist.ImproperUniform):
            raise ModelError(f"a proper prior of '{name}'", "ImproperUniform", "bound it")
        if is_weighted(site):
            raise ModelError("sites that count once", f"'{name}' under handlers.scale")


def _entries(predict: str, shape: Shape, axis: int) -> int:
    """Length of the axis of entries, all others being of length one."""
    if not -len(shape) <= axis < len(shape):
        wanted = f"an axis of '{predict}', whose values have the shape {shape}"
        remedy = "a site of one number has no entries: put it in a plate" if not shape else ""
        raise InputError(wanted, f"axis {axis}", remedy)
    entries = shape[axis]
    if int(np.prod(shape)) != entries:
        wanted = f"one number an entry in '{predict}' along axis {axis}"
        remedy = "choose another axis, or predict one site an outcome"
        raise InputError(wanted, f"the shape {shape}", remedy)
    return entries


def _plates(site: Site) -> set[str]:
    return {frame.name for frame in site["cond_indep_stack"]}


def _is_local(site: Site, plates: set[str], entries: int) -> bool:
    """Whether a latent has a value an entry of the predicted site, in the same plate."""
    shape = np.shape(site["value"])
    common = _plates(site) & plates
    event = len(site["fn"].event_shape)
    batch = shape[: len(shape) - event]
    return bool(common) and batch == (entries,) and not _is_scanned(site)


def _is_scanned(site: Site) -> bool:
    return bool(site.get("_control_flow_done", False))


def _require_enumerable(name: str, site: Site) -> None:
    if not site["fn"].has_enumerate_support:
        wanted = "discrete latents with finitely many values"
        got = f"'{name}' ~ {type(site['fn']).__name__}"
        raise ModelError(wanted, got, "truncate it, or sum it out by hand")


def _require_chain(
    sites: Mapping[str, Site], chained: Sequence[str], predict: str, entries: int
) -> None:
    """Refuse discrete latents of a `scan` that the forward recursion does not serve."""
    if not chained:
        return
    wanted = f"one discrete number a step of the scan that makes the entries of '{predict}'"
    remedy = "code several as one, or sum them out in the program"
    if len(chained) > 1 or not _is_scanned(sites[predict]):
        raise ModelError(wanted, f"the scanned {', '.join(chained)}", remedy)
    for name in (predict, *chained):
        shape = np.shape(sites[name]["value"])
        if shape != (entries,):
            axes = f"'{name}' with the axes {shape}, {entries} entries being predicted"
            raise ModelError(wanted, axes, remedy)


def _support(site: Site) -> Any:
    return np.asarray(site["fn"].enumerate_support(expand=False)).reshape(-1)


def _joint_states(
    sites: Mapping[str, Site], names: Sequence[str], *, together: bool
) -> dict[str, Any]:
    """All joint states of some latents, name -> (state, *shape).

    Args:
        together: all entries of a site share one value, since each is summed out on its own.
    """
    supports, sizes, number = {}, {}, 1
    for name in names:
        event = len(sites[name]["fn"].event_shape)
        if event:
            wanted = f"a discrete latent '{name}' whose values are single numbers"
            raise ModelError(wanted, f"events of {event} axes", "sample it in a plate")
        supports[name] = _support(sites[name])
        sizes[name] = 1 if together else int(np.prod(np.shape(sites[name]["value"])))
        number *= supports[name].size ** sizes[name]
        _require_few(name, sites[name], supports[name].size, number)
    if not names:
        return {}
    axes = []
    for name in names:
        axes += [supports[name]] * sizes[name]
    grid = np.meshgrid(*axes, indexing="ij")
    columns = np.stack([axis.reshape(-1) for axis in grid], axis=-1)
    states, start = {}, 0
    for name in names:
        shape = np.shape(sites[name]["value"])
        values = columns[:, start : start + sizes[name]]
        start += sizes[name]
        if together:
            values = np.broadcast_to(values, (len(columns), int(np.prod(shape))))
        states[name] = values.reshape(len(columns), *shape).copy()
    return states


def _require_few(name: str, site: Site, values: int, number: int) -> None:
    if number <= MOST_STATES:
        return
    shape = np.shape(site["value"])
    axis = f", {values} values at each of {int(np.prod(shape))} places on the axes {shape}"
    wanted = f"at most {MOST_STATES} joint states of discrete latents"
    remedy = "put it in the plate of the predicted entries if it has a value for each of them, "
    remedy += "or sum it out in the program"
    raise ModelError(wanted, f"{number} with '{name}'{axis}", remedy)
