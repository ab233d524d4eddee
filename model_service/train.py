"""train: fastai's resnet34 on the train shards, one cycle; writes a candidate that needs no pickle to load."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import math
import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import torch

from model_service import images, registry, selftest
from model_service.errors import StepError
from model_service.evaluation import reference
from model_service.inference import INT8, ONNX, WEIGHTS, Network
from model_service.results import Outcome
from model_service.scratch import scratch
from model_service.training import cycles, dataset, export, learner, quantise
from model_service.training.checkpoints import Checkpoints

log = logging.getLogger(__name__)
ARGUMENTS = ("run", "epochs", "image_size", "batch_size", "learning_rate", "weights", "validation", "seed")
LIBRARIES = ("torch", "torchvision", "fastai", "onnx", "onnxruntime", "openvino", "pillow", "numpy")


def train(step: contract.Train) -> Outcome:
    with scratch("train") as folder:
        data = dataset.load(step.models, step.image_size, folder, lambda pictures: _questions(pictures, step))
        kept = Checkpoints(step.models, step.run, _origin(step, data))
        found = kept.latest()
        learn, weights = learner.build(data, step, None if found is None else found.facts["weights"])
        log.info(
            "training %s on %d pictures of %d classes at %d px, epochs: %d, weights: %s",
            *(contract.ARCHITECTURE, len(data.labels), len(data.classes), step.image_size, step.epochs, weights),
        )
        history = cycles.fit(learn, step, weights, kept, found)
        if not math.isfinite(history[-1]["valid_loss"]):
            kept.clear()
            raise StepError("training diverged: its loss is not a number", remedy="lower --learning-rate")
        metrics = {key: history[-1][key] for key in ("train_loss", "valid_loss", "accuracy")}
        card = _card(step, data, weights, metrics)
        files = _files(learn.model, card, data, step) | {"history.csv": _csv(history), "history.png": _plot(history)}
    name = f"{step.run}-{_digest(files)}"
    registry.save(step.models, name, files, card)
    kept.clear()
    counts = {"pictures": len(data.labels), "classes": len(data.classes), "epochs": step.epochs, "weights": weights}
    counts["resumed"] = found is not None
    message = f"candidate {name}: {metrics['accuracy']:.1%} right on the validation part"
    return Outcome(counts | metrics, {"version": name}, message)


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


def _questions(pictures: list[selftest.Picture], step: contract.Train) -> list[str]:
    """The keys of the pictures for the self test: of the validation part, if it has enough of them."""
    keys = [picture.key for picture in pictures]
    _, watched = dataset.parts(keys, step.validation, step.seed)
    return selftest.choose(pictures, {keys[i] for i in watched}, step.seed)


def _card(step: contract.Train, data: dataset.Dataset, weights: str, metrics: dict[str, float]) -> dict[str, Any]:
    """What model.json says: enough to rebuild the model and to trust it (DESIGN §4)."""
    return {
        "architecture": contract.ARCHITECTURE,
        "classes": data.classes,
        "preprocessing": {
            "version": images.PREPROCESSING,
            "size": step.image_size,
            "resize": "shorter side, bilinear, antialiased",
            "crop": "centre",
            "mean": learner.MEAN,
            "std": learner.STD,
        },
        "weights": weights,
        "training": {name: getattr(step, name) for name in ARGUMENTS if name != "weights"},
        "data": {
            "pictures": len(data.labels),
            "by_class": {label: data.labels.count(label) for label in data.classes},
            "shards": data.shards,
            "left_out": data.left_out,
        },
        "metrics": metrics,
        "libraries": _libraries(),
        "commit": _commit(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _origin(step: contract.Train, data: dataset.Dataset) -> dict[str, Any]:
    """All that a half-trained model depends on: one attempt goes on where another stopped only if this is the same."""
    pictures = json.dumps([data.shards, data.left_out], sort_keys=True).encode()
    return {
        **{name: getattr(step, name) for name in ARGUMENTS},
        **_libraries(),
        "architecture": contract.ARCHITECTURE,
        "preprocessing": images.PREPROCESSING,
        "commit": _commit(),
        "data": hashlib.sha256(pictures).hexdigest(),
    }


def _libraries() -> dict[str, str]:
    return {name: version(name) for name in LIBRARIES} | {"python": platform.python_version()}


def _commit() -> str | None:
    """The code's git commit: from MENAGERIE_COMMIT (set in images), else the checkout's, else unknown."""
    if found := os.environ.get("MENAGERIE_COMMIT"):
        return found
    if shutil.which("git") is None:
        return None
    git = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return git.stdout.strip() or None


def _csv(history: list[dict[str, float]]) -> bytes:
    lines = [",".join(history[0]), *(",".join(f"{value:.6g}" for value in row.values()) for row in history)]
    return ("\n".join(lines) + "\n").encode()


def _plot(history: list[dict[str, float]]) -> bytes:
    """Losses and accuracy by epoch, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    losses, accuracy = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in history]
    for key in ("train_loss", "valid_loss"):
        losses.plot(epochs, [row[key] for row in history], marker="o", label=key.replace("_", " "))
    accuracy.plot(epochs, [row["accuracy"] for row in history], marker="o", color="tab:green")
    losses.set(xlabel="epoch", ylabel="cross entropy", ylim=(0, None))
    losses.legend()
    accuracy.set(xlabel="epoch", ylabel="validation accuracy", ylim=(0, 1))
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110, metadata={"Software": None})
    return out.getvalue()
