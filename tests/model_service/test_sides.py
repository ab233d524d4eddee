"""sides: which epochs learn from smaller pictures, and that all is watched at the full side."""

from __future__ import annotations

import dataclasses
import logging

import menagerie_contract as contract
import numpy as np
import pytest
from torch import nn

from model_service import backbone
from model_service.training import cycles, sides
from model_service.training.dataset import Dataset
from model_service.training.learner import Callback
from model_service.training.sides import Sides, quarters
from tests.model_service.test_best import Figures
from tests.model_service.test_resume import IMAGENET, SCRATCH, STEP, Memory, small

SIDE = 96
PROGRESSIVE = dataclasses.replace(STEP, image_size=SIDE, epochs=4, progressive=0.5)


@pytest.fixture(scope="module")
def data() -> Dataset:
    views = np.random.default_rng(0).integers(0, 256, (18, SIDE, SIDE, 3), dtype=np.uint8)
    return Dataset(views, ["cat", "dog"] * 9, [f"{n:020x}" for n in range(18)])


class Seen(Callback):  # type: ignore[misc]
    """The pictures of each batch: of which epoch, whether learned from, of which side."""

    order = 90

    def __init__(self) -> None:
        self.all: list[tuple[int, bool, int]] = []

    def before_batch(self) -> None:
        self.all.append((self.epoch, self.training, self.xb[0].shape[-1]))


def planned_for(step: contract.Train, network: nn.Module | None = None) -> Sides:
    return sides.plan(step, SCRATCH, network or nn.Conv2d(3, 1, 1), head=0)


@pytest.mark.parametrize(
    ("side", "two", "three"), [(96, 48, 80), (100, 64, 80), (128, 64, 96), (224, 112, 176), (1024, 512, 768)]
)
def test_quarters_of_a_side_are_multiples_of_16(side: int, two: int, three: int) -> None:
    assert (quarters(side, 2), quarters(side, 3)) == (two, three)


def test_epochs_have_smaller_sides_from_the_one_to_the_other() -> None:
    planned = Sides(224, (112, 176), 1)
    assert [planned.of(epoch) for epoch in range(5)] == [224, 112, 176, 224, 224]
    assert planned.end == 3


@pytest.mark.parametrize(
    ("epochs", "share", "expected"),
    [(10, 0.8, [48] * 6 + [80] * 2 + [96] * 2), (5, 0.8, [48] * 3 + [80] + [96]), (5, 0.6, [48] * 3 + [96] * 2)],
)
def test_the_last_quarter_of_them_has_three_quarters_of_the_side(
    epochs: int, share: float, expected: list[int]
) -> None:
    planned = planned_for(dataclasses.replace(PROGRESSIVE, epochs=epochs, progressive=share))
    assert [planned.of(epoch) for epoch in range(epochs)] == expected


@pytest.mark.parametrize("mixup", [0.0, 0.4])
def test_the_first_epochs_learn_from_half_the_side_and_all_are_watched_at_the_full_one(
    data: Dataset, mixup: float, caplog: pytest.LogCaptureFixture
) -> None:
    step, seen = dataclasses.replace(PROGRESSIVE, mixup=mixup), Seen()
    with caplog.at_level(logging.INFO):
        fitted = cycles.fit(small(data, step), step, SCRATCH, Memory(), cbs=[seen])  # type: ignore[arg-type]
    assert [row["side"] for row in fitted.history] == [48, 48, 96, 96]
    assert {(epoch, side) for epoch, learned, side in seen.all if learned} == {(0, 48), (1, 48), (2, 96), (3, 96)}
    assert {side for _, learned, side in seen.all if not learned} == {96}
    assert "of 4 epochs 2 learn from pictures of 48 px, 0 of 80 px, the rest of 96" in caplog.text
    assert "epoch 2 of 4 done: " in caplog.text
    assert [line.rpartition(", ")[2] for line in caplog.messages if " done: " in line] == [
        *["learned from 48 px"] * 2,
        *["learned from 96 px"] * 2,
    ]


@pytest.mark.parametrize(
    ("share", "epochs", "expected"), [(0.5, 1, 0), (0.5, 3, 1), (0.9, 2, 1), (0.29, 100, 29), (0.9, 10, 9), (0.0, 9, 0)]
)
def test_the_share_is_rounded_down_so_that_the_last_epoch_is_full(share: float, epochs: int, expected: int) -> None:
    step = dataclasses.replace(PROGRESSIVE, epochs=epochs, progressive=share)
    planned = planned_for(step)
    assert planned.end - planned.begin == expected


def test_weights_that_know_pictures_are_not_spoilt_by_smaller_ones(
    data: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    """In the cycle of a new head alone, and in the next."""
    seen = Seen()
    with caplog.at_level(logging.INFO):
        fitted = cycles.fit(small(data, PROGRESSIVE), PROGRESSIVE, IMAGENET, Memory(), cbs=[seen])  # type: ignore[arg-type]
    assert [row["side"] for row in fitted.history] == [SIDE] * 5
    assert {side for *_, side in seen.all} == {SIDE}
    assert "all epochs are at 96 px: smaller pictures are for training from scratch" in caplog.text


def test_small_pictures_are_not_made_smaller(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        planned = planned_for(dataclasses.replace(PROGRESSIVE, image_size=95))
    assert [planned.of(epoch) for epoch in range(4)] == [95] * 4
    assert "all epochs are at 95 px: half of that is too small to learn from" in caplog.text


def test_a_network_that_takes_one_size_alone_gets_that(caplog: pytest.LogCaptureFixture) -> None:
    name = "vit_tiny_patch16_224"
    network = backbone.build(name, SIDE).network(2).train()
    with caplog.at_level(logging.INFO):
        planned = planned_for(dataclasses.replace(PROGRESSIVE, network=name), network)
    assert [planned.of(epoch) for epoch in range(4)] == [SIDE] * 4
    assert f"all epochs are at 96 px, which takes longer: {name} takes no pictures of 48 px (" in caplog.text
    assert network.training
    assert all(part.training for part in network.modules())


@pytest.mark.parametrize("name", ["resnet34", "shufflenet_v2_x0_5", "test_resnet"])
def test_convolutions_take_half_the_side(name: str) -> None:
    step = dataclasses.replace(PROGRESSIVE, network=name)
    assert planned_for(step, backbone.build(name, SIDE).network(2)) == Sides(SIDE, (48, 48), 0)


def test_small_pictures_have_no_patterns_that_large_ones_have_not(data: Dataset) -> None:
    """Lines of one pixel, black and white in turn, are grey from afar."""
    lines = np.where(np.arange(SIDE) % 2 == 0, 0, 255).astype(np.uint8)
    views = np.broadcast_to(lines[:, None, None], (18, SIDE, SIDE, 3)).copy()
    spread: list[float] = []

    class Spread(Callback):  # type: ignore[misc]
        order = 90

        def before_batch(self) -> None:
            if self.training:
                spread.append(float(self.xb[0][..., 8:-8, 8:-8].std((2, 3)).max()))

    step = dataclasses.replace(PROGRESSIVE, epochs=2)
    learn = small(dataclasses.replace(data, views=views), step)
    learn.dls.train.after_batch.fs = type(learn.dls.train.after_batch.fs)(  # no augmentation: it bends the lines
        [f for f in learn.dls.train.after_batch.fs if type(f).__name__ in ("IntToFloatTensor", "Normalize")]
    )
    cycles.fit(learn, step, SCRATCH, Memory(), cbs=[Spread()])  # type: ignore[arg-type]
    assert max(spread[:4]) < 0.1 < 1 < min(spread[4:])


def test_only_epochs_at_the_full_side_try_its_patience(data: Dataset) -> None:
    """Those at the other are watched at a side that they did not learn from."""
    losses = [1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]
    step = dataclasses.replace(PROGRESSIVE, epochs=8, patience=2)
    fitted = cycles.fit(small(data, step), step, SCRATCH, Memory(), cbs=[Figures(losses)])  # type: ignore[arg-type]
    assert len(fitted.history) == 4 + 2
    assert fitted.stopped == "the validation loss has not fallen for 2 epochs"
