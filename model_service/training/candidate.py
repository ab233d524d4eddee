"""A candidate from its data to its files: what train saves, and reproduce compares with the original."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import warnings
from dataclasses import dataclass
from functools import partial
from typing import Any

import menagerie_contract as contract
import torch

from model_service import selftest
from model_service.errors import StepError
from model_service.evaluation import reference
from model_service.inference import INT8, ONNX, WEIGHTS, Network
from model_service.scratch import scratch
from model_service.training import (
    calibrate,
    cycles,
    dataset,
    distributed,
    export,
    learner,
    numbers,
    provenance,
    quantise,
)
from model_service.training.checkpoints import Checkpoints
from model_service.training.fastai import noop
from model_service.training.tracking import Tracking

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Candidate:
    """`files` are the model, of which the `name` has a hash; `told` tell of it, and of the attempt that made it.

    `kept` are its checkpoints: to be cleared once it is saved, so that until then no attempt has to train again.
    """

    name: str
    files: dict[str, bytes]
    told: dict[str, bytes]
    card: dict[str, Any]
    counts: dict[str, Any]
    kept: Checkpoints


def make(step: contract.Train, given: dict[str, str] | None = None, tracking: Tracking | None = None) -> Candidate:
    """Train as the step says, and export; nothing is saved but checkpoints, from which another attempt goes on.

    The batches are those `given` (name → sha256 of the manifest, in order), else the step's (dataset.load). Raises StepError,
    and SystemExit when asked to terminate (SIGTERM). Of several ranks (training/distributed) only the first returns.
    """
    with scratch("train") as folder:
        data = distributed.shared(lambda: dataset.load(step, folder, partial(_questions, step), given))
        kept = Checkpoints(step.models, step.run, provenance.origin(step, data))
        found = kept.latest()
        learn, start = learner.build(data, step, None if found is None else found.facts["start"])
        log.info(
            "training %s on %d pictures of %d classes at %d px, epochs: %d, weights: %s",
            *(step.network, len(data.labels), len(data.classes), step.image_size, step.epochs, start),
        )
        watched_by = [] if tracking is None else [tracking.callback()]
        fitted = cycles.fit(learn, step, start, kept, found, watched_by)
        distributed.leave()
        if not math.isfinite(fitted.best["valid_loss"]):
            kept.clear()
            raise StepError("training diverged: its loss is not a number", remedy="lower --learning-rate")
        with numbers.repeatable(step):
            targets, logits = validated(learn)
            temperature = calibrate.temperature(logits, targets)
        calibrate.fold(temperature, learn.model)
        probabilities = torch.softmax(logits / temperature, 1)
        card = provenance.card(step, data, start, fitted, temperature)
        files = _files(learn.model, card, data, step)
        card["version"] = name = f"{step.run}-{_digest(files)}"
        told = {}
        if tracking is not None:
            told = tracking.finish(card, data, targets, probabilities, fitted.history, learn.model)
    counts = {
        "pictures": len(data.labels),
        "classes": len(data.classes),
        "epochs": len(fitted.history),
        "weights": str(start),
        "resumed": found is not None,
    }
    return Candidate(name, files, told, card, counts | card["metrics"], kept)


def _questions(step: contract.Train, pictures: list[selftest.Picture]) -> list[str]:
    """The keys of the pictures for the self test: of the validation part, if it has enough of them."""
    keys = [picture.key for picture in pictures]
    _, watched = dataset.parts(keys, step.validation, step.seed)
    return selftest.choose(pictures, {keys[i] for i in watched}, step.seed)


def validated(learn: learner.Learner) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the validation part, in its order: the classes' numbers [n], and what the network makes of it, logits [n, classes]."""
    with learn.no_bar(), learn.no_logging(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # as in cycles.fit
        logits, targets = learn.get_preds(ds_idx=1, act=noop)
    return targets.long().cpu(), logits.float().cpu()


def _files(
    model: torch.nn.Sequential, card: dict[str, Any], data: dataset.Dataset, step: contract.Train
) -> dict[str, bytes]:
    """The network and its int8 variant, what they must answer, and what arriving pictures are compared with."""
    safetensors, onnx = export.safetensors(model), export.onnx(model, step.image_size)
    network = Network(step.run, card, onnx)
    learned, watched = data.parts(step.validation, step.seed)
    shown = quantise.choose(data.keys, learned, step.seed)
    return {
        WEIGHTS: safetensors,
        ONNX: onnx,
        INT8: quantise.int8(onnx, (network.normalised(data.views[i]) for i in shown)),
        selftest.FILE: selftest.build(network, data.kept),
        reference.FILE: reference.build(network, data, watched, step.seed),
    }


def _digest(files: dict[str, bytes]) -> str:
    """Of all of them, so that an attempt killed half-way leaves a prefix that no other attempt writes anything else to."""
    each = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    return hashlib.sha256(json.dumps(each, sort_keys=True).encode()).hexdigest()[:8]
