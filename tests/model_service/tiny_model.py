"""The build's tiny model, saved as trained ones are, with a self test."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from PIL import Image

from infra.build import tiny
from infra.build.tiny import SIZE as SIZE
from model_service import images, registry, selftest
from model_service.inference import Network
from model_service.shards import Sample


def save_tiny_model(
    models: str,
    version: str,
    classes: list[str],
    bias: list[float] | None = None,
    *,
    tested_with: list[float] | None = None,
) -> dict[str, Any]:
    """Save the model under that version; returns its card.

    Class i answers to channel i of red, green and blue (then again), so a red picture is the first class; `bias` is
    added to the logits, which tells versions apart. Its self test has the answers of a model with the bias
    `tested_with`, by default its own: with another one, the model is damaged in a way that only a self test shows.
    """
    card = {"classes": classes, "preprocessing": tiny.PREPROCESSING}
    sound = [0.0 if math.isnan(b) else b for b in tested_with or bias or [0.0] * len(classes)]
    network = Network(version, card, tiny.model(len(classes), sound))
    files = {"model.onnx": tiny.model(len(classes), bias), selftest.FILE: selftest.build(network, _pictures(classes))}
    return registry.save(models, version, files, card)


def _pictures(classes: list[str]) -> Iterator[Sample]:
    """Packed pictures in the colours of the classes, no two alike."""
    for n in range(selftest.QUESTIONS):
        colour = [20, 20, 20]
        colour[n % len(classes) % 3] = 230 - 5 * n
        picture = Image.new("RGB", (48, 40), (colour[0], colour[1], colour[2]))
        yield Sample(f"{n:020x}", images.pack(picture), {"label": classes[n % len(classes)]})
