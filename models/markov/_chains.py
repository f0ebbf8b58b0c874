"""Arithmetic of chains: codes of histories, counts, stationary laws; NumPy alone.

A history is the last `order` symbols, oldest first, as one number in base `symbols`; an order of
zero has one history, of number zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from veribayes.predictive import Array
from veribayes.tree import IntArray


def histories(y: IntArray, symbols: int, order: int) -> IntArray:
    """The history before each symbol and behind the last one, (dataset, time) -> (dataset,
    time + 1).

    What stands before the sequence is the first symbol, 0.
    """
    padded = np.pad(y.astype(np.int64), ((0, 0), (order, 0)))
    codes = np.zeros((len(y), y.shape[1] + 1), dtype=np.int64)
    for place in range(order):
        codes = codes * symbols + padded[:, place : place + codes.shape[1]]
    return codes


def prefix_codes(y: IntArray, symbols: int, length: int) -> IntArray:
    """The first `length` symbols as a number, oldest first, (dataset,)."""
    code = np.zeros(len(y), dtype=np.int64)
    for place in range(length):
        code = code * symbols + y[:, place]
    return code


def counts(y: IntArray, symbols: int, order: int, first: int, length: int) -> Array:
    """How often each symbol followed each history, (dataset, history, symbol).

    Args:
        first: the first symbol that counts as drawn from a row.
        length: of the prefix.
    """
    size = symbols**order
    codes = histories(y[:, :length], symbols, order)[:, :length]
    cells = (codes * symbols + y[:, :length])[:, first:]
    offset = np.arange(len(y))[:, None] * size * symbols
    flat = np.bincount((cells + offset).ravel(), minlength=len(y) * size * symbols)
    return flat.reshape(len(y), size, symbols).astype(np.float64)


def added(
    y: IntArray, symbols: int, order: int, concentration: float, *, padded: bool
) -> Iterator[tuple[Array, Array, Array]]:
    """Add-a prediction behind every prefix, one prefix after the other.

        p(v | y_1 … y_t) = (n_hv + a) / (n_h + K a),   h the last `order` symbols

    Args:
        padded: whether the first symbols are drawn from rows too, the history before the sequence
            being zeros; else they are uniform.

    Yields:
        Probabilities (dataset, symbol); log probability of the prefix (dataset,); the counts
        (dataset, history, symbol), which the next step changes.
    """
    datasets, length = y.shape
    codes = histories(y, symbols, order)
    seen = np.zeros((datasets, symbols**order, symbols))
    evidence = np.zeros(datasets)
    rows = np.arange(datasets)
    for t in range(length + 1):
        drawn = padded or t >= order
        probs = np.full((datasets, symbols), 1 / symbols)
        if drawn:
            here = seen[rows, codes[:, t]] + concentration
            probs = here / here.sum(-1, keepdims=True)
        yield probs, evidence, seen
        if t == length:
            return
        evidence = evidence + np.log(probs[rows, y[:, t]])
        if drawn:
            seen[rows, codes[:, t], y[:, t]] += 1


def averaged(
    y: IntArray,
    symbols: int,
    orders: Sequence[int],
    concentration: float,
    *,
    padded: bool,
    positions: IntArray,
) -> tuple[Array, Array]:
    """Predictions of every order and its log evidence at these prefixes.

    Returns:
        Probabilities (dataset, position, order, symbol), log evidences (dataset, position, order).
    """
    shape = (len(y), positions.size, len(orders))
    probs, evidence = np.empty((*shape, symbols)), np.empty(shape)
    longest = int(positions.max(initial=0))
    for number, order in enumerate(orders):
        behind = added(y[:, :longest], symbols, order, concentration, padded=padded)
        for t, (said, log_evidence, _) in enumerate(behind):
            for place in np.flatnonzero(positions == t):
                probs[:, place, number] = said
                evidence[:, place, number] = log_evidence
    return probs, evidence


def normalised(logs: Array) -> Array:
    """Probabilities from their logarithms up to a constant, along the last axis."""
    weights = np.exp(logs - logs.max(-1, keepdims=True))
    return np.asarray(weights / weights.sum(-1, keepdims=True))


def lifted(tables: Array, order: int) -> Array:
    """The chain of histories, (…, history, symbol) -> (…, history, next history)."""
    size, symbols = tables.shape[-2:]
    if order == 0:
        return np.ones((*tables.shape[:-2], 1, 1))
    moves = np.zeros((*tables.shape[:-2], size, size))
    histories_before = np.arange(size)
    for symbol in range(symbols):
        following = histories_before % symbols ** (order - 1) * symbols + symbol
        moves[..., histories_before, following] += tables[..., symbol]
    return moves


def stationary(tables: Array, order: int) -> Array:
    """The stationary law of the histories, (…, history): elimination without subtractions; NaN
    where there is none.

    Grassmann, Taksar & Heyman, Oper. Res. 33 (1985) 1107.
    """
    moves = lifted(tables, order)
    size = moves.shape[-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        for last in range(size - 1, 0, -1):
            moves[..., :last, last] /= moves[..., last, :last].sum(-1)[..., None]
            through = moves[..., :last, last, None] * moves[..., None, last, :last]
            moves[..., :last, :last] += through
        law = np.ones(moves.shape[:-1])
        for state in range(1, size):
            arriving = law[..., :state] * moves[..., :state, state]
            law[..., state] = arriving.sum(-1)
        return np.asarray(law / law.sum(-1, keepdims=True))


def starts(tables: Array, order: int, start: str) -> list[Array]:
    """P(first j symbols | table) for j = 0 … order, (…, K^j) each.

    A chain that begins in zeros has no start of its own: its list ends with j = 0.
    """
    symbols = tables.shape[-1]
    leading = tables.shape[:-2]
    if start == "first":
        return [np.ones((*leading, 1))]
    if start == "uniform":
        sizes = [symbols**j for j in range(order + 1)]
        return [np.full((*leading, size), 1 / size) for size in sizes]
    law = stationary(tables, order)
    marginals = []
    for j in range(order + 1):
        grouped = law.reshape(*leading, symbols**j, symbols ** (order - j))
        marginals.append(grouped.sum(-1))
    return marginals


def ahead(tables: Array, y: IntArray, symbols: int, order: int, start: str, n: int) -> Array:
    """P(next symbol | prefix of n symbols, table), (dataset, …) tables or (1, …) -> (dataset,
    …, symbol).

    Args:
        tables: (dataset or 1, draw, history, symbol).
    """
    rows = np.arange(len(y))
    whole = np.broadcast_to(tables, (len(y), *tables.shape[1:]))
    if n >= order or start == "first":
        code = histories(y[:, :n], symbols, order)[:, n]
        return np.asarray(whole[rows, :, code])
    laws = starts(tables, order, start)
    before = np.broadcast_to(laws[n], (len(y), *laws[n].shape[1:]))
    after = np.broadcast_to(laws[n + 1], (len(y), *laws[n + 1].shape[1:]))
    code = prefix_codes(y, symbols, n)
    following = code[:, None] * symbols + np.arange(symbols)
    joint = np.take_along_axis(after, following[:, None], axis=-1)
    return np.asarray(joint / before[rows, :, code][..., None])
