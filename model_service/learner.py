"""The fastai learner: resnet34, its starting weights, augmentation and the one-cycle fit."""

from __future__ import annotations

import http.client
import logging
import socket
import time
import warnings
from typing import Any

import menagerie_contract as contract
import torch
from torch import nn
from torchvision.models import ResNet34_Weights, resnet34

from model_service.dataset import Dataset

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # importing fastai warns of what only fastai can change
    from fastai.vision.all import (
        Callback,
        DataLoaders,
        IntToFloatTensor,
        Learner,
        Normalize,
        TensorCategory,
        TensorImage,
        accuracy,
        aug_transforms,
        set_seed,
        vision_learner,
    )

# ImageNet's statistics, which torchvision's weights expect.
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
FETCH_TIMEOUT = 20.0  # seconds without an answer after which the weights count as out of reach

log = logging.getLogger(__name__)


class _Part(torch.utils.data.Dataset[Any]):
    """Some pictures of the data set as fastai's tensors, exactly as predict sees them; augmentation comes after."""

    def __init__(self, data: Dataset, indices: list[int]) -> None:
        self._data, self._indices = data, indices
        self._number = {label: i for i, label in enumerate(data.classes)}

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, i: int) -> tuple[Any, Any]:
        index = self._indices[i]
        picture = torch.from_numpy(self._data.views[index].copy()).permute(2, 0, 1)
        return TensorImage(picture), TensorCategory(self._number[self._data.labels[index]])


def build(data: Dataset, step: contract.Train) -> tuple[Learner, str]:
    """A learner ready to fit, and where its weights are from: an ImageNet weights' name, or `none`."""
    set_seed(step.seed, reproducible=True)
    learned, watched = data.parts(step.validation, step.seed)
    transforms = [
        IntToFloatTensor(),
        *aug_transforms(size=step.image_size, min_scale=0.6, max_rotate=8.0, max_warp=0.0),
        Normalize.from_stats(MEAN, STD, cuda=False),
    ]
    loaders = DataLoaders.from_dsets(
        _Part(data, learned),
        _Part(data, watched),
        bs=min(step.batch_size, len(learned)),  # fastai drops the last, incomplete batch
        after_batch=transforms,
        num_workers=0,  # the cache is decoded already: workers would only copy
        device=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
    )
    learn = vision_learner(
        loaders,
        resnet34,
        pretrained=False,  # ours below: hash checked, and never through pickle
        normalize=False,
        n_out=len(data.classes),
        loss_func=nn.CrossEntropyLoss(),
        metrics=accuracy,
    )
    learn.model.to(memory_format=torch.channels_last)
    body = _imagenet_body() if step.weights == "auto" else None
    if body is None:
        return learn, "none"
    learn.model[0].load_state_dict(body.state_dict())
    return learn, str(ResNet34_Weights.DEFAULT)


def fit(learn: Learner, step: contract.Train, *, pretrained: bool) -> list[dict[str, float]]:
    """One cycle; with pretrained weights the new head first learns for an epoch alone. Returns a row an epoch."""
    rows: list[Any] = []

    def cycle(epochs: int, rate: float | slice) -> None:
        learn.fit_one_cycle(epochs, rate, cbs=[_Tell()])
        rows.extend(learn.recorder.values)  # of this cycle alone

    with learn.no_bar(), learn.no_logging(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # fastai 2.8 on the newest torch: nothing a user can act on
        if pretrained:
            learn.freeze()
            cycle(1, step.learning_rate)
        learn.unfreeze()
        # Pretrained layers move less, the earlier the less (Howard & Ruder 2018, arXiv:1801.06146).
        cycle(step.epochs, slice(step.learning_rate / 30, step.learning_rate / 3) if pretrained else step.learning_rate)
    names = ("train_loss", "valid_loss", "accuracy")
    return [
        {"epoch": n, **dict(zip(names, (float(v) for v in values), strict=True))} for n, values in enumerate(rows, 1)
    ]


def _imagenet_body() -> nn.Module | None:
    """resnet34 without its head, with torchvision's ImageNet weights; None, loudly, when they cannot be fetched."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(FETCH_TIMEOUT)
    try:
        state = ResNet34_Weights.DEFAULT.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, http.client.HTTPException, RuntimeError) as error:  # the last: another hash than promised
        log.warning(
            "WARNING: ImageNet weights cannot be fetched (%s). Training FROM SCRATCH: expect far lower accuracy for the "
            "same number of epochs. Allow %s, or set weights=none to say that this is meant.",
            *(error, ResNet34_Weights.DEFAULT.url),
        )
        return None
    finally:
        socket.setdefaulttimeout(before)
    network = resnet34()
    network.load_state_dict(state)
    return nn.Sequential(*list(network.children())[:-2])


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
            steps = self.n_epoch * len(self.dls.train)
            rate = self._done / (now - self._start)
            log.info(
                "epoch %d of %d: loss %.3f, %.0f pictures/s, %.0f s left",
                *(self.epoch + 1, self.n_epoch, self.smooth_loss, rate * self.dls.bs, (steps - self._done) / rate),
            )

    def after_epoch(self) -> None:
        train, valid, right = self.recorder.log[1:4]
        log.info(
            "epoch %d of %d done: train loss %.3f, validation loss %.3f, accuracy %.1f %%",
            *(self.epoch + 1, self.n_epoch, train, valid, right * 100),
        )
