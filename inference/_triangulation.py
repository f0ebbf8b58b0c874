"""Elimination orders and the clique trees they make, for sum-product over tables with given scopes.

Eliminating a variable joins all tables that mention it in one *bucket*, whose clique is the
variable and its remaining neighbours; the result is a message to the bucket of whichever neighbour
is eliminated next. A bucket whose clique lies inside a neighbour's is absorbed by it; what is left
is a junction tree. Sets of variables are the bits of integers.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

EASY = 2**14  # table entries: an order this good is not worth another search
TRIES = 6  # searches with ties broken at random, after the two usual rules
# variables: random ties win a factor of 2 in some small networks, 4 % in large ones,
# where they cost a second
SMALL = 64

Scope = tuple[int, ...]
Order = list[
    tuple[Scope, int]
]  # variables eliminated together, the bits of their remaining neighbours
Rule = Callable[[list[int], int, Sequence[float]], float]


@dataclass(frozen=True)
class Clique:
    """A node of the tree; parents come after their children.

    Attributes:
        own: variables eliminated here: no later clique holds them.
        shared: the remaining ones, all of them in the parent.
        tables: numbers of the tables that are multiplied here.
        parent: the clique that receives the message over `shared`; None for the last of a connected
            part.
        entries: size of the clique's table.
    """

    own: Scope
    shared: Scope
    tables: tuple[int, ...]
    parent: int | None
    entries: int


def buckets(scopes: Sequence[Scope], sizes: Sequence[int]) -> tuple[Clique, ...]:
    """One clique for each variable that occurs in `scopes`,
    by the order with the smallest tables that was found.

    Args:
        scopes: the variables of each table.
        sizes: number of states of each variable.
    """
    return _assign(_best(scopes, sizes, False), scopes, sizes)


def junction_tree(
    scopes: Sequence[Scope], sizes: Sequence[int], *, quick: bool = False
) -> tuple[Clique, ...]:
    """Maximal cliques only; `quick` takes the first order found."""
    return _assign(_absorb(_best(scopes, sizes, quick)), scopes, sizes)


# -- orders ----------------------------------------------------------------------------------------


def _best(scopes: Sequence[Scope], sizes: Sequence[int], quick: bool) -> Order:
    """The order with the fewest table entries of those that the rules find."""
    graph = _graph(scopes, len(sizes))
    logs = [math.log2(size) for size in sizes]
    rules: list[Rule] = [_fill]
    if not quick:
        tries = TRIES if len(sizes) <= SMALL else 0
        rules += [_weight, *map(_random_ties, range(tries))]
    sized_orders: list[tuple[float, Order]] = []
    for rule in rules:
        order = _eliminate(graph, rule, logs)
        sized_orders.append((_entries(order, logs), order))
        if sized_orders[0][0] < EASY:
            break
    return min(sized_orders)[1]


def _graph(scopes: Sequence[Scope], variables: int) -> list[int]:
    """Bits of the neighbours of each variable;
    the bit of the variable itself says that it occurs.
    """
    graph = [0] * variables
    for scope in scopes:
        bits = sum(1 << v for v in scope)
        for v in scope:
            graph[v] |= bits
    return graph


def _eliminate(graph: list[int], rule: Rule, logs: Sequence[float]) -> Order:
    """Greedily; scores are renewed only where the graph has changed."""
    graph = graph[:]
    order: Order = []
    score = {v: rule(graph, v, logs) for v, near in enumerate(graph) if near}
    queue = [(s, v) for v, s in score.items()]
    heapq.heapify(queue)
    while queue:
        s, node = heapq.heappop(queue)
        if score.get(node) != s:
            continue
        del score[node]
        near = graph[node] & ~(1 << node)
        order.append(((node,), near))
        changed = near
        for v in members(near):
            graph[v] = (graph[v] | near) & ~(1 << node)
            changed |= graph[v]
        for v in members(changed):
            new = rule(graph, v, logs)
            if new != score[v]:
                score[v] = new
                heapq.heappush(queue, (new, v))
    return order


def members(bits: int) -> Iterator[int]:
    """Positions of the bits that are set, increasing."""
    while bits:
        low = bits & -bits
        yield low.bit_length() - 1
        bits ^= low


def _fill(graph: list[int], node: int, logs: Sequence[float]) -> float:
    """Edges that eliminating the variable adds, twice."""
    del logs
    near = graph[node]
    return sum((near & ~graph[v]).bit_count() for v in members(near))


def _weight(graph: list[int], node: int, logs: Sequence[float]) -> float:
    """Log of the size of its clique."""
    return sum(logs[v] for v in members(graph[node]))


def _random_ties(seed: int) -> Rule:
    rng = Random(seed)

    def rule(graph: list[int], node: int, logs: Sequence[float]) -> float:
        return _fill(graph, node, logs) + rng.random()

    return rule


def _entries(order: Order, logs: Sequence[float]) -> float:
    """Table entries of all maximal cliques."""
    entries = 0.0
    for own, near in _absorb(order):
        log_size = sum(logs[v] for v in (*own, *members(near)))
        entries += 2 ** min(log_size, 1000.0)  # 2^1000 is still a float
    return entries


# -- trees -----------------------------------------------------------------------------------------


def _absorb(order: Order) -> Order:
    """Join a bucket with its parent where the parent holds nothing else."""
    place = {v: i for i, (own, _) in enumerate(order) for v in own}
    out: list[tuple[Scope, int] | None] = list(order)
    for i, (_, near) in enumerate(order):
        parent = min((place[v] for v in members(near)), default=None)
        if parent is None:
            continue
        child, receiver = out[i], out[parent]
        if child is None or receiver is None:
            continue
        own, beyond = receiver
        if sum(1 << v for v in own) | beyond == near:
            out[i] = None
            out[parent] = (child[0] + own, beyond)
            place.update(dict.fromkeys(child[0], parent))
    return [entry for entry in out if entry is not None]


def _assign(order: Order, scopes: Sequence[Scope], sizes: Sequence[int]) -> tuple[Clique, ...]:
    """Each table goes where the first of its variables is eliminated,
    each message where the first of its own is.
    """
    place = {v: i for i, (own, _) in enumerate(order) for v in own}
    tables: list[list[int]] = [[] for _ in order]
    for number, scope in enumerate(scopes):
        if scope:
            tables[min(place[v] for v in scope)].append(number)
    out = []
    for (own, near), mine in zip(order, tables, strict=True):
        shared = tuple(members(near))
        parent = min((place[v] for v in shared), default=None)
        entries = math.prod(sizes[v] for v in (*own, *shared))
        out.append(Clique(own, shared, tuple(mine), parent, entries))
    return tuple(out)
