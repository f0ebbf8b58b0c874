"""The graph of a network as a user writes it: names, parents and states, brought into topological
order.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from veribayes.errors import ModelError
from veribayes.models._check import integer, mapping, number, sequence, shown

UNKNOWN = "unknown"  # instead of parents
MOST_STATES = 2**16  # of one node
LONGEST_CYCLE = 8  # nodes of a cycle that a message names one by one

Parents = Mapping[str, Sequence[str]] | Sequence[Sequence[int]] | str
States = int | Mapping[str, Any] | Sequence[Any]
Links = list[tuple[int, ...]]  # positions of the parents of each node, in the given order


@dataclass(frozen=True)
class Edges:
    """Prior of an unknown graph.

    Each earlier node is a parent with one probability for the whole graph, which is U(low, high).
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        low, high = number("low", self.low), number("high", self.high)
        if not 0 <= low < high <= 1:
            raise ModelError("edges with 0 <= low < high <= 1", f"low={low:g}, high={high:g}")
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)

    def spec(self) -> dict[str, float]:
        return {"low": self.low, "high": self.high}


def names_of(nodes: Any) -> tuple[str, ...]:
    """The names of the nodes, all different.

    Raises:
        ModelError: no node, or two of one name.
    """
    names = tuple(text_of("node", node) for node in sequence("nodes", nodes))
    if not names:
        raise ModelError("at least one node", "none")
    seen = set[str]()
    for name in names:
        if name in seen:
            raise ModelError("nodes with different names", f"{shown(name)} twice")
        seen.add(name)
    return names


def links_of(names: tuple[str, ...], parents: Any) -> Links:
    """Positions of the parents of each node, in the given order.

    Raises:
        ModelError: parents that are no nodes, or one of them twice.
    """
    by_name = isinstance(parents, Mapping)
    links = _links_by_name(names, parents) if by_name else _links_by_position(names, parents)
    for name, link in zip(names, links, strict=True):
        if len(set(link)) < len(link):
            listed = [names[parent] for parent in link]
            raise ModelError(f"each parent of {shown(name)} once", shown(listed))
    return links


def _links_by_name(names: tuple[str, ...], parents: Mapping[Any, Any]) -> Links:
    place = {name: i for i, name in enumerate(names)}
    given = {text_of("node", child): listed for child, listed in parents.items()}
    mapping("parents", given, allowed=place)
    listed = {name: sequence(f"parents of {shown(name)}", given.get(name, ())) for name in names}
    links = []
    for name, parent_names in listed.items():
        positions = [_place_of(place, text_of("parent", parent), name) for parent in parent_names]
        links.append(tuple(positions))
    return links


def _place_of(place: Mapping[str, int], parent: str, child: str) -> int:
    if parent not in place:
        raise ModelError(f"a declared parent of {shown(child)}", shown(parent))
    return place[parent]


def _links_by_position(names: tuple[str, ...], parents: Any) -> Links:
    each = sequence("parents", parents)
    if len(each) != len(names):
        raise ModelError(f"parents of {len(names)} nodes", f"{len(each)}")
    last = len(names) - 1
    links = []
    for listed in each:
        positions = sequence("parents", listed)
        links.append(tuple(integer("parents", p, at_least=0, at_most=last) for p in positions))
    return links


def topological(names: Sequence[str], links: Sequence[tuple[int, ...]]) -> list[int]:
    """Order of the nodes in which parents come first; among free nodes the earliest given.

    Raises:
        ModelError: a cycle.
    """
    waiting = [len(parents) for parents in links]
    children: list[list[int]] = [[] for _ in links]
    for child, parents in enumerate(links):
        for parent in parents:
            children[parent].append(child)
    free = [node for node, count in enumerate(waiting) if count == 0]
    order = []
    while free:
        node = heapq.heappop(free)
        order.append(node)
        for child in children[node]:
            waiting[child] -= 1
            if waiting[child] == 0:
                heapq.heappush(free, child)
    if len(order) < len(links):
        raise ModelError("a graph without cycles", _cycle(names, links, set(order)))
    return order


def _cycle(names: Sequence[str], links: Sequence[tuple[int, ...]], done: set[int]) -> str:
    """One cycle in words, along the arrows: every node left over has a parent left over."""
    first = min(set(range(len(links))) - done)
    path = [first]
    seen = {first: 0}
    while True:
        parent = next(p for p in links[path[-1]] if p not in done)
        if parent in seen:
            backwards = [*path[seen[parent] :], parent]
            loop = [names[node] for node in reversed(backwards)]
            if len(loop) > LONGEST_CYCLE:
                loop = [*loop[:4], "…", *loop[-3:]]
            return " -> ".join(loop)
        seen[parent] = len(path)
        path.append(parent)


def labels_of(names: tuple[str, ...], states: Any) -> list[tuple[str, ...]]:
    """State names of each node, in the given order.

    Raises:
        ModelError: states of other nodes, or states of one name.
    """
    each: Iterable[Any]
    if isinstance(states, Mapping):
        named = {text_of("node", node): given for node, given in states.items()}
        given_states = mapping("states", named, allowed=dict.fromkeys(names), required=names)
        each = [given_states[name] for name in names]
    elif isinstance(states, int):
        each = [states] * len(names)
    else:
        listed = sequence("states", states)
        if len(listed) != len(names):
            raise ModelError(f"states of {len(names)} nodes", f"{len(listed)}")
        each = listed
    return [_state_names(name, given) for name, given in zip(names, each, strict=True)]


def _state_names(name: str, given: Any) -> tuple[str, ...]:
    if isinstance(given, int | np.integer):
        count = integer(f"states of {name}", given, at_least=1, at_most=MOST_STATES)
        return tuple(map(str, range(count)))
    listed = sequence(f"states of {name}", given)
    labels = tuple(text_of(f"state of {name}", state) for state in listed)
    if not labels or len(set(labels)) < len(labels):
        raise ModelError(f"different states of {shown(name)}, at least one", shown(list(labels)))
    return labels


def text_of(what: str, value: Any) -> str:
    """A name; digits are names too.

    Raises:
        ModelError: something else.
    """
    is_name = isinstance(value, str | int | np.integer) and not isinstance(value, bool)
    if not is_name or value == "":
        raise ModelError(f"a name for a {what}", shown(value), "put it in quotes")
    return str(value)
