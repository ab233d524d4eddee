"""Near-duplicates are found as if each hash were compared with each."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from model_service.sorting import near

Hashes = NDArray[np.uint64]


def random_hashes(count: int, seed: int = 0) -> Hashes:
    return np.random.default_rng(seed).integers(0, 2**64, count, dtype=np.uint64)


def flipped(hashes: Hashes, bits: int, seed: int = 1) -> Hashes:
    """Each with so many bits another way."""
    random = np.random.default_rng(seed)
    masks = [sum(1 << int(bit) for bit in random.choice(64, bits, replace=False)) for _ in hashes]
    return hashes ^ np.array(masks, np.uint64)


def by_comparing_all(left: Hashes, right: Hashes) -> set[tuple[int, int]]:
    return {(i, j) for i, a in enumerate(left) for j, b in enumerate(right) if int(a ^ b).bit_count() <= near.DISTANCE}


@pytest.mark.parametrize("bits", range(8))
def test_up_to_four_bits_are_near_and_five_are_not(bits: int) -> None:
    hashes = random_hashes(300)
    left, right = near.pairs(hashes, flipped(hashes, bits))
    assert list(zip(left, right, strict=True)) == ([(i, i) for i in range(300)] if bits <= 4 else [])


def test_the_same_pairs_as_by_comparing_all() -> None:
    few = flipped(np.repeat(random_hashes(6), 30), 2)  # many that are near each other
    more = flipped(np.repeat(random_hashes(6), 20), 2, seed=2)
    left, right = near.pairs(few, more)
    found = list(zip(left.tolist(), right.tolist(), strict=True))
    assert len(found) == len(set(found))
    assert set(found) == by_comparing_all(few, more)
    assert len(found) >= 6 * 30 * 20


def test_one_that_is_alone_or_none_at_all() -> None:
    none, some = np.empty(0, np.uint64), random_hashes(3)
    for left, right in ((none, some), (some, none), (none, none)):
        assert [len(side) for side in near.pairs(left, right)] == [0, 0]
    assert near.clusters(none).tolist() == []
    assert near.clusters(some).tolist() == [0, 1, 2]


def test_a_cluster_is_all_that_is_reached_over_neighbours() -> None:
    chain = np.array(
        [0b1111 << shift | (1 << shift) - 1 for shift in (0, 4, 8, 12)], np.uint64
    )  # 4 bits from one to the next
    far = np.array([2**63 + 2**40 - 1], np.uint64)
    assert near.clusters(np.concatenate([chain, far, chain])).tolist() == [0, 0, 0, 0, 4, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("clusters", "largest"), [([], 0), ([0], 1), ([0, 1, 2], 1), ([0, 1, 0, 3, 3, 0], 3), ([0, 1, 1, 1], 3)]
)
def test_the_largest_cluster_is_known(clusters: list[int], largest: int) -> None:
    assert near.largest(np.array(clusters, np.int64)) == largest


def test_a_film_whose_frames_change_little_is_one_cluster_that_shows() -> None:
    film = np.array([(1 << shift) - 1 for shift in range(60)], np.uint64)
    clusters = near.clusters(np.concatenate([film, random_hashes(500)]))
    assert int(film[0] ^ film[-1]).bit_count() > 50
    assert near.largest(clusters) == 60


def test_many_of_one_hash_are_one_cluster_in_a_moment() -> None:
    begun = time.monotonic()
    assert near.clusters(np.full(50_000, 7, np.uint64)).tolist() == [0] * 50_000
    assert time.monotonic() - begun < 5


def test_ten_thousand_against_a_hundred_thousand() -> None:
    old = random_hashes(100_000, seed=5)
    left, right = near.pairs(flipped(old[:10_000], 4), old)
    assert set(zip(left.tolist(), right.tolist(), strict=True)) >= {(i, i) for i in range(10_000)}
