"""Checks on draws from the prior that a program predicts what it is asked for.

What is not seen must not matter: with two different values in its place, densities of what is seen
and laws of what is asked for are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from veribayes.errors import InputError, ModelError
from veribayes.models.numpyro_model._joint import Joint, Seen
from veribayes.models.numpyro_model._program import running

TRIED = 3  # data sets on which it is tried
CLOSE = 1e-9  # of log densities and laws, relative
Draws = Mapping[str, Any]


def require_causal(joint: Joint, drawn: Draws, ask: Sequence[int]) -> Joint:
    """The densities with the inputs that tell something of latents, where no entry looks ahead.

    Args:
        joint: of a program.
        drawn: data sets from the prior, site -> (B, *shape).
        ask: entries that are queries.

    Raises:
        ModelError: densities of a prefix that depend on what comes behind it.
        InputError: queries that follow from entries between them and the prefix.
    """
    joint = replace(joint, informative=_informative(joint, drawn))
    if joint.informative and len(ask) > 1:
        wanted = "one query a position where inputs tell something of latents"
        raise InputError(wanted, f"{len(ask)} of them", "give one entry in 'ask'")
    entries = joint.outline.entries
    half = min(entries // 2, *ask) if ask else entries // 2
    asked = tuple(ask) or (half,)
    read = _compiled(joint, partial(_density_and_laws, joint, asked))
    for number in range(TRIED):
        latents = {name: drawn[name][number] for name in joint.outline.continuous}
        others = (number + 1, number + TRIED + 2)
        prefixes = [_behind(joint, drawn, number, other, half, asked) for other in others]
        first, second = (read(latents, prefix) for prefix in prefixes)
        if first[2] > CLOSE:
            (state,) = joint.outline.chained
            wanted = f"a scan that hands on nothing of '{state}' but its last value"
            remedy = "make what it remembers a part of the state, or of the entries"
            raise ModelError(wanted, "more of its history", remedy)
        if not _alike(first[0], second[0]):
            wanted = f"densities of the first {half} entries of '{joint.predict}' that depend on "
            wanted += "no later ones"
            remedy = "sums over all entries look ahead, and an input drawn from its outcome does"
            raise ModelError(wanted, "densities that change with them", remedy)
        if not _alike(first[1], second[1]):
            _refuse_laws(joint, ask, half)
    return joint


def _refuse_laws(joint: Joint, ask: Sequence[int], half: int) -> None:
    if ask:
        wanted = f"queries of '{joint.predict}' that follow from the first {half} entries alone"
        remedy = "leave 'ask' out: the next entry is asked for"
        raise InputError(wanted, "laws that depend on entries in between", remedy)
    wanted = f"a law of entry {half} of '{joint.predict}' that depends on earlier ones alone"
    raise ModelError(wanted, "one that changes with later entries", "let nothing look ahead")


def may_change_places(joint: Joint, drawn: Draws, has_arrays: bool) -> bool:
    """Whether the density of all entries stays when they change places, their inputs with them."""
    if has_arrays or joint.outline.entries < 2:
        return False
    rng = np.random.default_rng(0)
    density = _compiled(joint, joint.log_joint)
    for number in range(TRIED):
        latents = {name: drawn[name][number] for name in joint.outline.continuous}
        order = rng.permutation(joint.outline.entries)
        whole = _seen(joint, drawn, number)
        moved = {}
        for name, values in whole.values.items():
            axis = int(np.argmax(np.shape(values)))
            moved[name] = np.take(values, order, axis if name == joint.predict else 0)
        if not _alike(density(latents, whole), density(latents, whole._replace(values=moved))):
            return False
    return True


def _informative(joint: Joint, drawn: Draws) -> frozenset[str]:
    """Inputs whose densities change with the latents."""
    found = set()
    if not joint.outline.inputs:
        return frozenset()
    by_state = _compiled(joint, joint.by_state)
    for name in joint.outline.inputs:
        trial = replace(joint, informative=frozenset({name}))
        with_state = _compiled(trial, trial.by_state)
        seen = _seen(joint, drawn, 0)
        densities = []
        for number in range(TRIED):
            latents = {at: drawn[at][number] for at in joint.outline.continuous}
            densities.append(with_state(latents, seen)[1] - by_state(latents, seen)[1])
        of_all_states = np.stack(densities)
        if not _alike(of_all_states, of_all_states[:1, :1, :1]):
            found.add(name)
    return frozenset(found)


def _seen(joint: Joint, drawn: Draws, number: int) -> Seen:
    """One data set, seen whole."""
    names = (joint.predict, *joint.outline.inputs)
    everything = np.ones(joint.outline.entries, dtype=bool)
    return Seen({name: drawn[name][number] for name in names}, everything, everything)


def _behind(
    joint: Joint, drawn: Draws, number: int, other: int, size: int, asked: Sequence[int]
) -> Seen:
    """A prefix of one data set with entries of another behind it."""
    whole = _seen(joint, drawn, number)
    places = np.arange(joint.outline.entries)
    entries = places < size
    shown = entries | np.isin(places, asked)
    values = {}
    for name, own in whole.values.items():
        shape = np.shape(own) if name == joint.predict else (-1, *[1] * (own.ndim - 1))
        mask = entries if name == joint.predict else shown
        values[name] = np.where(mask.reshape(shape), own, drawn[name][other])
    return Seen(values, entries, shown)


def _density_and_laws(
    joint: Joint, asked: Sequence[int], latents: Draws, seen: Seen
) -> tuple[Any, Any, Any]:
    """Log density of what is seen, the laws of the queries as one vector, and how much a chain
    remembers.
    """
    import jax.numpy as jnp

    laws = []
    for entry in asked:
        weighted = joint.law(latents, seen, entry)
        laws += [jnp.ravel(weighted.weights), *map(jnp.ravel, weighted.laws.values())]
    density = joint.log_joint(latents, seen)
    return density, jnp.concatenate(laws), joint.memory(latents, seen)


def _compiled(joint: Joint, function: Any) -> Any:
    """The function (latents, what is seen) in the arithmetic of programs, as NumPy arrays."""
    import jax

    fast = jax.jit(function)

    def run(latents: Draws, seen: Seen) -> Any:
        with running(joint.program):
            return jax.tree.map(np.asarray, fast(dict(latents), seen))

    return run


def _alike(first: Any, second: Any) -> bool:
    return bool(np.allclose(first, second, rtol=CLOSE, atol=CLOSE, equal_nan=True))
