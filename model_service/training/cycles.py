"""The one-cycle fits of a training, and how it tells of itself."""

from __future__ import annotations

import logging
import time
import warnings

import menagerie_contract as contract

from model_service.training.checkpoints import Checkpoint, Checkpoints
from model_service.training.learner import Callback, Learner
from model_service.training.resume import Keep

log = logging.getLogger(__name__)


def fit(
    learn: Learner, step: contract.Train, weights: str, kept: Checkpoints, found: Checkpoint | None = None
) -> list[dict[str, float]]:
    """One cycle; with pretrained weights the new head first learns for an epoch alone. Returns a row an epoch.

    Goes on from the checkpoint `found`. Asked to terminate (SIGTERM), it takes another one and raises SystemExit.
    """
    peak = step.learning_rate
    cycles: list[tuple[int, float | slice]] = [(step.epochs, peak)]
    if weights != "none":
        # Pretrained layers move less, the earlier the less (Howard & Ruder 2018, arXiv:1801.06146).
        cycles = [(1, peak), (step.epochs, slice(peak / 30, peak / 3))]
    keep = Keep(kept, step.seed, weights, found)
    with learn.no_bar(), learn.no_logging(), warnings.catch_warnings(), keep.heeding_sigterm():
        warnings.simplefilter("ignore", UserWarning)  # fastai 2.8 on the newest torch: nothing a user can act on
        if found is not None:
            where = keep.place if keep.place.cycle < len(cycles) else "its end"
            log.info("an earlier attempt left a checkpoint: going on from %s", where)
            keep.put_back_weights(learn)
        while keep.place.cycle < len(cycles):
            epochs, rate = cycles[keep.place.cycle]
            if keep.place.cycle < len(cycles) - 1:
                learn.freeze()
            else:
                learn.unfreeze()
            learn.fit_one_cycle(epochs, rate, cbs=[_Tell(), keep], start_epoch=keep.place.epoch)
    names = ("train_loss", "valid_loss", "accuracy")
    return [{"epoch": n, **dict(zip(names, row, strict=True))} for n, row in enumerate(keep.place.rows, 1)]


class _Tell(Callback):  # type: ignore[misc]  # fastai has no types
    """A line at most every 5 seconds and one an epoch: how far, how good, how fast, how long."""

    order = 60  # after the recorder

    def before_fit(self) -> None:
        self._start = self._last = time.monotonic()
        self._done = 0

    def after_batch(self) -> None:
        if not self.training:
            return
        self._done += 1
        now = time.monotonic()
        if now - self._last >= 5:
            self._last = now
            rate = self._done / (now - self._start)
            left = (1 - self.pct_train) * self.n_epoch * len(self.dls.train)
            log.info(
                "epoch %d of %d: loss %.3f, %.0f pictures/s, %.0f s left",
                *(self.epoch + 1, self.n_epoch, self.smooth_loss, rate * self.dls.bs, left / rate),
            )

    def after_epoch(self) -> None:
        if len(self.recorder.log) < 4:
            return  # done by an earlier attempt, skipped by this one
        train, valid, right = self.recorder.log[1:4]
        log.info(
            "epoch %d of %d done: train loss %.3f, validation loss %.3f, accuracy %.1f %%",
            *(self.epoch + 1, self.n_epoch, train, valid, right * 100),
        )
