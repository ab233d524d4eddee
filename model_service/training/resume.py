"""Where a training stands, at any batch: taken as a checkpoint, and put back in another attempt, which then goes on alike.

The chance in it is no part of the state: loader.Loader derives it from the place. Nor are the optimiser's rates, which
the schedule sets at each batch.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import menagerie_contract as contract
import torch

from model_service.training import best
from model_service.training.best import MODEL
from model_service.training.checkpoints import Checkpoint, Checkpoints
from model_service.training.fastai import Callback, CancelFitException, Learner
from model_service.training.numbers import Mixed
from model_service.training.start import Start

EVERY = 600.0  # seconds between checkpoints within an epoch; each epoch ends with one
TERMINATED = 128 + signal.SIGTERM  # the exit code, as a shell and Kubernetes have it

log = logging.getLogger(__name__)


class Recalls(Protocol):
    """A callback that has something to remember over a resume."""

    def state(self) -> torch.Tensor: ...

    def put_back(self, state: torch.Tensor, epochs: int) -> None:
        """What state() gave, and how many epochs are done."""


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
    stopped: str = ""  # why it stopped before its last epoch

    def __str__(self) -> str:
        return f"cycle {self.cycle + 1}, epoch {self.epoch + 1}, batch {self.batch + 1}"


class Keep(Callback):  # type: ignore[misc]  # fastai has no types
    """Keeps checkpoints of a training that begins, or goes on, at `place`; takes a last one when it is asked to terminate.

    Keeps the best weights too, by the `watched` pictures, and stops a training of `cycles` that gets no better. The first
    epochs, so many as it `waits`, are not counted: those of a new head alone, and those that learn from smaller pictures than
    are watched.
    """

    order = 80  # after all others: what they do is in it

    def __init__(
        self,
        kept: Checkpoints,
        step: contract.Train,
        start: Start,
        cycles: int,
        found: Checkpoint | None,
        mixed: Mixed | None = None,
        recalls: Sequence[Recalls] = (),
        *,
        watched: int,
        waits: int = 0,
    ) -> None:
        self._kept, self._step, self._start, self._cycles, self._found = kept, step, start, cycles, found
        self._mixed, self._recalls, self._watched, self._waits = mixed, recalls, watched, waits
        self.place = Place() if found is None else Place(**found.facts["place"])
        self.best = best.Best() if found is None else best.Best(found.tensors, self._at_best)
        self._trained = self._terminated = False
        self._taken = time.monotonic()

    @property
    def done(self) -> bool:
        return self.place.cycle == self._cycles or bool(self.place.stopped)

    @property
    def chosen(self) -> int | None:
        """The epoch whose weights are the best ones so far; None before the first, and while no loss was a number."""
        return best.of(self.place.rows, self._watched)

    @property
    def _at_best(self) -> bool:
        """Whether the network's weights are those."""
        return not self.place.batch and bool(rows := self.place.rows) and self.chosen == len(rows) - 1

    def put_back_weights(self, learn: Learner) -> None:
        """Before the first cycle, as there may be none left."""
        if self._found is not None:
            tensors = self._found.tensors
            learn.model.load_state_dict({n.removeprefix(MODEL): t for n, t in tensors.items() if n.startswith(MODEL)})
            for number, callback in enumerate(self._recalls):
                if f"recalls.{number}" in tensors:
                    callback.put_back(tensors[f"recalls.{number}"], len(self.place.rows))
            if self._mixed is not None:
                self._mixed.put_back(self._found.facts["scale"])

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
        self.dls.train.begin(f"{self._step.seed}/{place.cycle}/{place.epoch}", place.batch)
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
        if self._at_best:
            self.best.keep(self.model)
        why = best.stops(place.rows, max(0, len(place.rows) - self._waits), self._step.patience)
        if place.epoch == self.n_epoch:
            place.cycle, place.epoch = place.cycle + 1, 0
        if why and place.cycle < self._cycles:
            place.stopped = why
        self._take()
        if place.stopped:
            log.info("stopped after %d epochs: %s", len(place.rows), why)
            raise CancelFitException

    def _take(self) -> None:
        place, smooth = self.place, self.recorder.smooth_loss
        place.schedule, place.loss, place.losses = self.pct_train, float(smooth.val), smooth.count
        tensors = {f"{MODEL}{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"recalls.{n}": callback.state() for n, callback in enumerate(self._recalls)}
        if not self._at_best:
            tensors |= self.best.tensors()
        numbers: dict[str, Any] = {}
        if place.epoch or place.batch:  # a cycle begins with the optimiser's state cleared
            for number, (_, state) in enumerate(_optimised(self.learn)):
                for name, value in state.items():
                    (tensors if isinstance(value, torch.Tensor) else numbers)[f"{number}.{name}"] = value
        scale = {} if self._mixed is None else self._mixed.state()
        facts = {"place": asdict(place), "start": self._start.card(), "optimiser": numbers, "scale": scale}
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
