"""Where a training stands, at any batch: taken as a checkpoint, and put back in another attempt, which then goes on alike.

The chance in it is no part of the state: learner.Loader derives it from the place. Nor are the optimiser's rates, which
the schedule sets at each batch.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from model_service.training.checkpoints import Checkpoint, Checkpoints
from model_service.training.learner import Callback, Learner

EVERY = 600.0  # seconds between checkpoints within an epoch; each epoch ends with one
TERMINATED = 128 + signal.SIGTERM  # the exit code, as a shell and Kubernetes have it

log = logging.getLogger(__name__)


@dataclass
class Place:
    """The cycle, the epoch in it and the batches done of that; the epochs' figures so far; what runs through an epoch's end."""

    cycle: int = 0
    epoch: int = 0
    batch: int = 0
    rows: list[list[float]] = field(default_factory=list)  # train loss, validation loss, accuracy
    schedule: float = 0.0  # share of the cycle that is done
    loss: float = 0.0  # smoothed over `losses` batches of the cycle
    losses: int = 0

    def __str__(self) -> str:
        return f"cycle {self.cycle + 1}, epoch {self.epoch + 1}, batch {self.batch + 1}"


class Keep(Callback):  # type: ignore[misc]  # fastai has no types
    """Keeps checkpoints of a training that begins, or goes on, at `place`; takes a last one when it is asked to terminate."""

    order = 80  # after all others: what they do is in it

    def __init__(self, kept: Checkpoints, seed: int, weights: str, found: Checkpoint | None) -> None:
        self._kept, self._seed, self._weights, self._found = kept, seed, weights, found
        self.place = Place() if found is None else Place(**found.facts["place"])
        self._trained = self._terminated = False
        self._taken = time.monotonic()

    def put_back_weights(self, learn: Learner) -> None:
        """Before the first cycle, as there may be none left."""
        if self._found is not None:
            prefix = "model."
            weights = {n.removeprefix(prefix): t for n, t in self._found.tensors.items() if n.startswith(prefix)}
            learn.model.load_state_dict(weights)

    @contextmanager
    def heeding_sigterm(self) -> Iterator[None]:
        """Evicted pods have seconds to live: enough for the batch at hand and a checkpoint."""
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread can be told
            return
        before = signal.signal(signal.SIGTERM, self._terminate)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def _terminate(self, *_: object) -> None:
        self._terminated = True

    def before_train(self) -> None:
        place = self.place
        if self._found is not None:
            self._put_back(self._found)
            self._found = None
        self.dls.train.begin(f"{self._seed}/{place.cycle}/{place.epoch}", place.batch)
        self._trained = True

    def after_batch(self) -> None:
        self.place.batch += self.training
        if self._terminated or (self.training and time.monotonic() - self._taken >= EVERY):
            self._take()

    def after_epoch(self) -> None:
        if not self._trained:
            return  # done by an earlier attempt, skipped by this one
        self._trained = False
        place = self.place
        place.rows.append([float(value) for value in self.recorder.values[-1]])
        place.epoch, place.batch = place.epoch + 1, 0
        if place.epoch == self.n_epoch:
            place.cycle, place.epoch = place.cycle + 1, 0
        self._take()

    def _take(self) -> None:
        place, smooth = self.place, self.recorder.smooth_loss
        place.schedule, place.loss, place.losses = self.pct_train, float(smooth.val), smooth.count
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        numbers: dict[str, Any] = {}
        if place.epoch or place.batch:  # a cycle begins with the optimiser's state cleared
            for number, (_, state) in enumerate(_optimised(self.learn)):
                for name, value in state.items():
                    (tensors if isinstance(value, torch.Tensor) else numbers)[f"{number}.{name}"] = value
        facts = {"place": asdict(place), "weights": self._weights, "optimiser": numbers}
        if self._kept.save(Checkpoint(tensors, facts), wait=self._terminated):
            self._taken = time.monotonic()
            if self._terminated:
                log.info("asked to terminate: the next attempt goes on at %s", place)
        if self._terminated:
            raise SystemExit(TERMINATED)

    def _put_back(self, found: Checkpoint) -> None:
        place, smooth = self.place, self.recorder.smooth_loss
        if place.batch:  # else the schedule begins the epoch by itself
            self.learn.pct_train = place.schedule
        if place.epoch or place.batch:
            smooth.val, smooth.count = torch.tensor(place.loss), place.losses
        values = found.facts["optimiser"] | found.tensors
        for number, (parameter, state) in enumerate(_optimised(self.learn)):
            prefix = f"{number}."
            for name in [name for name in values if name.startswith(prefix)]:
                value = values[name]
                if isinstance(value, torch.Tensor) and value.shape == parameter.shape:  # in the same order in memory:
                    value = torch.empty_like(parameter, requires_grad=False).copy_(value)  # sums are the same then
                state[name.removeprefix(prefix)] = value
        found.tensors.clear()  # a quarter of a gigabyte


def _optimised(learn: Learner) -> list[tuple[Any, dict[str, Any]]]:
    """The optimiser's parameters, in their order, each with its state."""
    return [(parameter, learn.opt.state[parameter]) for parameter, *_ in learn.opt.all_params()]
