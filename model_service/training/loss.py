"""What is learned by: cross entropy, smoothed and weighed while learning, plain when watched."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from model_service.training.fastai import Callback


class Loss(nn.CrossEntropyLoss):
    """While training with label smoothing and the classes' weights; else without, so that epochs and models compare."""

    y_int = True  # tells fastai's MixUp that its labels cannot be mixed: the losses are

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if self.training:
            return super().forward(logits, labels)
        return functional.cross_entropy(logits, labels, reduction=self.reduction)


class Turn(Callback):  # type: ignore[misc]  # fastai has no types
    """Tells the loss whether it is learned by or watched with, and gives the network plain tensors.

    fastai's own kinds of them cost time at each operation, which a GPU waits for.
    """

    def __init__(self, loss: nn.Module) -> None:
        self._loss = loss

    def before_train(self) -> None:
        self._loss.train()

    def before_validate(self) -> None:
        self._loss.eval()

    def before_batch(self) -> None:
        self.learn.xb = tuple(x.as_subclass(torch.Tensor) for x in self.xb)
        self.learn.yb = tuple(y.as_subclass(torch.Tensor) for y in self.yb)


def balanced(labels: Sequence[str], classes: Sequence[str]) -> torch.Tensor:
    """A weight for each class, [classes]: inverse to how many pictures it has, and 1 in the mean over the pictures."""
    counts = torch.tensor([max(1, labels.count(label)) for label in classes], dtype=torch.float32)
    return len(labels) / (len(classes) * counts)
