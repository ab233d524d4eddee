"""Which pictures a training is shown: a fair draw, the same for ever, in flat memory; and how often each of them."""

from __future__ import annotations

import collections
import random

import numpy as np
import pytest
from scipy.stats import chisquare

from model_service.training.replay import Reservoir, Row, draws


def row(n: int, batch: str = "r1/00000-a", label: str = "cat") -> Row:
    return Row(batch, (0 if batch.startswith("r1") else 1, n), f"{batch}/train-00000.tar", f"{n:020x}", label, 64, 48)


def drawn(offers: list[Row], most: int, seed: int = 42, newest: str = "none") -> list[Row]:
    reservoir = Reservoir(most, seed)
    for one in offers:
        reservoir.offer(one, newest=one.batch == newest)
    assert reservoir.offered == len(offers)
    return reservoir.drawn()


def test_all_are_taken_in_their_order_as_long_as_there_is_room() -> None:
    assert drawn([row(n) for n in range(9)], most=9) == [row(n) for n in range(9)]
    assert drawn([row(n) for n in reversed(range(9))], most=100) == [row(n) for n in range(9)]


def test_the_draw_is_the_seed_s_in_any_order_of_the_offers() -> None:
    offers = [row(n) for n in range(500)]
    first = drawn(offers, most=50)
    assert len(first) == 50
    assert first == sorted(first, key=lambda one: one.place)
    shuffled = random.Random(1).sample(offers, len(offers))
    assert drawn(shuffled, most=50) == first
    assert drawn(offers, most=50, seed=43) != first


def test_every_picture_is_as_likely_as_any_other() -> None:
    """Over 600 seeds: first, middle and last alike (chi-square, p > 0.001), as reservoir sampling promises."""
    offers = [row(n) for n in range(60)]
    counts = collections.Counter(one.key for seed in range(600) for one in drawn(offers, most=15, seed=seed))
    assert len(counts) == 60
    assert sum(counts.values()) == 600 * 15
    assert chisquare(list(counts.values())).pvalue > 0.001


def test_the_draw_has_nothing_to_do_with_which_pictures_watch_training() -> None:
    """Both go by hashes of keys; were they the same, a draw would be all of the one part."""
    from model_service.training.dataset import parts

    keys = [f"{n:020x}" for n in range(1000)]
    _, watched = parts(keys, 0.1, 42)
    among = {keys[i] for i in watched} & {one.key for one in drawn([row(n) for n in range(1000)], most=100)}
    assert 2 <= len(among) <= 20


def test_pictures_of_the_newest_batch_go_before_any_other() -> None:
    old, new = [row(n) for n in range(100)], [row(n, "r2/00000-b") for n in range(100, 130)]
    for offers in (old + new, new + old):
        kept = drawn(offers, most=50, newest="r2/00000-b")
        assert [one for one in kept if one in new] == new
        assert len(kept) == 50
    assert drawn(old + new, most=30, newest="r2/00000-b") == new
    few = drawn(old + new, most=10, newest="r2/00000-b")
    assert len(few) == 10
    assert set(few) < set(new)


def test_a_longer_history_changes_little_of_what_is_drawn_of_it() -> None:
    before = set(drawn([row(n) for n in range(1000)], most=100))
    after = set(drawn([row(n) for n in range(1100)], most=100))
    assert len(before & after) > 75, "most of what it learned from, it learns from once more"


def test_memory_is_flat_in_the_number_of_offers() -> None:
    reservoir = Reservoir(10, 42)
    for n in range(5000):
        reservoir.offer(row(n), newest=False)
        assert len(reservoir._heap) <= 10


# How often each is shown

LABELS = ["cat"] * 6 + ["dog"] * 2
OLD, NEW = [False] * 8, [False, False, True, False, False, False, True, False]


def test_each_is_shown_as_often_as_any_other_when_nothing_else_is_asked_for() -> None:
    assert draws(LABELS, NEW, range(8), new_weight=1.0, oversample=False) is None
    assert draws(LABELS, OLD, range(8), new_weight=5.0, oversample=False) is None
    assert draws(LABELS, [True] * 8, range(8), new_weight=5.0, oversample=False) is None, "all are new"
    assert draws(["cat", "dog"] * 4, OLD, range(8), new_weight=1.0, oversample=True) is None, "equal already"


def test_new_pictures_are_shown_so_many_times_as_often() -> None:
    weights = draws(LABELS, NEW, range(8), new_weight=3.0, oversample=False)
    assert weights is not None
    assert weights[2] / weights[0] == weights[6] / weights[7] == pytest.approx(3.0)
    assert weights.mean() == pytest.approx(1.0)


def test_classes_are_shown_equally_often_and_new_pictures_more_often_within_theirs() -> None:
    weights = draws(LABELS, NEW, range(8), new_weight=3.0, oversample=True)
    assert weights is not None
    assert weights[:6].sum() == pytest.approx(weights[6:].sum())
    assert weights[2] / weights[0] == weights[6] / weights[7] == pytest.approx(3.0)


def test_only_pictures_learned_from_count() -> None:
    """The others watch: whatever they are, the classes learned from are balanced."""
    weights = draws(LABELS, OLD, [0, 1, 2, 6, 7], new_weight=1.0, oversample=True)
    assert weights is not None
    assert weights[:3].sum() == pytest.approx(weights[6:].sum())
    assert np.isfinite(weights).all()
    assert draws(LABELS, OLD, [], new_weight=1.0, oversample=True) is None
    assert draws(LABELS, OLD, [0, 1], new_weight=1.0, oversample=True) is None, "no dog is learned from"
