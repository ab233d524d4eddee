"""Batches of pictures to learn from and to watch with, whose chance depends on their place alone."""

from __future__ import annotations

import hashlib
import os
import random
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import menagerie_contract as contract
import numpy as np
import torch
from numpy.typing import NDArray

from model_service.training import augmentation, distributed
from model_service.training.dataset import Dataset
from model_service.training.fastai import (
    DataLoaders,
    IntToFloatTensor,
    Normalize,
    TensorCategory,
    TensorImage,
    TfmdDL,
    set_seed,
)

# ImageNet's statistics, which torchvision's weights expect.
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
AHEAD = 2  # batches whose pictures are read, or decoded, while one is learned from


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
    """Batches that are drawn, augmented and learned from by chance, but a chance that only their place decides.

    So training can begin at any batch, and go on as it would have gone on without a pause: no generator's state is kept.
    """

    n_inp = 1  # a picture; fastai would find out by augmenting a batch more, and so draw on chance
    draws: NDArray[np.float64] | None = None  # how often each picture is shown, relative; None: once an epoch
    _place: str | None = None
    _done = 0

    def begin(self, place: str, done: int) -> None:
        """What the chance of the coming pass hangs on, and how many of its batches are done already."""
        self._place, self._done = place, done
        self.rng = random.Random(place)  # noqa: S311 - fastai shuffles with it

    def __len__(self) -> int:
        if not self.drop_last:  # not those learned from
            return super().__len__()  # type: ignore[no-any-return]
        return int(self.n // distributed.world() // self.bs)

    def get_idxs(self) -> list[int]:
        """The pictures of the pass that are still to come, in their order. Of several processes each has its share."""
        indices: list[int] = super().get_idxs()
        if self._place is None:
            return indices
        if self.draws is not None:
            indices = drawn(indices, self.draws, self.rng.random())
            self.rng.shuffle(indices)
        return distributed.mine(indices)[self._done * self.bs :]

    def create_batches(self, samples: Iterable[int]) -> Iterator[Any]:
        """Pictures are fetched by threads ahead of who learns; chance is drawn on only by do_batch, in turn."""
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            ahead: deque[list[Future[Any]]] = deque()
            for chunk in self.chunkify(samples):
                ahead.append([pool.submit(self.do_item, i) for i in chunk])
                if len(ahead) > AHEAD:
                    yield self.do_batch([item.result() for item in ahead.popleft()])
            while ahead:
                yield self.do_batch([item.result() for item in ahead.popleft()])

    def do_batch(self, items: list[Any]) -> Any:
        """Its pictures are at hand; they are augmented next, and then learned from."""
        if self._place is not None:
            rank = f"/{distributed.rank()}" if distributed.rank() else ""
            place = f"{self._place}/{self._done}{rank}"
            set_seed(int.from_bytes(hashlib.sha256(place.encode()).digest()[:8]) >> 1)
            self._done += 1
        return super().do_batch(items)


def drawn(order: list[int], draws: NDArray[np.float64], chance: float) -> list[int]:
    """As many pictures as there are, each as often as its part of `draws`, rounded up or down: by systematic sampling.

    `order` is a random one, so that chance alone decides which are drawn together; `chance` is in [0, 1).
    """
    ends = np.cumsum(draws[order])
    places = (np.arange(len(order)) + chance) * (ends[-1] / len(order))
    found = np.minimum(np.searchsorted(ends, places, side="right"), len(order) - 1)
    return [order[i] for i in found]


def loaders(data: Dataset, step: contract.Train, *, augmented: bool = True) -> DataLoaders:
    """Batches to learn from, and to watch with, which never are augmented."""
    learned, watched = data.parts(step.validation, step.seed)
    transforms = [
        IntToFloatTensor(),
        *(augmentation.transforms(step.image_size) if augmented else []),
        Normalize.from_stats(MEAN, STD, cuda=False),
    ]
    dls = DataLoaders.from_dsets(
        _Part(data, learned, 0),
        _Part(data, watched, 1),
        bs=distributed.share(min(step.batch_size, len(learned))),  # fastai drops the last, incomplete batch
        after_batch=transforms,
        dl_type=Loader,
        num_workers=0,  # threads of its own fetch ahead: processes would only copy, and draw on a chance of their own
        device=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
    )
    dls.train.draws = None if data.draws is None else data.draws[learned]
    return dls
