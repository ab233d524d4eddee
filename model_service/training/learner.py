"""The fastai learner: resnet34, its starting weights, and batches whose randomness depends on their place alone."""

from __future__ import annotations

import hashlib
import http.client
import logging
import random
import socket
import warnings
from typing import Any

import menagerie_contract as contract
import torch
from torch import nn
from torchvision.models import ResNet34_Weights, resnet34

from model_service.training.dataset import Dataset

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # importing fastai warns of what only fastai can change
    from fastai.vision.all import Callback as Callback  # for others to import from here, who would be warned
    from fastai.vision.all import (
        DataLoaders,
        IntToFloatTensor,
        Normalize,
        TensorCategory,
        TensorImage,
        TfmdDL,
        accuracy,
        aug_transforms,
        set_seed,
        vision_learner,
    )
    from fastai.vision.all import Learner as Learner  # the same

# ImageNet's statistics, which torchvision's weights expect.
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
FETCH_TIMEOUT = 20.0  # seconds without an answer after which the weights count as out of reach

log = logging.getLogger(__name__)


class _Part(torch.utils.data.Dataset[Any]):
    """Some pictures of the data set as fastai's tensors, exactly as predict sees them; augmentation comes after.

    By `split_idx` fastai knows which to augment: 0 those learned from, and not 1, those watched with.
    """

    def __init__(self, data: Dataset, indices: list[int], split_idx: int) -> None:
        self._data, self._indices, self.split_idx = data, indices, split_idx
        self._number = {label: i for i, label in enumerate(data.classes)}

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, i: int) -> tuple[Any, Any]:
        index = self._indices[i]
        picture = torch.from_numpy(self._data.views[index].copy()).permute(2, 0, 1)
        return TensorImage(picture), TensorCategory(self._number[self._data.labels[index]])


class Loader(TfmdDL):  # type: ignore[misc]  # fastai has no types
    """Batches that are shuffled, augmented and learned from by chance, but a chance that only their place decides.

    So training can begin at any batch, and go on as it would have gone on without a pause: no generator's state is kept.
    """

    n_inp = 1  # a picture; fastai would find out by augmenting a batch more, and so draw on chance
    _place: str | None = None
    _done = 0

    def begin(self, place: str, done: int) -> None:
        """What the chance of the coming pass hangs on, and how many of its batches are done already."""
        self._place, self._done = place, done
        self.rng = random.Random(place)  # noqa: S311 - fastai shuffles with it

    def get_idxs(self) -> list[int]:
        indices: list[int] = super().get_idxs()
        return indices[self._done * self.bs :]

    def do_batch(self, items: list[Any]) -> Any:
        """Its pictures are at hand; they are augmented next, and then learned from."""
        if self._place is not None:
            set_seed(int.from_bytes(hashlib.sha256(f"{self._place}/{self._done}".encode()).digest()[:8]) >> 1)
            self._done += 1
        return super().do_batch(items)


def loaders(data: Dataset, step: contract.Train) -> DataLoaders:
    """Batches to learn from, augmented, and to watch with."""
    learned, watched = data.parts(step.validation, step.seed)
    transforms = [
        IntToFloatTensor(),
        *aug_transforms(size=step.image_size, min_scale=0.6, max_rotate=8.0, max_warp=0.0),
        Normalize.from_stats(MEAN, STD, cuda=False),
    ]
    return DataLoaders.from_dsets(
        _Part(data, learned, 0),
        _Part(data, watched, 1),
        bs=min(step.batch_size, len(learned)),  # fastai drops the last, incomplete batch
        after_batch=transforms,
        dl_type=Loader,
        num_workers=0,  # the cache is decoded already: workers would only copy, and draw on a chance of their own
        device=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
    )


def build(data: Dataset, step: contract.Train, begun_with: str | None = None) -> tuple[Learner, str]:
    """A learner ready to fit, and where its weights are from: an ImageNet weights' name, or `none`.

    `begun_with` is the latter for a training that goes on from a checkpoint, which has all weights: none are fetched.
    """
    set_seed(step.seed, reproducible=True)
    learn = vision_learner(
        loaders(data, step),
        resnet34,
        pretrained=False,  # ours below: hash checked, and never through pickle
        normalize=False,
        n_out=len(data.classes),
        loss_func=nn.CrossEntropyLoss(),
        metrics=accuracy,
    )
    learn.model.to(memory_format=torch.channels_last)
    if begun_with is not None:
        return learn, begun_with
    body = _imagenet_body() if step.weights == "auto" else None
    if body is None:
        return learn, "none"
    learn.model[0].load_state_dict(body.state_dict())
    return learn, str(ResNet34_Weights.DEFAULT)


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
