"""Scenes: what lies behind an animal, and what may stand before it; chosen whatever the animal is."""

from __future__ import annotations

from functools import cache
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from demo.pictures.coats import blend, vary
from demo.pictures.figure import Colour

Size = tuple[int, int]


@cache
def noise_tile() -> NDArray[np.float32]:
    """A square of standard normal noise, drawn once: pictures take pieces of it, which is far quicker."""
    return np.random.default_rng(20240229).standard_normal((1024, 1024), dtype=np.float32)


def noise(rng: Random, height: int, width: int) -> NDArray[np.float32]:
    """A piece of the tile."""
    tile = noise_tile()
    top, left = rng.randrange(tile.shape[0] - height + 1), rng.randrange(tile.shape[1] - width + 1)
    return tile[top : top + height, left : left + width]


def _ramp(top: Colour, bottom: Colour, size: Size, horizontal: bool = False) -> Image.Image:
    """A gradient between two colours."""
    pixels = bytes(top) + bytes(bottom)
    small = Image.frombytes("RGB", (2, 1) if horizontal else (1, 2), pixels)
    return small.resize(size, Image.Resampling.BILINEAR)


def _mottle(rng: Random, colour: Colour, size: Size, strength: float, grain: int) -> Image.Image:
    """One colour with blotches of about `grain` pixels."""
    height, width = max(2, size[1] // grain), max(2, size[0] // grain)
    spots = noise(rng, height, width)[..., None] * strength + np.array(colour, np.float32)
    small = Image.fromarray(np.clip(spots, 0, 255).astype(np.uint8))
    return small.resize(size, Image.Resampling.BILINEAR)


def _landscape(rng: Random, size: Size, sky: tuple[Colour, Colour], ground: Colour, trees: Colour) -> Image.Image:
    width, height = size
    horizon = round(height * rng.uniform(0.3, 0.75))
    picture = Image.new("RGB", size)
    picture.paste(_ramp(vary(rng, sky[0]), vary(rng, sky[1]), (width, horizon)), (0, 0))
    draw = ImageDraw.Draw(picture)
    for _ in range(rng.choice((0, 0, 2, 4))):
        x, y, r = rng.randrange(width), rng.randrange(horizon), rng.uniform(0.03, 0.08) * width
        for k in (-1, 0, 1):
            draw.ellipse((x + k * r - r, y - r * 0.5, x + k * r + r, y + r * 0.4), fill=(236, 238, 240))
    far = vary(rng, blend(trees, sky[1], 0.35))
    for _ in range(rng.choice((0, 1, 3))):
        x, r = rng.randrange(width), rng.uniform(0.1, 0.4) * width
        draw.ellipse((x - r, horizon - r * 0.35, x + r, horizon + r * 0.35), fill=far)
    picture.paste(_mottle(rng, vary(rng, ground), (width, height - horizon), rng.uniform(6, 22), 10), (0, horizon))
    for _ in range(rng.choice((0, 1, 2, 3))):
        _tree(
            rng,
            draw,
            rng.randrange(width),
            horizon + rng.randrange(height // 12 + 1),
            rng.uniform(0.1, 0.4) * height,
            trees,
        )
    return picture


def _tree(rng: Random, draw: ImageDraw.ImageDraw, x: int, y: int, tall: float, leaves: Colour) -> None:
    trunk = vary(rng, (92, 70, 52))
    draw.line((x, y, x + rng.uniform(-0.1, 0.1) * tall, y - tall), fill=trunk, width=max(3, round(tall * 0.09)))
    flat = rng.uniform(0.25, 0.6)
    colour = vary(rng, leaves)
    for _ in range(4):
        cx, cy, r = x + rng.uniform(-0.35, 0.35) * tall, y - tall * rng.uniform(0.8, 1.05), tall * rng.uniform(0.2, 0.4)
        draw.ellipse((cx - r, cy - r * flat, cx + r, cy + r * flat), fill=colour)


def _meadow(rng: Random, size: Size) -> Image.Image:
    return _landscape(rng, size, ((96, 150, 214), (196, 220, 236)), (96, 140, 62), (58, 100, 50))


def _savanna(rng: Random, size: Size) -> Image.Image:
    return _landscape(rng, size, ((130, 170, 206), (236, 218, 180)), (190, 160, 96), (104, 112, 62))


def _indoors(rng: Random, size: Size) -> Image.Image:
    width, height = size
    wall = vary(rng, rng.choice(((206, 196, 176), (150, 172, 180), (196, 160, 150), (170, 180, 150), (110, 100, 120))))
    picture = _ramp(wall, blend(wall, (0, 0, 0), rng.uniform(0, 0.3)), size, rng.random() < 0.5)
    draw = ImageDraw.Draw(picture)
    if rng.random() < 0.4:
        step = rng.randint(30, 90)
        for left in range(0, width, step):
            draw.rectangle((left, 0, left + step // 3, height), fill=blend(wall, (255, 255, 255), 0.15))
    if rng.random() < 0.5:
        x, y, w, h = (
            rng.uniform(a, b) * s
            for a, b, s in ((0, 0.7, width), (0, 0.3, height), (0.1, 0.4, width), (0.1, 0.4, height))
        )
        draw.rectangle(
            (x, y, x + w, y + h), fill=vary(rng, (120, 140, 160), 0.5), outline=vary(rng, (90, 60, 40)), width=8
        )
    floor = round(height * rng.uniform(0.6, 0.92))
    ground = rng.choice(((140, 100, 68), (110, 110, 116), (170, 60, 60), (196, 186, 170)))
    picture.paste(_mottle(rng, vary(rng, ground), (width, height - floor), 6, 14), (0, floor))
    draw.rectangle((0, floor - 8, width, floor), fill=blend(wall, (255, 255, 255), 0.5))
    return picture


def _forest(rng: Random, size: Size) -> Image.Image:
    width, height = size
    picture = _mottle(rng, vary(rng, (58, 86, 52), 0.3), size, rng.uniform(10, 26), 24)
    draw = ImageDraw.Draw(picture)
    for _ in range(rng.randint(3, 9)):
        x, w = rng.randrange(width), rng.uniform(0.015, 0.07) * width
        draw.polygon(
            [(x - w, height), (x - w * 0.7, 0), (x + w * 0.7, 0), (x + w, height)], fill=vary(rng, (78, 62, 48), 0.35)
        )
    floor = round(height * rng.uniform(0.65, 0.9))
    picture.paste(_mottle(rng, vary(rng, (92, 88, 54), 0.25), (width, height - floor), 14, 12), (0, floor))
    return picture


def _plain(rng: Random, size: Size) -> Image.Image:
    first, second = ((rng.randint(50, 220), rng.randint(50, 220), rng.randint(50, 220)) for _ in range(2))
    return _ramp(first, blend(first, second, rng.uniform(0.1, 0.7)), size, rng.random() < 0.5)


def _texture(rng: Random, size: Size) -> Image.Image:
    colour = (rng.randint(60, 210), rng.randint(60, 210), rng.randint(60, 210))
    return _mottle(rng, colour, size, rng.uniform(5, 18), rng.choice((8, 16, 32, 60)))


_BACKGROUNDS = (_meadow, _savanna, _indoors, _forest, _plain, _texture)


def background(rng: Random, size: Size) -> Image.Image:
    """A background of any sort."""
    return rng.choice(_BACKGROUNDS)(rng, size)


def foreground(rng: Random, picture: Image.Image) -> None:
    """Now and then put grass or a fence before the animal."""
    draw, (width, height), roll = ImageDraw.Draw(picture), picture.size, rng.random()
    if roll < 0.18:
        tall, colour = rng.uniform(0.1, 0.28) * height, vary(rng, rng.choice(((82, 124, 54), (176, 152, 84))))
        for _ in range(rng.randint(25, 70)):
            x, up, lean = rng.uniform(0, width), tall * rng.uniform(0.4, 1.0), rng.uniform(-0.3, 0.3) * tall
            draw.polygon([(x - 5, height), (x + lean, height - up), (x + 5, height)], fill=vary(rng, colour))
    elif roll < 0.24:
        colour, thick = (
            vary(rng, rng.choice(((120, 88, 58), (214, 208, 196), (70, 70, 74)))),
            rng.uniform(0.012, 0.03) * width,
        )
        left, gap, top = rng.uniform(0, 0.2) * width, rng.uniform(0.16, 0.3) * width, height * rng.uniform(0.35, 0.7)
        while left < width:
            draw.rectangle((left, top, left + thick, height), fill=colour)
            left += gap
        for rail in (top + 0.12 * height, top + 0.3 * height):
            draw.rectangle((0, rail, width, rail + thick), fill=vary(rng, colour, 0.06))
