"""best: the epoch whose weights a training ends with, and when it is no use to go on."""

from __future__ import annotations

import dataclasses
import logging
import math
from typing import Any

import numpy as np
import pytest
import torch

from model_service.training import best, cycles
from model_service.training.dataset import Dataset
from model_service.training.learner import Callback
from tests.model_service.test_resume import SCRATCH, STEP, Memory, small

NAN = float("nan")


def rows(*losses: float) -> list[list[float]]:
    return [[1.0, loss, 0.5] for loss in losses]


@pytest.mark.parametrize(
    ("shares", "pictures", "found"),
    [
        ((0.50, 0.60, 0.55), 50, 2),  # ± 0.07: the second looks better by chance
        ((0.50, 0.60, 0.55), 5000, 1),  # ± 0.007: it is
        ((0.50, 0.60, 0.30), 50, 1),
        ((0.60, 0.50, 0.54, 0.30), 50, 2),
        ((0.9, 1.0, 1.0, 0.9), 50, 2),
        ((1.0, 0.98, 0.98), 50, 2),  # one picture is no difference
        ((1.0, 0.96), 50, 0),
        ((1.0, 0.0), 1, 1),
        ((0.0, 0.0), 50, 1),
        ((), 50, None),
    ],
)
def test_the_best_epoch_is_the_last_that_chance_alone_may_make_look_worse(
    shares: tuple[float, ...], pictures: int, found: int | None
) -> None:
    assert best.of([[1.0, 1.0, share] for share in shares], pictures) == found


@pytest.mark.parametrize(
    ("losses", "found"), [((2.0, NAN), 0), ((NAN, 3.0, NAN), 1), ((NAN, math.inf), None), ((2.0, 3.0), 1)]
)
def test_no_epoch_is_the_best_whose_loss_is_no_number(losses: tuple[float, ...], found: int | None) -> None:
    assert best.of(rows(*losses), 50) == found


@pytest.mark.parametrize(
    ("losses", "in_cycle", "patience", "stops"),
    [
        ((3.0, 2.0, 2.5, 2.6), 4, 2, True),
        ((3.0, 2.0, 2.5, 2.6), 4, 3, False),
        ((3.0, 2.0, 2.5, 2.6), 4, 0, False),
        ((2.0, 2.0, 2.0), 3, 2, True),
        ((1.0, 2.5, 2.6), 1, 2, False),  # the one before was the head's: only those of the last cycle count
        ((1.0, NAN), 0, 0, True),  # what is no number once is never one again
    ],
)
def test_it_stops_after_so_many_epochs_of_the_last_cycle_with_no_lower_loss(
    losses: tuple[float, ...], in_cycle: int, patience: int, stops: bool
) -> None:
    assert bool(best.stops(rows(*losses), in_cycle, patience)) == stops


@pytest.fixture(scope="module")
def data() -> Dataset:
    views = np.random.default_rng(0).integers(0, 256, (18, 32, 32, 3), dtype=np.uint8)
    return Dataset(views, ["cat", "dog"] * 9, [f"{n:020x}" for n in range(18)])


class Figures(Callback):  # type: ignore[misc]
    """Makes the validation losses and accuracies what they are to be, and remembers the weights after each epoch."""

    order = 75

    def __init__(self, losses: list[float], shares: list[float] | None = None) -> None:
        self.losses, self.shares, self.weights = losses, shares, list[dict[str, torch.Tensor]]()

    def after_epoch(self) -> None:
        epoch = len(self.weights)
        self.recorder.values[-1][1:3] = [self.losses[epoch], self.shares[epoch] if self.shares else 0.5]
        self.weights.append({name: tensor.clone() for name, tensor in self.model.state_dict().items()})


def fitted(
    data: Dataset, losses: list[float], shares: list[float] | None = None, **arguments: Any
) -> tuple[cycles.Fitted, Figures, dict[str, Any]]:
    learn, made = small(data), Figures(losses, shares)
    step = dataclasses.replace(STEP, epochs=len(losses), **arguments)
    return cycles.fit(learn, step, SCRATCH, Memory(), cbs=[made]), made, learn.model.state_dict()  # type: ignore[arg-type]


def test_it_ends_with_the_best_epoch_s_weights(data: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        found, made, weights = fitted(data, [1.0, 1.0, 1.0], [0.0, 1.0, 0.0])
    assert all(torch.equal(weights[name], made.weights[1][name]) for name in weights)
    assert found.best == found.history[1]
    assert (len(found.history), found.stopped) == (3, "")
    assert "the model is of epoch 2 of 3: later ones were worse on the validation part" in caplog.text


def test_the_last_epoch_s_weights_are_nothing_to_tell_of(data: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        found, made, weights = fitted(data, [1.0, 1.0, 9.0])
    assert all(torch.equal(weights[name], made.weights[2][name]) for name in weights)
    assert found.best == found.history[2]
    assert "the model is of epoch" not in caplog.text


def test_with_patience_it_stops_early_and_says_why(data: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        found, made, weights = fitted(data, [3.0, 1.0, 2.0, 1.5, 0.1], patience=2)
    assert [row["valid_loss"] for row in found.history] == [3.0, 1.0, 2.0, 1.5]
    assert found.stopped == "the validation loss has not fallen for 2 epochs"
    assert all(torch.equal(weights[name], made.weights[3][name]) for name in weights)
    assert "stopped after 4 epochs: the validation loss has not fallen for 2 epochs" in caplog.text


def test_a_training_that_diverges_is_not_gone_on_with(data: Dataset) -> None:
    found, _, _ = fitted(data, [NAN, 1.0])
    assert found.stopped == "the validation loss is not a number"
    assert len(found.history) == 1
    assert np.isnan(found.best["valid_loss"])
    found, made, weights = fitted(data, [2.0, NAN, 1.0])
    assert found.best == found.history[0], "what it was before that is a model still"
    assert all(torch.equal(weights[name], made.weights[0][name]) for name in weights)
