"""A few of the validation pictures beside what the model said of them: its worst errors, and some it got right."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

from PIL import Image

from model_service.evaluation.metrics import Predictions

SIDE = 160  # pixels
ERRORS, RIGHT = 12, 6


class Sample(NamedTuple):
    """`picture` is a data: URI."""

    picture: str
    label: str
    predicted: str
    probability: float


def samples(views: Any, indices: Sequence[int], keys: Sequence[str], told: Predictions) -> list[Sample]:
    """Of the pictures `indices` of `views`: errors by how sure they were, then some right ones, by hash."""
    sure = told.probabilities.max(axis=1)
    wrong = [i for i in range(len(indices)) if told.labels[i] != told.predicted[i]]
    right = [i for i in range(len(indices)) if told.labels[i] == told.predicted[i]]
    wrong.sort(key=lambda i: (-float(sure[i]), keys[indices[i]]))
    right.sort(key=lambda i: hashlib.sha256(keys[indices[i]].encode()).digest())
    return [
        Sample(_data_uri(views[indices[i]]), told.labels[i], told.predicted[i], float(sure[i]))
        for i in [*wrong[:ERRORS], *right[:RIGHT]]
    ]


def _data_uri(view: Any) -> str:
    picture = Image.fromarray(view)
    picture.thumbnail((SIDE, SIDE))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=80, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
