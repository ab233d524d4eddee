"""What a training was like batch by batch, for the curves: recorded beside fastai's recorder, and kept over a resume."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from model_service.training.learner import Callback

COLUMNS = 4  # of state(): epoch, loss, learning rate, time
_AT_ONCE = 256  # losses fetched together


class Watch(Callback):  # type: ignore[misc]  # fastai has no types
    """Records each batch's loss and learning rate; hands each finished epoch's figures to `told`."""

    order = 65  # after the recorder, before the checkpoint

    def __init__(self, told: Callable[[dict[str, float]], None]) -> None:
        self._told = told
        self._rows: list[list[float]] = []  # epoch, loss, rate, time
        self._losses: list[torch.Tensor] = []  # of the last rows: a GPU is not waited for at every batch
        self._epochs = 0
        self._trained = False

    def state(self) -> torch.Tensor:
        """float64 [batches so far, 4]: epoch (from 1, through all cycles), loss, learning rate, seconds since 1970."""
        if self._losses:
            losses = torch.stack(self._losses).tolist()
            for row, loss in zip(self._rows[-len(losses) :], losses, strict=True):
                row[1] = loss
            self._losses.clear()
        return torch.tensor(self._rows, dtype=torch.float64).reshape(-1, COLUMNS)

    def put_back(self, state: torch.Tensor, epochs: int) -> None:
        """Go on from another attempt's state(), after so many finished epochs."""
        self._rows, self._epochs = state.tolist(), epochs
        self._losses.clear()

    def before_train(self) -> None:
        self._trained = True

    def after_batch(self) -> None:
        if self.training:
            self._rows.append([self._epochs + 1, 0.0, float(self.opt.hypers[-1]["lr"]), time.time()])
            self._losses.append(self.loss.detach().float())
            if len(self._losses) >= _AT_ONCE:
                self.state()

    def after_epoch(self) -> None:
        if not self._trained:
            return  # done by an earlier attempt, skipped by this one
        self._trained = False
        self._epochs += 1
        names, values = self.recorder.metric_names[1:], self.recorder.log[1:]
        figures = {name: float(value) for name, value in zip(names, values, strict=False) if not isinstance(value, str)}
        self._told({"epoch": self._epochs, **figures})
