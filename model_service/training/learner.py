"""The fastai learner: a network with its starting weights, the batches it learns from, and what it learns by."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import menagerie_contract as contract
import torch
from torch import nn
from torchvision import models

from model_service import backbone
from model_service.training import augmentation, weights
from model_service.training.dataset import Dataset
from model_service.training.fastai import Callback as Callback
from model_service.training.fastai import Learner as Learner
from model_service.training.fastai import MixUp, accuracy, default_split, model_meta, set_seed
from model_service.training.loader import MEAN as MEAN
from model_service.training.loader import STD as STD
from model_service.training.loader import loaders
from model_service.training.loss import Loss, Turn, balanced
from model_service.training.start import Start

log = logging.getLogger(__name__)


def build(data: Dataset, step: contract.Train, begun_with: Mapping[str, Any] | None = None) -> tuple[Learner, Start]:
    """A learner ready to fit, and where its weights are from.

    `begun_with` is the latter's card() for a training that goes on from a checkpoint, which has all weights: none are
    fetched. Raises StepError for a network that does not exist and for weights that do not fit it.
    """
    set_seed(step.seed)
    made = backbone.build(step.network, step.image_size)
    network = made.network(len(data.classes)).train()
    start = weights.put(network, made, data.classes, step) if begun_with is None else Start.of(begun_with)
    learned, _ = data.parts(step.validation, step.seed)
    augmented = augmentation.wanted(step, start, len(learned))
    log.info("pictures are %s before they are learned from", "varied by chance" if augmented else "not varied")
    return assemble(data, step, network, augmented=augmented), start


def assemble(data: Dataset, step: contract.Train, network: nn.Sequential, *, augmented: bool = True) -> Learner:
    """A learner of the network [body, head], with the loss and the mixing that the step asks for."""
    dls = loaders(data, step, augmented=augmented)
    loss = Loss(_balance(data, step), label_smoothing=step.label_smoothing).to(dls.device)
    network.to(dls.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Learner(
        dls,
        network,
        loss_func=loss,
        metrics=accuracy,
        splitter=_splitter(step.network),
        cbs=[Turn(loss), *([MixUp(step.mixup)] if step.mixup else [])],
    )


def _balance(data: Dataset, step: contract.Train) -> torch.Tensor | None:
    if step.balance != "weights":
        return None
    learned, _ = data.parts(step.validation, step.seed)
    return balanced([data.labels[i] for i in learned], data.classes)


def _splitter(name: str) -> Callable[[nn.Module], Any]:
    """How fastai divides the network in groups of layers, each with a rate of its own: at least body and head."""
    known = name in models.list_models(module=models) and models.get_model_builder(name) in model_meta
    split: Callable[[nn.Module], Any] = model_meta[models.get_model_builder(name)]["split"] if known else default_split
    return split
