"""How a picture looks, in two numbers taken from what the model sees: enough to tell that a camera or an hour changed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_LUMA = np.array([0.299, 0.587, 0.114], np.float32) / 255  # BT.601, as in a JPEG; of bytes, to 0..1


class Look(NamedTuple):
    """`brightness`: mean luma, 0 black to 1 white. `sharpness`: variance of the luma's Laplacian; blur and fog have none."""

    brightness: float
    sharpness: float


def look(view: NDArray[np.uint8]) -> Look:
    """Of a view [size, size, 3], which is of one size whatever the picture's was: so sharpness compares."""
    luma = view.astype(np.float32) @ _LUMA
    laplacian = 4 * luma[1:-1, 1:-1]
    for neighbour in (luma[:-2, 1:-1], luma[2:, 1:-1], luma[1:-1, :-2], luma[1:-1, 2:]):
        laplacian -= neighbour
    return Look(float(luma.mean()), float(laplacian.var()))
