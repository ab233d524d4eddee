"""best: the epoch whose weights a training ends with, and when it is no use to go on."""

from __future__ import annotations

import dataclasses
import logging
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
    ("losses", "found"),
    [((3.0, 2.0, 2.5), 1), ((2.0, 2.0), 0), ((NAN, 3.0, NAN), 1), ((NAN, NAN), None), ((), None)],
)
def test_the_best_epoch_has_the_least_validation_loss(losses: tuple[float, ...], found: int | None) -> None:
    assert best.of(rows(*losses)) == found


@pytest.mark.parametrize(
    ("losses", "in_cycle", "patience", "stops"),
    [
        ((3.0, 2.0, 2.5, 2.6), 4, 2, True),
        ((3.0, 2.0, 2.5, 2.6), 4, 3, False),
        ((3.0, 2.0, 2.5, 2.6), 4, 0, False),
        ((1.0, 2.5, 2.6), 1, 2, False),  # the one before was the head's: only those of the last cycle count
        ((1.0, NAN), 0, 0, True),  # what is no number once is never one again
    ],
)
def test_it_stops_after_so_many_epochs_of_the_last_cycle_that_were_no_better(
    losses: tuple[float, ...], in_cycle: int, patience: int, stops: bool
) -> None:
    assert bool(best.stops(rows(*losses), in_cycle, patience)) == stops


@pytest.fixture(scope="module")
def data() -> Dataset:
    views = np.random.default_rng(0).integers(0, 256, (18, 32, 32, 3), dtype=np.uint8)
    return Dataset(views, ["cat", "dog"] * 9, [f"{n:020x}" for n in range(18)])


class Losses(Callback):  # type: ignore[misc]
    """Makes the validation losses what they are to be, and remembers the weights after each epoch."""

    order = 75

    def __init__(self, losses: list[float]) -> None:
        self.losses, self.weights = losses, list[dict[str, torch.Tensor]]()

    def after_epoch(self) -> None:
        self.recorder.values[-1][1] = self.losses[len(self.weights)]
        self.weights.append({name: tensor.clone() for name, tensor in self.model.state_dict().items()})


def fitted(data: Dataset, losses: list[float], **arguments: Any) -> tuple[cycles.Fitted, Losses, dict[str, Any]]:
    learn, made = small(data), Losses(losses)
    step = dataclasses.replace(STEP, epochs=len(losses), **arguments)
    return cycles.fit(learn, step, SCRATCH, Memory(), cbs=[made]), made, learn.model.state_dict()  # type: ignore[arg-type]


def test_it_ends_with_the_best_epoch_s_weights(data: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        found, made, weights = fitted(data, [3.0, 1.0, 2.0])
    assert all(torch.equal(weights[name], made.weights[1][name]) for name in weights)
    assert found.best == found.history[1]
    assert (len(found.history), found.stopped) == (3, "")
    assert "epoch 2 of 3 is the best on the validation part, and the model" in caplog.text


def test_with_patience_it_stops_early_and_says_why(data: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        found, made, weights = fitted(data, [3.0, 1.0, 2.0, 1.5, 0.1], patience=2)
    assert [row["valid_loss"] for row in found.history] == [3.0, 1.0, 2.0, 1.5]
    assert found.stopped == "2 epochs were no better than the best one"
    assert all(torch.equal(weights[name], made.weights[1][name]) for name in weights)
    assert "stopped after 4 epochs: 2 epochs were no better than the best one" in caplog.text


def test_a_training_that_diverges_is_not_gone_on_with(data: Dataset) -> None:
    found, _, _ = fitted(data, [NAN, 1.0])
    assert found.stopped == "the validation loss is not a number"
    assert len(found.history) == 1
    assert np.isnan(found.best["valid_loss"])
    found, made, weights = fitted(data, [2.0, NAN, 1.0])
    assert found.best == found.history[0], "what it was before that is a model still"
    assert all(torch.equal(weights[name], made.weights[0][name]) for name in weights)
