"""Heads seen from the front: the skull is about one unit in radius around the origin."""

from __future__ import annotations

from random import Random

from demo.pictures.coats import BLACK, PINK, WHITE, Coat, blend
from demo.pictures.figure import Colour, Figure

SIDES = (-1, 1)


def _eyes(head: Figure, colour: Colour, x: float, y: float, size: float, slit: bool = False) -> None:
    for side in SIDES:
        head.ellipse((side * x, y), size, size * 0.9, colour, edge=False)
        head.ellipse((side * x, y), size * (0.3 if slit else 0.62), size * 0.8, BLACK, edge=False)
        head.ellipse((side * x + size * 0.25, y - size * 0.35), size * 0.22, size * 0.22, WHITE, edge=False)


def cat(rng: Random, coat: Coat) -> Figure:
    """Pointed ears, slit eyes and whiskers."""
    head, tall, wide = Figure(), rng.uniform(1.25, 1.6), rng.uniform(0.85, 1.0)
    for side in SIDES:
        head.polygon([(side * 0.98, -0.3), (side * wide, -tall), (side * 0.15, -0.75)], coat.base)
        head.polygon([(side * 0.85, -0.5), (side * wide * 0.93, -tall * 0.86), (side * 0.36, -0.74)], PINK, False)
    head.ellipse((0, 0), 1.08, 0.88, coat.base)
    if coat.marking == "striped":
        for x in (-0.28, 0.0, 0.28):
            head.limb([(x * 1.3, -0.84), (x, -0.42)], [0.13, 0.05], coat.mark, edge=False)
        for side in SIDES:
            head.limb([(side * 1.04, 0.0), (side * 0.68, 0.12)], [0.12, 0.04], coat.mark, edge=False)
    elif coat.marking == "patched":
        head.ellipse((0.5, -0.3), 0.46, 0.44, coat.mark, edge=False)
    _eyes(head, coat.eye, 0.44, -0.1, rng.uniform(0.2, 0.27), slit=True)
    muzzle = blend(coat.base, WHITE, 0.4)
    for side in SIDES:
        head.ellipse((side * 0.2, 0.42), 0.28, 0.22, muzzle, edge=False)
    head.polygon([(-0.14, 0.2), (0.14, 0.2), (0, 0.37)], PINK, False)
    whisker = WHITE if sum(coat.base) < 380 else blend(coat.base, BLACK, 0.6)
    for side in SIDES:
        for drop in (-0.16, 0.06, 0.28):
            head.limb([(side * 0.3, 0.42 + drop * 0.3), (side * 1.5, 0.36 + drop)], [0.05, 0.025], whisker, edge=False)
    return head


def dog(rng: Random, coat: Coat) -> Figure:
    """Hanging ears, a snout with a big nose, often the tongue."""
    head, drop, out = Figure(), rng.uniform(0.35, 1.0), rng.uniform(0.95, 1.25)
    head.ellipse((0, -0.1), 0.88, 0.9, coat.base)
    if coat.marking == "patched":
        head.ellipse((0.4, -0.25), 0.38, 0.5, coat.mark, edge=False)
    muzzle = blend(coat.base, rng.choice((WHITE, WHITE, BLACK)), 0.35)
    if rng.random() < 0.8:
        head.limb([(0, 0.75), (rng.uniform(-0.1, 0.1), 1.3)], [0.36, 0.34], (226, 110, 120))
    head.ellipse((0, 0.5), 0.52, 0.5, muzzle)
    head.layer()
    for side in SIDES:
        ear = [(side * 0.5, -0.82), (side * out, -0.45), (side * (out + 0.02), drop)]
        head.limb(ear, [0.25, 0.46, rng.uniform(0.4, 0.56)], blend(coat.hair, BLACK, 0.15))
    _eyes(head, coat.eye, 0.36, -0.22, rng.uniform(0.14, 0.19))
    head.ellipse((0, 0.3), 0.27, 0.19, BLACK, edge=False)
    head.limb([(0, 0.45), (0, 0.72)], [0.05, 0.05], BLACK, edge=False)
    for side in SIDES:
        head.limb([(0, 0.7), (side * 0.18, 0.8), (side * 0.36, 0.7)], [0.05, 0.05, 0.04], BLACK, edge=False)
    return head


def elephant(rng: Random, coat: Coat) -> Figure:
    """Ears wider than the face, the trunk between two tusks."""
    head, spread, sway = Figure(), rng.uniform(1.6, 2.1), rng.uniform(-0.7, 0.7)
    for side in SIDES:
        ear = [(0.45, -0.7), (1.1, -1.05), (spread, -0.6), (spread * 0.98, 0.3), (1.2, 0.95), (0.6, 0.5)]
        head.curve([(side * x, y) for x, y in ear], coat.hair)
        inner = [(0.7, -0.45), (1.15, -0.75), (spread - 0.25, -0.4), (spread - 0.3, 0.2), (1.1, 0.6)]
        head.curve([(side * x, y) for x, y in inner], blend(coat.hair, PINK, 0.25), edge=False)
    head.layer()
    if rng.random() < 0.75:
        for side in SIDES:
            tusk = [(side * 0.42, 0.5), (side * 0.62, 1.1), (side * 0.55, 1.5)]
            head.limb(tusk, [0.22, 0.17, 0.06], (240, 232, 208))
    head.ellipse((0, -0.15), 0.8, 0.95, coat.base)
    trunk = [(0.0, 0.3), (sway * 0.15, 1.1), (sway * 0.6, 1.8), (sway * 1.3, rng.uniform(1.9, 2.4))]
    head.limb(trunk, [0.72, 0.52, 0.4, 0.3], coat.base)
    for i in range(5):
        y, half = 0.5 + i * 0.22, 0.24 - i * 0.025
        x = sway * 0.15 * (y - 0.3)
        head.limb([(x - half, y), (x + half, y + 0.03)], [0.05, 0.05], coat.far, edge=False)
    _eyes(head, coat.eye, 0.48, -0.12, 0.12)
    return head


def giraffe(rng: Random, coat: Coat) -> Figure:
    """A narrow long face, ears straight out, two knobbed horns."""
    head, lift = Figure(), rng.uniform(-0.25, 0.25)
    for side in SIDES:
        head.limb([(side * 0.25, -0.7), (side * 0.34, -1.4)], [0.2, 0.16], coat.base)
        head.ellipse((side * 0.35, -1.45), 0.15, 0.16, blend(coat.mark, BLACK, 0.5), edge=False)
        head.curve(
            [(side * 0.5, -0.6), (side * 1.0, -0.75 + lift), (side * 1.45, -0.55 + lift), (side * 0.95, -0.35)],
            coat.base,
        )
    head.layer()
    head.curve(
        [(-0.62, -0.55), (0, -0.95), (0.62, -0.55), (0.5, 0.2), (0.42, 0.95), (0, 1.3), (-0.42, 0.95), (-0.5, 0.2)],
        coat.base,
    )
    for x, y, size in ((0, -0.5, 0.2), (-0.2, -0.1, 0.15), (0.2, -0.05, 0.16), (0, 0.3, 0.15)):
        head.ellipse((x, y), size, size * 1.15, coat.mark, edge=False)
    head.ellipse((0, 0.95), 0.42, 0.36, blend(coat.base, WHITE, 0.3), edge=False)
    for side in SIDES:
        head.ellipse((side * 0.16, 0.9), 0.06, 0.09, BLACK, edge=False)
    _eyes(head, coat.eye, 0.52, -0.3, 0.17)
    return head


def horse(rng: Random, coat: Coat) -> Figure:
    """A long face with upright ears, a forelock, sometimes a blaze."""
    head = Figure()
    for side in SIDES:
        head.curve([(side * 0.18, -0.75), (side * 0.3, -1.4), (side * 0.5, -1.35), (side * 0.58, -0.65)], coat.base)
    head.layer()
    head.curve(
        [(-0.6, -0.5), (0, -0.95), (0.6, -0.5), (0.46, 0.5), (0.46, 1.35), (0, 1.65), (-0.46, 1.35), (-0.46, 0.5)],
        coat.base,
    )
    if coat.marking == "patched" or rng.random() < 0.4:
        blaze = rng.uniform(0.16, 0.3)
        head.limb([(0, -0.4), (0, 0.4), (0, 1.15)], [blaze, blaze * 0.7, blaze * 1.4], WHITE, edge=False)
    head.ellipse((0, 1.28), 0.43, 0.34, blend(coat.base, BLACK, 0.3), edge=False)
    for side in SIDES:
        head.ellipse((side * 0.22, 1.25), 0.1, 0.14, BLACK, edge=False)
    for x in (-0.22, 0.0, 0.2):
        head.limb([(x * 0.5, -1.0), (x, -0.5), (x * 1.5, -0.1)], [0.26, 0.2, 0.05], coat.hair, edge=False)
    if rng.random() < 0.25:
        strap = rng.choice(((150, 40, 40), (50, 60, 140), (60, 40, 24)))
        head.limb([(-0.47, 0.75), (0.47, 0.75)], [0.12, 0.12], strap, edge=False)
    _eyes(head, coat.eye, 0.48, -0.22, 0.14)
    return head


def panda(rng: Random, coat: Coat) -> Figure:
    """Round black ears and slanting black eye patches on white."""
    head, slant = Figure(), rng.uniform(25, 50)
    for side in SIDES:
        head.ellipse((side * 0.78, -0.72), 0.36, 0.36, coat.mark)
    head.ellipse((0, 0), 1.12, 0.95, coat.base)
    for side in SIDES:
        head.ellipse((side * 0.45, -0.05), 0.24, 0.34, coat.mark, turn=side * slant, edge=False)
        head.ellipse((side * 0.42, -0.08), 0.1, 0.1, WHITE, edge=False)
        head.ellipse((side * 0.42, -0.08), 0.07, 0.08, coat.eye, edge=False)
    head.ellipse((0, 0.42), 0.36, 0.3, coat.light, edge=False)
    head.ellipse((0, 0.3), 0.18, 0.12, BLACK, edge=False)
    for side in SIDES:
        head.limb([(0, 0.42), (side * 0.1, 0.58), (side * 0.25, 0.54)], [0.05, 0.05, 0.04], BLACK, edge=False)
    return head


HEADS = {"cat": cat, "dog": dog, "elephant": elephant, "giraffe": giraffe, "horse": horse, "panda": panda}
