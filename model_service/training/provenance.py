"""What a model was made of and by: its card, and the origin by which a half-trained model is known again."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import json
import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import menagerie_contract as contract

from model_service import images
from model_service.training import augmentation, learner
from model_service.training.cycles import Fitted
from model_service.training.dataset import Dataset
from model_service.training.machine import machine
from model_service.training.start import Start

LIBRARIES = ("torch", "torchvision", "fastai", "timm", "onnx", "onnxruntime", "openvino", "pillow", "numpy")
_WHERE = {"contract", "run", "models", "result", "registry"}  # arguments that say where things are, not what is made
_DISK = {"cache_gigabytes"}  # decides how long it takes, and nothing else


def arguments(step: contract.Train) -> dict[str, Any]:
    """What the training was told, by name; with the same data, weights and libraries it is the same training again."""
    return {f.name: getattr(step, f.name) for f in dataclasses.fields(step) if f.name not in _WHERE}


def card(step: contract.Train, data: Dataset, start: Start, fitted: Fitted, temperature: float) -> dict[str, Any]:
    """What model.json says: enough to rebuild the model and to trust it (DESIGN §4). `temperature`: see calibrate."""
    by_class = collections.Counter(data.labels)
    return {
        "architecture": step.network,
        "classes": data.classes,
        "preprocessing": {
            "version": images.PREPROCESSING,
            "size": step.image_size,
            "resize": "shorter side, bilinear, antialiased",
            "crop": "centre",
            "mean": learner.MEAN,
            "std": learner.STD,
        },
        "run": step.run,
        "parent": start.parent,
        "start": start.card(),
        "weights": str(start),
        "numbers": fitted.numbers,
        "augmented": augmentation.wanted(step, start, len(data.parts(step.validation, step.seed)[0])),
        "stopped": fitted.stopped,
        "temperature": temperature,
        "training": arguments(step),
        "data": {
            "tag": data.tag,
            # In the order of their commits, which decides what is retracted. (The keys of an object have no order.)
            "batches": [{"name": name, "manifest": sha256} for name, sha256 in data.batches.items()],
            "pictures": len(data.labels),
            "available": data.available,
            "by_class": {label: by_class[label] for label in data.classes},
            "shards": data.shards,
            "left_out": data.left_out,
        },
        "metrics": {key: fitted.best[key] for key in ("train_loss", "valid_loss", "accuracy")},
        "libraries": libraries(),
        "machine": machine(),
        "commit": commit(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def origin(step: contract.Train, data: Dataset) -> dict[str, Any]:
    """All that a half-trained model depends on: one attempt goes on where another stopped only if this is the same."""
    pictures = hashlib.sha256(json.dumps([data.shards, data.keys, data.labels], sort_keys=True).encode())
    if data.draws is not None:
        pictures.update(data.draws.tobytes())
    return {
        **{name: value for name, value in arguments(step).items() if name not in _DISK},
        **libraries(),
        "preprocessing": images.PREPROCESSING,
        "commit": commit(),
        "data": pictures.hexdigest(),
    }


def libraries() -> dict[str, str]:
    return {name: version(name) for name in LIBRARIES} | {"python": platform.python_version()}


def commit() -> str | None:
    """The code's git commit: from MENAGERIE_COMMIT (set in images), else the checkout's, else unknown."""
    if found := os.environ.get("MENAGERIE_COMMIT"):
        return found
    if shutil.which("git") is None:
        return None
    git = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return git.stdout.strip() or None
