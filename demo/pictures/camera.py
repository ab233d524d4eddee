"""The camera: light, colour cast, blur and sensor noise."""

from __future__ import annotations

from random import Random

import numpy as np
from PIL import Image, ImageFilter

from demo.pictures.scene import noise


def expose(rng: Random, picture: Image.Image) -> Image.Image:
    """The scene as a camera of no great quality sees it."""
    gamma, gain = rng.uniform(0.75, 1.4), rng.uniform(0.78, 1.15)
    table: list[int] = []
    for _ in range(3):
        cast = gain * rng.uniform(0.93, 1.07)
        table += [min(255, round(255 * (i / 255) ** gamma * cast)) for i in range(256)]
    picture = picture.point(table)
    if rng.random() < 0.25:
        picture = picture.filter(ImageFilter.BoxBlur(rng.uniform(0.3, 1.4)))
    strength = rng.uniform(0.0, 9.0)
    if strength > 1.0:
        width, height = picture.size
        grain = np.rint(noise(rng, height, width) * strength).astype(np.int16)
        picture = Image.fromarray(np.clip(np.asarray(picture) + grain[..., None], 0, 255).astype(np.uint8))
    return picture
