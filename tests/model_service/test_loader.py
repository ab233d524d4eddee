"""loader: which pictures a pass shows, how often, and that only its place decides."""

from __future__ import annotations

import collections
import dataclasses
import random

import menagerie_contract as contract
import numpy as np
import pytest

from model_service.training import distributed
from model_service.training.dataset import Dataset
from model_service.training.loader import Loader, drawn, loaders

STEP = contract.Train(run="r1", models="", result="", image_size=32, batch_size=4, validation=0.1)


@pytest.fixture
def data() -> Dataset:
    """20 pictures, each of one colour by its number; 18 are learned from."""
    views = np.repeat(np.arange(20, dtype=np.uint8), 32 * 32 * 3).reshape(20, 32, 32, 3)
    return Dataset(views, ["cat", "dog"] * 10, [f"{n:020x}" for n in range(20)])


def passed(loader: Loader, place: str = "42/0/0", done: int = 0) -> list[int]:
    loader.begin(place, done)
    return loader.get_idxs()


def test_a_pass_shows_each_picture_once_in_an_order_of_its_own(data: Dataset) -> None:
    train = loaders(data, STEP).train
    assert sorted(passed(train)) == list(range(18))
    assert passed(train) == passed(train) != passed(train, "42/0/1")
    assert passed(train, done=2) == passed(train)[8:], "the first two batches are done"


def test_by_draws_some_are_shown_more_often_in_as_many_batches(data: Dataset) -> None:
    learned, _ = data.parts(STEP.validation, STEP.seed)
    draws = np.where(np.arange(20) % 2 == 0, 1.0, 3.0)
    train = loaders(dataclasses.replace(data, draws=draws), STEP).train
    shown = collections.Counter(n for epoch in range(400) for n in passed(train, f"42/0/{epoch}"))
    assert len(passed(train)) == 18
    assert passed(train) == passed(train) != passed(train, "42/0/1")
    share = draws[learned] / draws[learned].sum()
    assert [shown[n] / (400 * 18) for n in range(18)] == pytest.approx(list(share), rel=0.15)


def test_a_picture_is_shown_as_often_as_its_part_rounded_up_or_down() -> None:
    chance = random.Random(0)
    weights = np.array([0.1, 1.0, 2.5, 0.0, 4.4, 1.0])
    for _ in range(200):
        order = list(range(6))
        chance.shuffle(order)
        counts = collections.Counter(drawn(order, weights, chance.random()))
        parts = weights / weights.sum() * 6
        assert sum(counts.values()) == 6
        assert all(np.floor(part) <= counts[n] <= np.ceil(part) for n, part in enumerate(parts))
    assert drawn([0, 1], np.array([1.0, 1.0]), 1 - 1e-16) in ([0, 1], [1, 1])


def test_of_several_processes_each_has_a_part_of_every_batch(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = passed(loaders(data, STEP).train)
    monkeypatch.setattr(distributed, "world", lambda: 2)
    parts = []
    for rank in range(2):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        train = loaders(data, STEP).train
        train.begin("42/0/0", 0)
        assert (train.bs, len(train)) == (2, 4)
        parts.append(train.get_idxs())
    assert sorted(parts[0] + parts[1]) == sorted(whole)
    for batch in range(4):
        together = [n for part in parts for n in part[2 * batch : 2 * batch + 2]]
        assert sorted(together) == sorted(whole[4 * batch : 4 * batch + 4])


def test_pictures_come_in_their_order_though_threads_fetch_them(data: Dataset) -> None:
    dls = loaders(data, STEP)
    learned, watched = data.parts(STEP.validation, STEP.seed)
    assert [int(n) for _, batch in dls.valid for n in batch] == [n % 2 for n in watched]
    dls.train.begin("42/0/0", 0)
    dls.train.randomize()  # fastai does, as a pass begins
    order = dls.train.get_idxs()
    dls.train.begin("42/0/0", 0)
    labels = [int(n) for _, batch in dls.train for n in batch]
    assert labels == [learned[n] % 2 for n in order[:16]], "the last two are less than a batch"
