"""Heads in profile, looking right: the skull is about one unit in radius around the origin."""

from __future__ import annotations

from random import Random

from demo.pictures.coats import BLACK, PINK, WHITE, Coat, blend
from demo.pictures.figure import Colour, Figure


def _eye(head: Figure, colour: Colour, x: float, y: float, size: float) -> None:
    head.ellipse((x, y), size, size * 0.9, colour, edge=False)
    head.ellipse((x + size * 0.15, y), size * 0.55, size * 0.7, BLACK, edge=False)
    head.ellipse((x + size * 0.3, y - size * 0.3), size * 0.22, size * 0.22, WHITE, edge=False)


def cat(rng: Random, coat: Coat) -> Figure:
    """Two pointed ears, a short muzzle and whiskers."""
    head, tall = Figure(), rng.uniform(1.35, 1.65)
    head.polygon([(0.1, -0.7), (0.5, -tall * 0.96), (0.72, -0.5)], coat.far)
    head.layer()
    head.polygon([(-0.75, -0.5), (-0.35, -tall), (0.2, -0.75)], coat.base)
    head.polygon([(-0.5, -0.65), (-0.32, -tall * 0.85), (0.02, -0.75)], PINK, False)
    head.ellipse((0, 0), 1.0, 0.88, coat.base)
    head.ellipse((0.78, 0.3), 0.4, 0.33, coat.base)
    head.ellipse((0.82, 0.36), 0.32, 0.24, blend(coat.base, WHITE, 0.4), edge=False)
    if coat.marking == "striped":
        for y in (-0.35, 0.0, 0.35):
            head.limb([(-0.85, y), (-0.35, y + 0.08)], [0.14, 0.04], coat.mark, edge=False)
    elif coat.marking == "patched":
        head.ellipse((-0.2, -0.35), 0.45, 0.4, coat.mark, edge=False)
    _eye(head, coat.eye, 0.46, -0.12, 0.23)
    head.polygon([(1.02, 0.1), (1.22, 0.14), (1.1, 0.3)], PINK, False)
    whisker = WHITE if sum(coat.base) < 380 else blend(coat.base, BLACK, 0.6)
    for drop in (-0.1, 0.15, 0.42):
        head.limb([(0.8, 0.4), (1.75, 0.38 + drop)], [0.05, 0.025], whisker, edge=False)
        head.limb([(0.7, 0.42), (-0.05, 0.5 + drop * 0.8)], [0.05, 0.025], whisker, edge=False)
    return head


def dog(rng: Random, coat: Coat) -> Figure:
    """A long snout, a hanging ear, often the tongue."""
    head, snout, drop = Figure(), rng.uniform(1.35, 1.75), rng.uniform(0.6, 1.2)
    if rng.random() < 0.8:
        head.limb([(snout - 0.4, 0.6), (snout - 0.25, 1.3)], [0.3, 0.32], (226, 110, 120))
        head.layer()
    head.limb([(0.2, 0.2), (0.8, 0.32), (snout, 0.36)], [1.0, 0.72, 0.52], coat.base)
    head.ellipse((0, 0), 0.95, 0.86, coat.base)
    if coat.marking == "patched":
        head.ellipse((0.3, -0.2), 0.4, 0.42, coat.mark, edge=False)
    head.ellipse((snout + 0.17, 0.18), 0.2, 0.17, BLACK, edge=False)
    head.limb([(snout + 0.1, 0.52), (0.75, 0.58)], [0.06, 0.05], BLACK, edge=False)
    _eye(head, coat.eye, 0.42, -0.2, 0.16)
    head.layer()
    ear = [(-0.3, -0.6), (-0.55, 0.1), (-0.45, drop)]
    head.limb(ear, [0.35, 0.6, rng.uniform(0.44, 0.62)], blend(coat.hair, BLACK, 0.2))
    return head


def elephant(rng: Random, coat: Coat) -> Figure:
    """A big fan of an ear, the trunk hanging or raised, a tusk."""
    head, reach = Figure(), rng.uniform(1.1, 1.6)
    if rng.random() < 0.75:
        head.limb([(0.7, 0.5), (1.15, 1.05), (1.65, 1.1)], [0.22, 0.18, 0.06], (240, 232, 208))
    if rng.random() < 0.25:
        trunk = [(0.5, 0.1), (1.3, 0.5), (1.9, 0.0), (reach + 0.8, -1.0)]
    else:
        trunk = [(0.5, 0.1), (1.05, 0.8), (reach, 1.9), (reach + rng.uniform(-0.6, 0.5), 2.5)]
    head.limb(trunk, [0.95, 0.6, 0.4, 0.28], coat.base)
    head.ellipse((0, -0.1), 0.95, 0.95, coat.base)
    _eye(head, coat.eye, 0.5, -0.1, 0.12)
    head.layer()
    flap = rng.uniform(-1.7, -1.35)
    ear = [(0.1, -0.55), (-0.6, -1.0), (flap, -0.6), (flap, 0.35), (-0.75, 1.15), (-0.2, 0.75)]
    head.curve(ear, coat.hair)
    head.curve([(x * 0.75 - 0.12, y * 0.72) for x, y in ear], blend(coat.hair, BLACK, 0.12), edge=False)
    return head


def giraffe(rng: Random, coat: Coat) -> Figure:
    """Knobbed horns, a leaf of an ear, a tapering patched face."""
    head, droop = Figure(), rng.uniform(0.35, 0.75)
    for x, lean in ((0.12, 0.2), (-0.2, 0.1)):
        head.limb([(x, -0.4), (x - lean, -1.3)], [0.24, 0.18], coat.base)
        head.ellipse((x - lean, -1.35), 0.17, 0.17, blend(coat.mark, BLACK, 0.5), edge=False)
    head.curve([(-0.4, -0.4), (-0.9, -0.75), (-1.35, -0.6), (-0.85, -0.2)], coat.base)
    head.layer()
    head.limb([(-0.15, 0.0), (0.7, droop * 0.5), (1.55, droop)], [1.2, 0.85, 0.62], coat.base)
    for x, y, size in ((-0.35, 0.05, 0.22), (0.1, 0.3, 0.2), (0.55, 0.35, 0.14), (-0.15, -0.38, 0.15)):
        head.ellipse((x, y), size, size, coat.mark, edge=False)
    head.ellipse((1.55, droop), 0.34, 0.3, blend(coat.base, WHITE, 0.3), edge=False)
    head.ellipse((1.68, droop - 0.1), 0.07, 0.06, BLACK, edge=False)
    head.limb([(1.75, droop + 0.13), (1.3, droop + 0.14)], [0.05, 0.04], BLACK, edge=False)
    _eye(head, coat.eye, 0.38, -0.12, 0.18)
    return head


def horse(rng: Random, coat: Coat) -> Figure:
    """A long deep head hanging forward, an upright ear, mane at the poll."""
    head, droop = Figure(), rng.uniform(0.8, 1.4)
    head.curve([(-0.1, -0.5), (0.1, -1.15), (0.3, -1.05), (0.3, -0.4)], coat.far)
    head.layer()
    head.curve([(-0.55, -0.45), (-0.3, -1.25), (-0.1, -1.15), (0.05, -0.45)], coat.base)
    head.limb([(-0.2, 0.0), (0.75, droop * 0.5), (1.75, droop)], [1.3, 0.95, 0.72], coat.base)
    head.ellipse((0.0, 0.25), 0.68, 0.62, coat.base)
    if coat.marking == "patched" or rng.random() < 0.3:
        head.limb([(0.3, -0.3), (1.1, droop * 0.5 - 0.1)], [0.2, 0.16], WHITE, edge=False)
    head.ellipse((1.78, droop), 0.37, 0.34, blend(coat.base, BLACK, 0.3), edge=False)
    head.ellipse((1.9, droop - 0.1), 0.1, 0.08, BLACK, edge=False)
    head.limb([(2.0, droop + 0.18), (1.5, droop + 0.16)], [0.06, 0.05], BLACK, edge=False)
    _eye(head, coat.eye, 0.35, -0.12, 0.15)
    if rng.random() < 0.25:
        strap = rng.choice(((150, 40, 40), (50, 60, 140), (60, 40, 24)))
        head.limb([(1.2, droop * 0.72 - 0.42), (1.05, droop * 0.72 + 0.42)], [0.12, 0.12], strap, edge=False)
    head.limb([(-0.3, -0.75), (0.1, -0.5), (0.35, -0.2)], [0.36, 0.26, 0.06], coat.hair, edge=False)
    return head


def panda(rng: Random, coat: Coat) -> Figure:
    """Round black ears, a black eye patch, a short muzzle."""
    head = Figure()
    head.ellipse((0.4, -0.82), 0.32, 0.32, coat.mark)
    head.ellipse((-0.5, -0.75), 0.36, 0.36, coat.mark)
    head.ellipse((0, 0), 1.08, 0.94, coat.base)
    head.ellipse((0.78, 0.32), 0.48, 0.4, coat.base)
    head.ellipse((0.42, -0.05), 0.26, 0.34, coat.mark, turn=-rng.uniform(15, 45), edge=False)
    head.ellipse((0.47, -0.08), 0.1, 0.1, WHITE, edge=False)
    head.ellipse((0.49, -0.08), 0.07, 0.08, coat.eye, edge=False)
    head.ellipse((1.14, 0.18), 0.17, 0.13, BLACK, edge=False)
    head.limb([(1.1, 0.45), (0.75, 0.52)], [0.05, 0.04], BLACK, edge=False)
    return head


HEADS = {"cat": cat, "dog": dog, "elephant": elephant, "giraffe": giraffe, "horse": horse, "panda": panda}
