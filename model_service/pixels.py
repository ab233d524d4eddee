"""Pixels of any mode and size as a small upright RGB picture, in the memory of the picture itself."""

from __future__ import annotations

import numpy as np
from PIL import Image

_STRIP = 1 << 18  # pixels made RGB at once
_GAP = 3  # how much larger than asked for a picture may be when it is resized; what is larger yet is reduced first
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # what undoes each EXIF orientation


def fitted(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Width and height in pixels, scaled down so that the longer is at most `side`."""
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """The picture turned and mirrored as its EXIF orientation, 1 to 8, says; as it is by any other number."""
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def shrunk(image: Image.Image, side: int) -> Image.Image:
    """As RGB, at most `side` pixels long. Made RGB by strips, so that a large picture is never held twice."""
    factor = max(1, int(max(image.size) / side / _GAP))
    if image.mode == "RGB" and not image.has_transparency_data:
        small = image if factor == 1 else image.reduce(factor)
    else:
        small = Image.new("RGB", (-(-image.width // factor), -(-image.height // factor)))
        brightest = _brightest(image)
        rows = max(1, _STRIP // image.width // factor) * factor
        for top in range(0, image.height, rows):
            strip = image.crop((0, top, image.width, min(top + rows, image.height)))
            small.paste(_rgb(strip, brightest).reduce(factor), (0, top // factor))
    box = (0, 0, image.width / factor, image.height / factor)
    return small.resize(fitted(image.size, side), Image.Resampling.BILINEAR, box)


def _brightest(image: Image.Image) -> float:
    """What stands for white in a mode of more than 8 bits; those say no more than which values they have."""
    if not image.mode.startswith("I;16") and image.mode not in ("I", "F"):
        return 255
    top = float(np.nanmax(np.asarray(image.getextrema()), initial=0))
    return next((white for white in (1.0, 255.0, 65535.0) if top <= white and (white > 1 or image.mode == "F")), top)


def _rgb(image: Image.Image, brightest: float) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        pixels = np.nan_to_num(np.asarray(image, dtype=np.float32))
        image = Image.fromarray((pixels / brightest * 255).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return image if image.mode == "RGB" else image.convert("RGB")
