"""Near-duplicates: perceptual hashes that differ in few bits, found without comparing each with each.

Two hashes that differ in at most 4 bits agree whole in one of 5 bands of bits (the pigeonhole principle; Manku et al.,
"Detecting near-duplicates for web crawling", WWW 2007), so only those that share a band are compared.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

DISTANCE = 4  # bits, of 64
_BANDS = ((0, 13), (13, 13), (26, 13), (39, 13), (52, 12))  # first bit and bits of each; one more than DISTANCE
_AT_ONCE = 1 << 21  # pairs compared in one go: bounds the memory

Hashes = NDArray[np.uint64]
Indices = NDArray[np.int64]


def pairs(left: Hashes, right: Hashes) -> tuple[Indices, Indices]:
    """Indices into `left` and `right` (uint64 [n], [m]) of all pairs within DISTANCE, each pair once."""
    found = [np.empty((2, 0), np.int64)]
    for first, bits in _BANDS:
        shift, mask = np.uint64(first), np.uint64((1 << bits) - 1)
        band_left, band_right = (left >> shift) & mask, (right >> shift) & mask
        by_band = np.argsort(band_left, kind="stable")
        starts, ends = (np.searchsorted(band_left[by_band], band_right, side) for side in ("left", "right"))
        for some in _slices(ends - starts):
            counts = (ends - starts)[some]
            in_right = np.repeat(np.arange(some.start, some.stop), counts)
            within = np.arange(len(in_right)) - np.repeat(np.cumsum(counts) - counts, counts)
            in_left = by_band[np.repeat(starts[some], counts) + within]
            close = np.bitwise_count(left[in_left] ^ right[in_right]) <= DISTANCE
            found.append(np.stack([in_left[close], in_right[close]]))
    both = np.unique(np.concatenate(found, axis=1), axis=1)
    return both[0], both[1]


def clusters(hashes: Hashes) -> Indices:
    """For each hash the index of the first one of its cluster: what is reached over near-duplicates of near-duplicates."""
    unique, inverse = np.unique(hashes, return_inverse=True)
    parent = np.arange(len(unique))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for a, b in zip(*(side.tolist() for side in pairs(unique, unique)), strict=True):
        first, second = sorted((root(a), root(b)))
        parent[second] = first
    roots = np.array([root(node) for node in range(len(unique))], np.int64)[inverse]
    firsts: dict[int, int] = {}
    return np.array([firsts.setdefault(one, i) for i, one in enumerate(roots.tolist())], np.int64)


def largest(clusters: Indices) -> int:
    """How many the largest cluster has; 0 of none. A film's frames can all be one, though its ends look nothing alike."""
    return int(np.unique(clusters, return_counts=True)[1].max(initial=0))


def _slices(counts: Indices) -> Iterator[slice]:
    """Consecutive slices whose counts add up to about _AT_ONCE."""
    edges = np.searchsorted(np.cumsum(counts), np.arange(_AT_ONCE, counts.sum() + _AT_ONCE, _AT_ONCE))
    start = 0
    for edge in np.unique(np.append(edges, len(counts) - 1)).tolist():
        if (stop := min(edge + 1, len(counts))) > start:
            yield slice(start, stop)
            start = stop
