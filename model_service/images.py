"""The one decode path: every picture that is sorted, trained on, predicted or served is opened and resized here."""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

PACKED_SIDE = 512  # longer side of a packed picture, in pixels
PACKED_QUALITY = 92
PREPROCESSING = "1"  # changes whenever `view` gives other pixels for the same bytes

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
EXTENSIONS = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"})

# Why a picture cannot be used: a closed list, the same in manifests, reports and folder names.
REASONS = {
    "unreadable": "the picture's data is damaged",
    "truncated": "the file ends before the picture does",
    "not-an-image": "not a picture in a known format",
    "too-large": "more bytes or pixels than allowed",
    "too-small": "fewer pixels than allowed",
    "bomb": "decodes to far more pixels than its size warrants",
    "no-label": "no label could be read from its name",
    "vanished": "gone or changed before it was read",
}

# Pillow's own limit is fixed when it opens a file; ours is settable, and checked on the header before any pixel is decoded.
Image.MAX_IMAGE_PIXELS = None
# Damaged metadata is not worth a warning: the pixels decide. For the whole process, since threads share the filters.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
_BOMB_PIXELS_PER_BYTE = 200  # a photograph has about 10; above this and above the pixel limit nobody took it


class BadImage(Exception):
    """A picture that cannot be used. `reason` is a key of REASONS, the text one line for people."""

    def __init__(self, reason: str, text: str = "") -> None:
        super().__init__(text or REASONS[reason])
        self.reason = reason


@dataclass(frozen=True)
class Limits:
    """What is decoded at all: pixels, bytes and the shorter side in pixels."""

    max_pixels: int = 50_000_000
    max_bytes: int = 50_000_000
    min_side: int = 32


def decode(data: bytes, limits: Limits, side: int = PACKED_SIDE) -> Image.Image:
    """Any accepted picture as RGB, upright, alpha on white, longer side at most `side` pixels. Raises BadImage."""
    if len(data) > limits.max_bytes:
        raise BadImage("too-large", f"{len(data):,} bytes, allowed are {limits.max_bytes:,}")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        _check_size(image.size, len(data), limits)
        image.draft("RGB", (side, side))
        image.load()
        return _shrink(_rgb(ImageOps.exif_transpose(image)), side)
    except BadImage:
        raise
    except UnidentifiedImageError:
        raise BadImage("not-an-image") from None
    except (OSError, EOFError) as error:
        reason = "truncated" if "truncated" in str(error).lower() or isinstance(error, EOFError) else "unreadable"
        raise BadImage(reason, f"{REASONS[reason]} ({error})") from None
    except (RuntimeError, ValueError, SyntaxError, TypeError, LookupError, ArithmeticError, struct.error) as error:
        raise BadImage("unreadable", f"{REASONS['unreadable']} ({error})") from None


def pack(image: Image.Image) -> bytes:
    """The JPEG that goes into a shard."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=PACKED_QUALITY)
    return out.getvalue()


def unpack(jpeg: bytes, size: int) -> Image.Image:
    """A shard's JPEG, decoded at the smallest scale that still covers `size` pixels a side."""
    image = Image.open(io.BytesIO(jpeg), formats=("JPEG",))
    image.draft("RGB", (size, size))
    return image.convert("RGB")


def view(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """What the model sees: shorter side resized to `size` (bilinear, antialiased), centre cropped. uint8 [size, size, 3]."""
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    left, top = (width - size) // 2, (height - size) // 2
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized.crop((left, top, left + size, top + size)))


def _check_size(size: tuple[int, int], file_bytes: int, limits: Limits) -> None:
    width, height = size
    if width * height > limits.max_pixels:
        bomb = width * height > file_bytes * _BOMB_PIXELS_PER_BYTE
        text = f"{width}×{height} pixels in {file_bytes:,} bytes, allowed are {limits.max_pixels:,} pixels"
        raise BadImage("bomb" if bomb else "too-large", text)
    if min(width, height) < limits.min_side:
        raise BadImage("too-small", f"{width}×{height} pixels, the shorter side must have {limits.min_side}")


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):  # 16 bits and more: keep the upper 8
        pixels = np.asarray(image, dtype=np.float32)
        image = Image.fromarray((pixels / (65535 if pixels.max() > 255 else 255) * 255).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        image = Image.alpha_composite(white, rgba)
    return image.convert("RGB")


def _shrink(image: Image.Image, side: int) -> Image.Image:
    if max(image.size) <= side:
        return image
    scale = side / max(image.size)
    width, height = (max(1, round(s * scale)) for s in image.size)
    return image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0)
