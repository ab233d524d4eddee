"""The one decode path: every picture that is sorted, trained on, predicted or served is opened and resized here."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import AvifImagePlugin, Image, UnidentifiedImageError

try:
    import pillow_heif
except ImportError:  # then a HEIC picture is no picture in a known format
    pillow_heif = None  # type: ignore[assignment]

from model_service import pixels

PACKED_SIDE = 512  # longer side of a packed picture, in pixels
PACKED_QUALITY = 92
PREPROCESSING = "1"  # changes whenever `view` gives other pixels for the same bytes

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", *(("HEIF",) if pillow_heif else ()))  # told by content

# Why a picture cannot be used: a closed list, the same in manifests, reports and folder names.
REASONS = {
    "unreadable": "the picture's data is damaged",
    "truncated": "the file ends before the picture does",
    "not-an-image": "not a picture in a known format",
    "too-large": "more bytes or pixels than allowed",
    "too-small": "fewer pixels than allowed",
    "bomb": "decodes to far more pixels than its size warrants",
    "no-label": "no label could be read from its name",
    "label-not-allowed": "its label is not among those allowed",
    "conflicting-label": "the same picture stands under two labels",
    "vanished": "gone or changed before it was read",
}

# Pillow's own limit is fixed when it opens a file; ours is settable, and checked on the header before any pixel is decoded.
Image.MAX_IMAGE_PIXELS = None
# Damaged metadata is not worth a warning: the pixels decide. For the whole process, since threads share the filters.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
_BOMB_PIXELS_PER_BYTE = 200  # a photograph has about 10; above this and above the pixel limit nobody took it
_BYTES_PER_PIXEL = {"WEBP": 17, "AVIF": 12, "HEIF": 12, "TIFF": 9}  # at the peak of `finish`, measured; others: 8
_PLAIN = 5  # standard deviation of the grey picture, of 255, below which a perceptual hash says nothing
_DAMAGE = (RuntimeError, ValueError, SyntaxError, TypeError, LookupError, ArithmeticError, struct.error)

# Many pictures are decoded side by side: none needs more than one thread, nor its thumbnails.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
if pillow_heif:
    pillow_heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)


_DCT = 2 * np.cos(np.pi * np.arange(8)[:, None] * (2 * np.arange(32) + 1) / 64)  # the first 8 of 32 frequencies


class BadImage(Exception):
    """A picture that cannot be used. `reason` is a key of REASONS, the text one line for people."""

    def __init__(self, reason: str, text: str = "") -> None:
        line = "".join(c if c.isprintable() else " " for c in text or REASONS[reason])
        super().__init__(" ".join(line.split()))
        self.reason = reason

    def __reduce__(self) -> tuple[type[BadImage], tuple[str, str]]:
        """So that it can be raised in another process."""
        return BadImage, (self.reason, str(self))


@dataclass(frozen=True)
class Limits:
    """What is decoded at all: pixels, bytes, the shorter side in pixels, and how many times as long the longer may be."""

    max_pixels: int = 50_000_000
    max_bytes: int = 50_000_000
    min_side: int = 32
    max_aspect: float = 20.0


def decode(data: bytes, limits: Limits, side: int = PACKED_SIDE) -> Image.Image:
    """Any accepted picture as RGB, upright, alpha on white, longer side at most `side` pixels. Raises BadImage."""
    return finish(open_image(data, limits, side), side)


def open_image(data: bytes, limits: Limits, side: int = PACKED_SIDE) -> Image.Image:
    """The picture with only its header read and checked; its `size` is what `finish` decodes. Raises BadImage.

    A JPEG much larger than `side` is decoded at a half, a quarter or an eighth, never below `side`."""
    if len(data) > limits.max_bytes:
        raise BadImage("too-large", f"{len(data):,} bytes, allowed are {limits.max_bytes:,}")
    with _refusals():
        try:
            image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
        except UnidentifiedImageError:
            raise BadImage("unreadable" if _begins_as_picture(data) else "not-an-image") from None
        _check_size(image.size, len(data), limits)
        image.draft("RGB", pixels.fitted(image.size, side))
        return image


def memory(image: Image.Image) -> int:
    """About how many bytes `finish` takes for an opened picture at its peak, beside the file's own."""
    each = _BYTES_PER_PIXEL.get(image.format or "", 8)
    if "progressive" in image.info:  # then libjpeg keeps every coefficient of the whole picture, whatever the scale
        scale, _ = getattr(image, "decoderconfig", None) or (1, 0)
        each += 6 * scale**2
    return image.width * image.height * each


def finish(image: Image.Image, side: int = PACKED_SIDE) -> Image.Image:
    """The pixels of an opened picture, as `decode` gives them. Raises BadImage."""
    with _refusals():
        image.load()
        finished = pixels.upright(pixels.shrunk(image, side), _orientation(image))
    finished.info = {}  # a comment, say, would be packed with the pixels
    return finished


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


def seen(data: bytes, limits: Limits, size: int) -> NDArray[np.uint8]:
    """What the model sees of a picture file: the very pixels it would see had the file been sorted. Raises BadImage.

    Without going through a shard's JPEG, and its scaled decoding, the website would answer otherwise than predict.
    """
    return view(unpack(pack(decode(data, limits)), size), size)


def perceptual_hash(image: Image.Image) -> int | None:
    """The 64-bit pHash of an RGB picture: nearly the same pictures differ in few bits. None: too plain for one.

    The lowest 8×8 frequencies of the 32×32 grey picture (DCT-II) against their median, as ImageHash's `phash` has it; in the
    ledger for years, so it may not change with a library. A picture without structure has only noise to hash.
    """
    grey = image.reduce(max(1, min(image.size) // 64)).convert("L").resize((32, 32), Image.Resampling.LANCZOS)
    levels = np.asarray(grey, np.float64)
    if levels.std() < _PLAIN:
        return None
    low = _DCT @ levels @ _DCT.T
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")


@contextmanager
def _refusals() -> Iterator[None]:
    """Whatever a decoder raises becomes a BadImage."""
    try:
        yield
    except (OSError, EOFError) as error:
        reason = "truncated" if "truncated" in str(error).lower() or isinstance(error, EOFError) else "unreadable"
        raise BadImage(reason, f"{REASONS[reason]} ({error})") from None
    except _DAMAGE as error:
        raise BadImage("unreadable", f"{REASONS['unreadable']} ({error})") from None


def _begins_as_picture(data: bytes) -> bool:
    """Whether the signature is a known format's. A BMP's, two letters, may as well be a text's."""
    signatures = [Image.OPEN[kind][1] for kind in FORMATS if kind != "BMP"]
    return any(fits is not None and fits(data[:16]) is True for fits in signatures)


def _check_size(size: tuple[int, int], file_bytes: int, limits: Limits) -> None:
    width, height = size
    if width * height > limits.max_pixels:
        bomb = width * height > file_bytes * _BOMB_PIXELS_PER_BYTE
        text = f"{width}×{height} pixels in {file_bytes:,} bytes, allowed are {limits.max_pixels:,} pixels"
        raise BadImage("bomb" if bomb else "too-large", text)
    if min(width, height) < limits.min_side:
        raise BadImage("too-small", f"{width}×{height} pixels, the shorter side must have {limits.min_side}")
    if (aspect := max(width, height) / min(width, height)) > limits.max_aspect:
        text = f"{width}×{height} pixels, one side {aspect:.1f} times the other, allowed is {limits.max_aspect:g} times"
        raise BadImage("too-small", text)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except (*_DAMAGE, OSError):  # damaged metadata is not worth a picture
        return 1
