"""Elimination orders and the cliques they make, for sum-product on a Bayesian network.

Eliminating a variable joins all factors that mention it in one *bucket*, whose clique is the variable and its remaining
neighbours in the moral graph; the result is a message to the bucket of whichever neighbour is eliminated next. Buckets with
their messages form a clique tree, so that a second pass in the opposite order gives every marginal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

from veribayes.models.bayesian_network import BayesianNetwork

Graph = dict[int, set[int]]


@dataclass(frozen=True)
class Bucket:
    """One step of an elimination.

    Attributes:
        clique: the eliminated variable first, then its remaining neighbours.
        factors: nodes whose tables are multiplied here.
        parent: the bucket that receives the message over `clique[1:]`; None for the last of a connected part.
        entries: size of the clique's table.
    """

    clique: tuple[int, ...]
    factors: tuple[int, ...]
    parent: int | None
    entries: int


def plan(model: BayesianNetwork) -> tuple[Bucket, ...]:
    """Buckets in order of elimination, by the better of the two usual greedy rules: fewest fill-in edges, smallest table."""
    sizes = model.cardinalities.tolist()
    found = [_eliminate(_moral(model), rule, sizes) for rule in (_fill, _weight)]
    return _assign(model, min(found, key=lambda cliques: sum(_entries(c, sizes) for c in cliques)), sizes)


def _moral(model: BayesianNetwork) -> Graph:
    graph: Graph = {i: set() for i in range(len(model.nodes))}
    for node, parents in enumerate(model.parents):
        _join(graph, (node, *parents))
    return graph


def _join(graph: Graph, members: Sequence[int]) -> None:
    for a, b in combinations(members, 2):
        graph[a].add(b)
        graph[b].add(a)


Rule = Callable[[Graph, int, Sequence[int]], float]


def _fill(graph: Graph, node: int, sizes: Sequence[int]) -> float:
    del sizes
    near = graph[node]
    return sum(len(near - graph[other]) - 1 for other in near) / 2


def _weight(graph: Graph, node: int, sizes: Sequence[int]) -> float:
    return sum(math.log(sizes[v]) for v in (node, *graph[node]))


def _eliminate(graph: Graph, rule: Rule, sizes: Sequence[int]) -> list[tuple[int, ...]]:
    """Cliques in order of elimination; scores are kept and renewed only where the graph has changed."""
    score = {v: rule(graph, v, sizes) for v in graph}
    cliques = []
    while graph:
        node = min(score, key=lambda v: (score[v], v))
        near = sorted(graph.pop(node))
        cliques.append((node, *near))
        del score[node]
        for other in near:
            graph[other].discard(node)
        _join(graph, near)
        changed = set(near).union(*(graph[v] for v in near)) if near else set()
        score.update({v: rule(graph, v, sizes) for v in changed})
    return cliques


def _assign(model: BayesianNetwork, cliques: list[tuple[int, ...]], sizes: Sequence[int]) -> tuple[Bucket, ...]:
    """Give each table to the bucket of its first eliminated variable, and each message to the next one's."""
    place = {clique[0]: i for i, clique in enumerate(cliques)}
    factors: list[list[int]] = [[] for _ in cliques]
    for node, parents in enumerate(model.parents):
        factors[min(place[v] for v in (node, *parents))].append(node)
    receivers = [min((place[v] for v in clique[1:]), default=None) for clique in cliques]
    rows = zip(cliques, factors, receivers, strict=True)
    return tuple(Bucket(c, tuple(f), r, _entries(c, sizes)) for c, f, r in rows)


def _entries(clique: tuple[int, ...], sizes: Sequence[int]) -> int:
    return math.prod(sizes[v] for v in clique)
