"""The one-cycle fits of a training, and how it tells of itself."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import menagerie_contract as contract

from model_service.training import numbers, sides, together
from model_service.training.checkpoints import Checkpoint, Checkpoints
from model_service.training.fastai import Callback, Learner
from model_service.training.numbers import Mixed, Numbers
from model_service.training.resume import Keep, Place
from model_service.training.sides import Resizing, Sides
from model_service.training.start import Start

_FIGURES = ("train_loss", "valid_loss", "accuracy")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fitted:
    """What a fit came to. `history` has a row an epoch: its figures, and the `side` of what it learned from, in pixels; `best`
    is the one whose weights the learner's model has now.

    `stopped` says why it ended before its last epoch, `numbers` what it computed with.
    """

    history: list[dict[str, float]]
    best: dict[str, float]
    stopped: str
    numbers: Numbers


def fit(
    learn: Learner,
    step: contract.Train,
    start: Start,
    kept: Checkpoints,
    found: Checkpoint | None = None,
    cbs: Sequence[Callback] = (),
) -> Fitted:
    """One cycle; where a new head stands on a body that knows something, the head first learns alone.

    Goes on from the checkpoint `found`. Asked to terminate (SIGTERM), it takes another one and raises SystemExit. Callbacks
    that have something to remember (resume.Recalls) find it again.
    """
    cycles = _cycles(step, start)
    used = numbers.chosen(step, learn.dls.device)
    mixed = None if used == "f32" else Mixed(used, learn.dls.device)
    recalls = [callback for callback in (*learn.cbs, *cbs) if hasattr(callback, "put_back")]
    seen = sides.plan(step, start, learn.model, sum(epochs for epochs, _ in cycles[:-1]))
    watched = len(learn.dls.valid_ds)
    keep = Keep(kept, step, start, len(cycles), found, mixed, recalls, watched=watched, waits=seen.end)
    each = [
        *(_Tell(seen, keep.place), Resizing(seen, keep.place.rows), keep, *cbs),
        *(*together.callbacks(), *([] if mixed is None else [mixed])),
    ]
    with (
        learn.no_bar(),
        learn.no_logging(),
        warnings.catch_warnings(),
        keep.heeding_sigterm(),
        numbers.repeatable(step),
    ):
        warnings.simplefilter("ignore", UserWarning)  # fastai 2.8 on the newest torch: nothing a user can act on
        if found is not None:
            log.info("an earlier attempt left a checkpoint: going on from %s", "its end" if keep.done else keep.place)
            keep.put_back_weights(learn)
        while not keep.done:
            epochs, rate = cycles[keep.place.cycle]
            if keep.place.cycle < len(cycles) - 1:
                learn.freeze()
            else:
                learn.unfreeze()
            learn.fit_one_cycle(epochs, rate, cbs=each, start_epoch=keep.place.epoch)
    keep.best.put_into(learn.model)
    history = [
        {"epoch": n + 1, "side": seen.of(n), **dict(zip(_FIGURES, row, strict=True))}
        for n, row in enumerate(keep.place.rows)
    ]
    chosen = keep.chosen
    if chosen is not None and chosen < len(history) - 1:
        log.info(
            "the model is of epoch %d of %d: later ones were worse on the validation part", chosen + 1, len(history)
        )
    return Fitted(history, history[-1 if chosen is None else chosen], keep.place.stopped, used)


def _cycles(step: contract.Train, start: Start) -> list[tuple[int, float | slice]]:
    """Epochs and peak rate of each."""
    peak = step.learning_rate
    if not start.learned:
        return [(step.epochs, peak)]
    # Layers that know something move less, the earlier the less (Howard & Ruder 2018, arXiv:1801.06146).
    head: list[tuple[int, float | slice]] = [(step.freeze_epochs, peak)] if start.freezes and step.freeze_epochs else []
    return [*head, (step.epochs, slice(peak / 30, peak / 3))]


class _Tell(Callback):  # type: ignore[misc]  # fastai has no types
    """A line at most every 5 seconds and one an epoch: how far, how good, how fast, how long."""

    order = 60  # after the recorder

    def __init__(self, sides: Sides, place: Place) -> None:
        self._sides, self._place = sides, place

    def before_fit(self) -> None:
        self._start = self._last = time.monotonic()
        self._done = self._work = 0

    def after_batch(self) -> None:
        if not self.training:
            return
        now, batches, epoch = time.monotonic(), len(self.dls.train), len(self._place.rows)
        # A picture takes time by its pixels.
        this, *later = (self._sides.of(n) ** 2 for n in range(epoch, epoch - self.epoch + self.n_epoch))
        self._done, self._work = self._done + 1, self._work + this
        if now - self._last >= 5:
            self._last = now
            rate = self._done / (now - self._start)
            left = (batches - self._place.batch - 1) * this + batches * sum(later)
            log.info(
                "epoch %d of %d: loss %.3f, %.0f pictures/s, %.0f s left",
                *(self.epoch + 1, self.n_epoch, self.smooth_loss, rate * self.dls.bs),
                left * (now - self._start) / self._work,
            )

    def after_epoch(self) -> None:
        if len(self.recorder.log) < 4:
            return  # done by an earlier attempt, skipped by this one
        train, valid, right = self.recorder.log[1:4]
        log.info(
            "epoch %d of %d done: train loss %.3f, validation loss %.3f, accuracy %.1f %%, learned from %d px",
            *(self.epoch + 1, self.n_epoch, train, valid, right * 100, self._sides.of(len(self._place.rows))),
        )
