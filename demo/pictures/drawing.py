"""Drawing: one whole picture out of its kind and seed."""

from __future__ import annotations

from random import Random

from PIL import Image, ImageDraw

from demo.pictures.animals import KINDS, animal
from demo.pictures.camera import expose
from demo.pictures.coats import vary
from demo.pictures.figure import Figure
from demo.pictures.scene import Size, background, foreground

# Everything is painted this much larger and then reduced, which smooths the edges.
_OVERSAMPLE = 2


def draw(kind: str, seed: int, size: Size | None = None) -> Image.Image:
    """The picture of an animal: the same for the same arguments. Without a size the seed chooses one."""
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}: expected one of {', '.join(KINDS)}")
    rng = Random(f"{kind}:{seed}")
    width, height = _size(rng) if size is None else size
    if width < 16 or height < 16 or max(width, height) > 1024:
        raise ValueError(f"sides must be 16 to 1024 pixels, not {width}x{height}")
    canvas = background(rng, (width * _OVERSAMPLE, height * _OVERSAMPLE))
    figure = _fit(rng, *animal(rng, kind), canvas.size)
    ink = None if rng.random() < 0.35 else vary(rng, (40, 34, 32), 0.4)
    figure.paint(ImageDraw.Draw(canvas), ink, rng.randint(2, 5))
    foreground(rng, canvas)
    return expose(rng, canvas.reduce(_OVERSAMPLE))


def _size(rng: Random) -> Size:
    longer, ratio = rng.randint(200, 420), rng.choice((1.0, 1.1, 1.25, 4 / 3))
    shorter = round(longer / ratio)
    return (longer, shorter) if rng.random() < 0.65 else (shorter, longer)


def _fit(rng: Random, figure: Figure, whole: bool, size: Size) -> Figure:
    """The figure turned a little, perhaps mirrored, scaled to the canvas and put somewhere on it."""
    turned = Figure([])
    turned.place(figure, (0, 0), turn=rng.gauss(0, 5), mirror=rng.random() < 0.5)
    left, top, right, bottom = turned.bounds()
    wide, tall, (width, height) = right - left, bottom - top, size
    scale = rng.uniform(0.78, 1.0) * min(width / wide, height / tall)
    # Off the middle, yet never so far that a square cut from the middle of the picture would miss the animal.
    x = _within(width * rng.gauss(0.5, 0.09), wide * scale, width) - left * scale
    y = _within(height * rng.gauss(0.55, 0.07), tall * scale, height) - top * scale
    if not whole:
        y = height - bottom * scale + 0.12 * tall * scale
    placed = Figure([])
    placed.place(turned, (x, y), scale)
    return placed


def _within(middle: float, extent: float, room: int) -> float:
    """Where something of this extent begins, as near to the wanted middle as the room allows."""
    return min(max(middle - extent / 2, 0.0), max(room - extent, 0.0))
