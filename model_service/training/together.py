"""Several processes learn as one: torch's DistributedDataParallel averages their gradients while they are computed."""

from __future__ import annotations

import torch
from torch import nn

from model_service.training import distributed
from model_service.training.learner import Callback


def callbacks() -> list[Callback]:
    """What a fit needs for it; nothing on one device."""
    return [Together()] if distributed.world() > 1 else []


class Together(Callback):  # type: ignore[misc]  # fastai has no types
    """The network is wrapped for the forward pass of a batch that is learned from, and is itself everywhere else: checkpoints,
    validation and exports see no difference.

    All validate, which takes as long as if one did, and rank 0's figures are everybody's: all stop, and keep the best, alike.
    """

    order = 55  # after the recorder: its figures are there; before whoever goes by them

    def before_fit(self) -> None:
        network, device = self.learn.model, self.dls.device
        if gpu := device.type == "cuda":
            # A share is too few pictures for statistics of its own.
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        self.learn.model = self._alone = network
        self._wrapped = nn.parallel.DistributedDataParallel(
            network,
            device_ids=[torch.cuda.current_device()] if gpu else None,
            forward_sync_buffers=False,  # on GPUs they are the same already, and elsewhere rank 0's count
        )

    def before_batch(self) -> None:
        if self.training:
            self.learn.model = self._wrapped

    def after_pred(self) -> None:
        self.learn.model = self._alone

    def after_validate(self) -> None:
        log = self.recorder.log
        self.recorder.log = type(log)(distributed.agreed(list(log)))
