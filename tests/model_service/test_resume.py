"""A training that goes on from a checkpoint ends as if it had never stopped, wherever it stopped. On a tiny network."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import menagerie_contract as contract
import numpy as np
import pytest
import torch
from torch import nn

from model_service.training import cycles, learner, resume, weights
from model_service.training.checkpoints import Checkpoint
from model_service.training.dataset import Dataset
from model_service.training.fastai import set_seed
from model_service.training.learner import Callback, Learner
from model_service.training.start import Start

BATCHES, EPOCHS = 4, 3  # of training pictures in an epoch; in the last cycle


class Memory:
    """Checkpoints kept in memory: all of them."""

    def __init__(self) -> None:
        self.all: list[Checkpoint] = []

    def save(self, checkpoint: Checkpoint, *, wait: bool = False) -> bool:
        tensors = {name: tensor.detach().clone().contiguous() for name, tensor in checkpoint.tensors.items()}
        self.all.append(Checkpoint(tensors, copy.deepcopy(checkpoint.facts)))
        return True


class Watch(Callback):  # type: ignore[misc]
    """What the optimiser is given at each batch: its rates and momentum, the pictures, and one of chance's draws."""

    order = 90

    def __init__(self) -> None:
        self.steps: list[Any] = []

    def before_batch(self) -> None:
        if self.training:
            rates = [(hyper["lr"], hyper["mom"]) for hyper in self.opt.hypers]
            self.steps.append((self.epoch, rates, self.xb[0].sum().item(), bytes(torch.get_rng_state().numpy())))


@pytest.fixture(scope="module")
def data() -> Dataset:
    return made(32)


def made(side: int) -> Dataset:
    views = np.random.default_rng(0).integers(0, 256, (18, side, side, 3), dtype=np.uint8)
    return Dataset(views, ["cat", "dog"] * 9, [f"{n:020x}" for n in range(18)])


STEP = contract.Train(
    run="r1", models="", result="", epochs=EPOCHS, image_size=32, batch_size=4, weights="none", validation=0.1
)


SCRATCH = Start("none", fresh=("cat", "dog"))
IMAGENET = Start("imagenet", "some", "0" * 64, ("cat", "dog"))


def small(data: Dataset, step: contract.Train = STEP) -> Learner:
    """As `learner.build` makes one, but of a body and a head that take a millisecond, with all that has state or chance."""
    set_seed(step.seed)
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    return learner.assemble(data, step, nn.Sequential(body, nn.Sequential(nn.Dropout(0.5), nn.Linear(16, 2))))


def run(
    data: Dataset, start: Start, found: Checkpoint | None = None, *extra: Any, step: contract.Train = STEP
) -> tuple[Any, ...]:
    """Train on from `found`: what it came to, the weights, what each batch was given, and the checkpoints taken."""
    learn, kept, watch = small(data, step), Memory(), Watch()
    fitted = cycles.fit(learn, step, start, kept, copy.deepcopy(found), [watch, *extra])  # type: ignore[arg-type]
    return fitted, learn.model.state_dict(), watch.steps, kept.all


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def weighted(data: Dataset) -> Dataset:
    """The same, with pictures of the second half shown three times as often."""
    return dataclasses.replace(data, draws=np.array([1.0] * 9 + [3.0] * 9))


WAYS: dict[str, tuple[Start, dict[str, Any]]] = {
    "none": (SCRATCH, {}),
    "imagenet": (IMAGENET, {}),
    "mixup": (SCRATCH, {"mixup": 0.4, "balance": "weights"}),
    "bf16": (SCRATCH, {"numbers": "bf16"}),
    "progressive": (SCRATCH, {"image_size": 96, "progressive": 0.7, "mixup": 0.4, "numbers": "bf16"}),
    "patience": (SCRATCH, {"patience": 1, "epochs": 5, "learning_rate": 0.3}),
    "deterministic": (SCRATCH, {"deterministic": True, "freeze_epochs": 0}),
}


@pytest.mark.parametrize("way", [*WAYS, "draws"])
def test_it_ends_the_same_from_every_batch_of_every_cycle(
    data: Dataset, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """History, weights, and at each batch the rates, momentum, pictures and chance. With weights there are two cycles."""
    monkeypatch.setattr(resume, "EVERY", 0.0)
    start, arguments = WAYS.get(way, (SCRATCH, {}))
    step = dataclasses.replace(STEP, **arguments)
    data = weighted(data) if way == "draws" else made(step.image_size)
    fitted, trained, steps, taken = run(data, start, step=step)
    epochs = len(fitted.history)
    assert epochs == step.epochs + (way == "imagenet") or fitted.stopped
    assert bool(fitted.stopped) == (way == "patience")
    assert len({row["side"] for row in fitted.history}) == 1 + (way == "progressive")
    assert len(steps) == epochs * BATCHES
    assert len(taken) == epochs * (BATCHES + 1), "one a batch, and one as the epoch is done"
    for checkpoint in taken:
        again, ended, rest, _ = run(data, start, checkpoint, step=step)
        place = checkpoint.facts["place"]
        assert again == fitted, place
        assert same(ended, trained), place
        done = len(place["rows"]) * BATCHES + place["batch"]
        assert rest == steps[done:], place


def test_no_two_batches_share_their_chance(data: Dataset) -> None:
    _, _, steps, _ = run(data, IMAGENET)
    assert len({draw for *_, draw in steps}) == len(steps)
    assert len({pictures for *_, pictures, _ in steps}) == len(steps)


def test_within_an_epoch_they_are_taken_by_the_clock(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, _, taken = run(data, SCRATCH)
    assert [c.facts["place"]["batch"] for c in taken] == [0] * EPOCHS, "ten minutes have not passed"
    clock = iter(range(10_000))  # a second a look
    monkeypatch.setattr(resume.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(resume, "EVERY", 3.0)
    _, _, _, taken = run(data, SCRATCH)
    assert len(taken) > EPOCHS
    assert any(c.facts["place"]["batch"] for c in taken)


class Terminate(Callback):  # type: ignore[misc]
    """Sends this process SIGTERM while it is at a batch, as an evicted pod gets it."""

    def __init__(self, epoch: int, batch: int, training: bool = True) -> None:
        self.where = epoch, batch, training

    def after_pred(self) -> None:
        if (self.epoch, self.iter, self.training) == self.where:
            os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def unheeded_sigterm() -> Iterator[list[int]]:
    """Those that came while training did not heed them, which would otherwise end the tests; it gives back what it took."""
    came: list[int] = []

    def unheeded(number: int, _: object) -> None:
        came.append(number)

    before = signal.signal(signal.SIGTERM, unheeded)
    try:
        yield came
        assert signal.getsignal(signal.SIGTERM) is unheeded
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("where", [(0, 0), (1, 2), (2, 3), (1, 0, False)], ids=["first", "mid", "last", "validation"])
def test_asked_to_terminate_it_finishes_the_batch_and_loses_nothing(data: Dataset, where: Any) -> None:
    history, trained, steps, _ = run(data, SCRATCH)
    learn, kept = small(data), Memory()
    learn.add_cb(Terminate(*where))
    with unheeded_sigterm() as unheeded, pytest.raises(SystemExit) as ended:
        cycles.fit(learn, STEP, SCRATCH, kept)  # type: ignore[arg-type]
    assert unheeded == []
    assert ended.value.code == 143
    place = kept.all[-1].facts["place"]
    assert (place["epoch"], place["batch"]) == (where[0], where[1] + 1 if len(where) == 2 else BATCHES)
    again, finished, rest, _ = run(data, SCRATCH, kept.all[-1])
    assert again == history
    assert same(finished, trained)
    assert rest == steps[where[0] * BATCHES + place["batch"] :]


def test_outside_of_the_main_thread_it_trains_without_heeding_signals(data: Dataset) -> None:
    done: list[Any] = []
    thread = threading.Thread(target=lambda: done.append(run(data, SCRATCH)[0]))
    thread.start()
    thread.join()
    assert done == [run(data, SCRATCH)[0]]


def test_from_its_end_nothing_is_trained(data: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    history, trained, _, taken = run(data, SCRATCH)
    with caplog.at_level("INFO"):
        again, ended, rest, _ = run(data, SCRATCH, taken[-1])
    assert (again, rest) == (history, [])
    assert same(ended, trained)
    assert "going on from its end" in caplog.text


def test_the_weights_of_a_resumed_training_are_not_fetched(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetched(*_: Any) -> None:
        raise AssertionError("fetched")

    monkeypatch.setattr(weights, "put", fetched)
    step = contract.Train(run="r1", models="", result="", image_size=32, batch_size=4, weights="auto", champion="v1")
    for start in (IMAGENET, SCRATCH, Start("champion", "v1", "1" * 64, ("dog",))):
        assert learner.build(data, step, json.loads(json.dumps(start.card())))[1] == start
